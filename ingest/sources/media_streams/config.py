"""The settings of media streams."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ingest.connecting import ConnectionSettings, ConversationId, url_mistake


class MediaStreamsSettings(ConnectionSettings):
    """The media streams we dial: numbered packets of audio of many interactions over one connection."""

    url: str = Field(
        "wss://media.{region}.mypurecloud.com/api/v2/media/streams",
        description="Where to connect; `{region}` and `{domain}` are those of Genesys.",
    )
    interactions: tuple[ConversationId, ...] = Field(
        (), description="Conversation ids to follow; none: the source is off."
    )
    interactions_per_socket: int = Field(50, ge=1, le=50, description="How many of them share one connection.")
    codec_preferences: tuple[Literal["pcmu", "pcma", "opus"], ...] = Field(
        ("pcmu",),
        min_length=1,
        description="Codecs to ask for, the best first. The first is how payloads are read. "
        "Opus is stored and announced as it comes, but not analysed: no silence, no level, no text is made of it.",
    )
    retry_not_available_s: float = Field(
        5, gt=0, le=600, description="How long until an interaction whose media is not available is asked for again."
    )
    not_available_tries: int = Field(
        12, ge=1, le=1_000, description="After so many answers that its media is not available it is not followed."
    )
    channels: Literal["mixed", "external", "internal"] = Field("mixed", description="Whose voices a stream carries.")
    sample_rate_hz: int = Field(8_000, ge=8_000, le=48_000, description="Sample rate of the audio.")
    clock_hz: int = Field(8_000, ge=1_000, le=192_000, description="Clock that the packets' timestamps count.")
    sequence_bits: int = Field(32, ge=8, le=53, description="Width of the packets' numbers; 53 never wraps.")
    timestamp_bits: int = Field(32, ge=16, le=53, description="Width of their timestamps; 53 never wraps.")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what cannot be dialled."""
        yield from super().contradictions()
        mistake = url_mistake(self.url, "wss", {"domain", "region"})
        if mistake is not None:
            yield "url", mistake
        if len(set(self.interactions)) != len(self.interactions):
            yield "interactions", "names a conversation twice"
