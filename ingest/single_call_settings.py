"""The settings that the sources with one call per connection share: how their audio is read."""

from typing import Literal

from pydantic import Field

from ingest.connecting import ConnectionSettings
from ingest.media import CODECS, PAYLOAD_FIELDS, Media
from schemas.symbols import Channels

ChannelsName = Literal["mixed", "external", "internal", "external_internal", "internal_external"]


class SingleCallSettings(ConnectionSettings):
    """A connection per call, whose messages do not say what their audio is."""

    codec: Literal["pcmu", "pcma", "l16", "l16be"] = Field(
        "pcmu", description="How payloads are read; `l16` has the low byte first."
    )
    sample_rate_hz: int = Field(8_000, ge=8_000, le=48_000, description="Sample rate of the audio.")
    channels: ChannelsName = Field("mixed", description="Whose voices the audio carries; two are interleaved.")
    payload_fields: tuple[str, ...] = Field(
        PAYLOAD_FIELDS, min_length=1, description="Where a JSON message may hold its audio in base64; the first wins."
    )

    @property
    def media(self) -> Media:
        """How payloads are read."""
        return Media(CODECS[self.codec], self.sample_rate_hz, Channels[self.channels.upper()])
