"""Media streams as a source we call: its settings → the connections to keep, and the machine of each."""

from collections.abc import Sequence

from ingest.connecting import Place
from ingest.dialling import Dial, policy_of
from ingest.sources.media_streams.config import MediaStreamsSettings
from ingest.sources.media_streams.placement import Scale
from ingest.sources.media_streams.protocol import MediaStreamsProtocol, Wanted
from schemas.symbols import Channels

NAME = "media-streams"


class _Lives:
    """Makes the machines of one connection, one after the other: what the platform ended is not followed again."""

    def __init__(self, interactions: Sequence[str], wanted: Wanted) -> None:
        self._wanted = wanted
        self._latest = MediaStreamsProtocol(interactions, wanted)

    def __call__(self) -> MediaStreamsProtocol:
        self._latest = MediaStreamsProtocol(self._latest.remaining, self._wanted)
        return self._latest


def dials(own: MediaStreamsSettings, place: Place) -> list[Dial]:
    """Return a connection for each share of the interactions; none where none is set."""
    size = own.interactions_per_socket
    shares = [own.interactions[start : start + size] for start in range(0, len(own.interactions), size)]
    return [
        Dial(
            source_name=NAME,
            connection=f"{number} of {len(shares)}",
            url=place.fill(own.url),
            policy=policy_of(own),
            new_protocol=_Lives(share, _wanted(own)),
            rest_s=own.rest_s,
        )
        for number, share in enumerate(shares, 1)
    ]


def _wanted(own: MediaStreamsSettings) -> Wanted:
    scale = Scale(own.sample_rate_hz, own.clock_hz, own.sequence_bits, own.timestamp_bits)
    return Wanted(NAME, own.codec_preferences, Channels[own.channels.upper()], scale)
