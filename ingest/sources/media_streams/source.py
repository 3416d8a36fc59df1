"""Media streams as a source we call: its settings → how it is dialled, and the machine of each connection."""

from collections.abc import Sequence
from functools import partial

from ingest.connecting import Place
from ingest.dial import Dial, DialledSource, policy_of
from ingest.placement import Scale
from ingest.protocol import Call
from ingest.sources.media_streams.config import MediaStreamsSettings
from ingest.sources.media_streams.followed import CODECS, Wanted
from ingest.sources.media_streams.protocol import MediaStreamsProtocol
from runtime.supervision import Claim
from schemas.symbols import Channels

NAME = "media-streams"
SCOPE = "media:stream:read"


def dialled(own: MediaStreamsSettings, place: Place) -> DialledSource:
    """Return the source: a connection for up to as many calls as share one."""
    listed = [Call(interaction) for interaction in own.interactions]
    return DialledSource(NAME, own.interactions_per_socket, partial(_dial, own, place), listed, _refusal)


def _refusal(call: Call) -> str | None:
    if all(name.lower() in CODECS for name in call.codecs):
        return None
    return f"it names a codec that is none of {', '.join(sorted(CODECS))}"


def _dial(own: MediaStreamsSettings, place: Place, name: str, calls: Sequence[Call]) -> Dial:
    return Dial(
        source_name=NAME,
        connection=name,
        url=place.fill(own.url),
        policy=policy_of(own),
        new_protocol=partial(MediaStreamsProtocol, calls, _wanted(own)),
        rest_s=own.rest_s,
        wants_token=True,
        claim=Claim(scope=SCOPE, subject="the path of the media streams"),
    )


def _wanted(own: MediaStreamsSettings) -> Wanted:
    return Wanted(
        source_name=NAME,
        codecs=own.codec_preferences,
        channels=Channels[own.channels.upper()],
        scale=Scale(own.sample_rate_hz, own.clock_hz, own.sequence_bits, own.timestamp_bits),
        retry_s=own.retry_not_available_s,
        tries=own.not_available_tries,
    )
