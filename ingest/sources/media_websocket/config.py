"""The settings of media WebSockets."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ingest.connecting import ConversationId, url_mistake
from ingest.single_call_settings import SingleCallSettings


class MediaWebSocketSettings(SingleCallSettings):
    """The media WebSockets we dial: the audio of one media connection each."""

    url: str = Field(
        "wss://api.{domain}/api/v2/media/websocket",
        description="Where to connect; `{domain}` and `{region}` are those of Genesys, "
        "`{connection_id}` and `{conversation_id}` those of the call.",
    )
    connections: dict[str, ConversationId] = Field(
        {}, description="Media connection id → the conversation it belongs to; none: the source is off."
    )
    auth: Literal["message", "header", "none"] = Field(
        "message", description="Where the token stands: in the first message, in the handshake, or nowhere."
    )
    user_id: str | None = Field(None, min_length=1, description="User to name beside the token, for tracing.")
    auth_timeout_s: float = Field(5, gt=0, le=60, description="How long the answer to the token may take.")
    subscribe_timeout_s: float = Field(
        10, gt=0, le=120, description="How long an acknowledgement of the subscription, or its first audio, may take."
    )
    inactivity_s: float = Field(
        60, ge=0, le=3_600, description="Without a message for so long it reconnects; 0: never."
    )
    max_message_bytes: int = Field(900 * 1024, ge=1_024, le=900 * 1024, description="Longest message.")

    @property
    def needs_token(self) -> bool:
        """True where the calls it names cannot be had without one."""
        return self.auth != "none" and bool(self.connections)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what cannot be dialled."""
        yield from super().contradictions()
        mistake = url_mistake(self.url, "wss", {"connection_id", "conversation_id", "domain", "region"})
        if mistake is not None:
            yield "url", mistake
        if "" in self.connections:
            yield "connections", "holds an empty id"
        if len(set(self.connections.values())) != len(self.connections):
            yield "connections", "names a conversation twice"
