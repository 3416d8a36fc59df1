"""Media streams as a source we call: its settings → how it is dialled, and the machine of each connection."""

from collections.abc import Sequence
from functools import partial

from ingest.connecting import Place
from ingest.dialling import Dial, DialledSource, policy_of
from ingest.protocol import Call
from ingest.sources.media_streams.config import MediaStreamsSettings
from ingest.sources.media_streams.placement import Scale
from ingest.sources.media_streams.protocol import MediaStreamsProtocol, Wanted
from schemas.symbols import Channels

NAME = "media-streams"


def dialled(own: MediaStreamsSettings, place: Place) -> DialledSource:
    """Return the source: a connection for up to as many calls as share one."""
    listed = [Call(interaction) for interaction in own.interactions]
    return DialledSource(NAME, own.interactions_per_socket, partial(_dial, own, place), listed, _refusal)


def _refusal(call: Call) -> str | None:  # noqa: ARG001 - any call can be asked for
    return None


def _dial(own: MediaStreamsSettings, place: Place, name: str, calls: Sequence[Call]) -> Dial:
    ids = [call.conversation_id for call in calls]
    return Dial(
        source_name=NAME,
        connection=name,
        url=place.fill(own.url),
        policy=policy_of(own),
        new_protocol=partial(MediaStreamsProtocol, ids, _wanted(own)),
        rest_s=own.rest_s,
    )


def _wanted(own: MediaStreamsSettings) -> Wanted:
    scale = Scale(own.sample_rate_hz, own.clock_hz, own.sequence_bits, own.timestamp_bits)
    return Wanted(NAME, own.codec_preferences, Channels[own.channels.upper()], scale)
