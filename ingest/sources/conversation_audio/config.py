"""The settings of conversation audio."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from ingest.connecting import ConversationId, url_mistake
from ingest.single_call_settings import SingleCallSettings

ORG_PATTERN = r"^[A-Za-z0-9](-?[A-Za-z0-9])*$"
"""An organisation is a part of a host name."""


class ConversationAudioSettings(SingleCallSettings):
    """The sockets of conversations we dial: the audio of one conversation each."""

    url: str = Field(
        "wss://media-{org}.{domain}/media/v1/conversations/{conversation_id}/audio",
        description="Where to connect; `{domain}` and `{region}` are those of Genesys.",
    )
    org: Annotated[str, Field(pattern=ORG_PATTERN, max_length=50)] | None = Field(
        None, description="The organisation, as it stands in the name of its media host."
    )
    conversations: tuple[ConversationId, ...] = Field(
        (), description="Conversation ids to follow; none: the source is off."
    )
    auth: Literal["none", "header"] = Field("none", description="Whether a token stands in the handshake.")
    heartbeat: Literal["control", "binary"] = Field(
        "control",
        description="What the peer pings with: control frames, so that binary messages are audio; "
        "or binary messages, which are sent back.",
    )
    text_audio: Literal["base64", "json"] = Field(
        "base64", description="What a text message of audio is: base64, or JSON that holds it."
    )
    ping_interval_s: float = Field(20, ge=0, le=600, description="How often we ping; 0: never.")
    max_message_bytes: int = Field(900 * 1024, ge=1_024, le=900 * 1024, description="Longest message.")

    @property
    def needs_token(self) -> bool:
        """True where the calls it names cannot be had without one."""
        return self.auth != "none" and bool(self.conversations)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what cannot be dialled."""
        yield from super().contradictions()
        mistake = url_mistake(self.url, "wss", {"conversation_id", "domain", "org", "region"})
        if mistake is not None:
            yield "url", mistake
        elif "{conversation_id}" not in self.url and len(self.conversations) > 1:
            yield "url", "needs the placeholder {conversation_id} to tell the conversations apart"
        if self.conversations and self.org is None and "{org}" in self.url:
            yield "org", "is needed to dial the conversations"
        if len(set(self.conversations)) != len(self.conversations):
            yield "conversations", "names a conversation twice"
