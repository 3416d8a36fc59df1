"""The settings of AppFoundry."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ingest.connecting import ConversationId, url_mistake
from ingest.single_call_settings import ChannelsName, SingleCallSettings


class AppFoundrySettings(SingleCallSettings):
    """The AppFoundry WebSockets we dial: audio, transcripts and intents of one conversation each."""

    url: str = Field(
        "wss://api.{domain}/v2/appfoundry/apps/{app_id}/websockets/{websocket_id}",
        description="Where to connect; `{domain}` and `{region}` are those of Genesys.",
    )
    app_id: str | None = Field(None, description="Id of the application.")
    sockets: dict[str, ConversationId] = Field(
        {}, description="WebSocket id → the conversation it belongs to; none: the source is off."
    )
    channel: Literal["external", "internal", "mixed"] = Field("external", description="Whose words the texts are.")
    language: str | None = Field(None, description="Language of texts that do not name theirs.")
    auth: Literal["header", "none"] = Field("header", description="Whether a token stands in the handshake.")
    codec: Literal["pcmu", "pcma", "l16", "l16be"] = Field(
        "l16", description="How payloads are read; `l16` has the low byte first."
    )
    channels: ChannelsName = Field("external", description="Whose voices the audio carries; two are interleaved.")
    attempts: int = Field(10, ge=1, le=1_000, description="Tries to connect before it rests and the sessions end.")
    first_delay_s: float = Field(2, gt=0, le=60, description="Longest wait before the second try; it doubles.")
    ping_interval_s: float = Field(20, ge=0, le=600, description="How often we ping; 0: never.")
    inactivity_s: float = Field(
        30, ge=0, le=3_600, description="Without a message for so long it reconnects; 0: never."
    )

    @property
    def needs_token(self) -> bool:
        """True where the calls it names cannot be had without one."""
        return self.auth != "none" and bool(self.sockets)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what cannot be dialled."""
        yield from super().contradictions()
        mistake = url_mistake(self.url, "wss", {"app_id", "domain", "region", "websocket_id"})
        if mistake is not None:
            yield "url", mistake
        elif len(self.sockets) > 1 and "{websocket_id}" not in self.url:
            yield "url", "needs the placeholder {websocket_id} to tell the sockets apart"
        if self.sockets and self.app_id is None and "{app_id}" in self.url:
            yield "app_id", "is needed to dial the sockets"
        if any(not socket or "/" in socket for socket in self.sockets):
            yield "sockets", "holds an id that cannot stand in a URL"
        if len(set(self.sockets.values())) != len(self.sockets):
            yield "sockets", "names a conversation twice"
