"""The table of sources: one line each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ingest.admission import DoorLimits
from ingest.config import IngestSettings
from ingest.dial import DialledSource
from ingest.protocol import AcceptingSource
from ingest.sources.appfoundry import source as appfoundry
from ingest.sources.audiohook.source import AudioHookSource
from ingest.sources.conversation_audio import source as conversation_audio
from ingest.sources.media_streams import source as media_streams
from ingest.sources.media_websocket import source as media_websocket


@dataclass(frozen=True, slots=True)
class Listening:
    """A source that calls us, and where it finds us. `certificate` is a PEM chain and its key, where we end TLS."""

    source: AcceptingSource
    host: str
    port: int
    limits: DoorLimits
    max_message_bytes: int
    certificate: tuple[Path, Path] | None


def _audiohook(settings: IngestSettings) -> Listening:
    own = settings.audiohook
    certificate = (own.tls_certfile, own.tls_keyfile) if own.tls_certfile and own.tls_keyfile else None
    limits = DoorLimits(
        max_connections=own.max_connections,
        max_per_organisation=own.max_sessions_per_organization,
        handshakes_per_s=own.handshakes_per_s,
        handshake_burst=own.handshake_burst,
        max_handshakes=own.max_handshakes,
        handshake_deadline_s=own.handshake_deadline_s,
        max_header_bytes=own.max_header_bytes,
    )
    return Listening(AudioHookSource(own), own.host, own.port, limits, own.max_message_bytes, certificate)


ACCEPTING: Mapping[str, Callable[[IngestSettings], Listening]] = MappingProxyType({"audiohook": _audiohook})
"""Sources that call us."""

DIALLED: Mapping[str, Callable[[IngestSettings], DialledSource]] = MappingProxyType(
    {
        media_streams.NAME: lambda settings: media_streams.dialled(settings.media_streams, settings.place),
        appfoundry.NAME: lambda settings: appfoundry.dialled(settings.appfoundry, settings.place),
        media_websocket.NAME: lambda settings: media_websocket.dialled(settings.media_websocket, settings.place),
        conversation_audio.NAME: lambda settings: conversation_audio.dialled(
            settings.conversation_audio, settings.place
        ),
    }
)
"""Sources we call: how, and the calls that the settings name."""
