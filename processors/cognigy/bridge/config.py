"""The settings of the bridge. Environment names start with `COGNIGY_BRIDGE_`."""

import ipaddress
import string
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr

from runtime.config import Section
from runtime.supervision import Policy

_KNOWN = ("app_id", "conversation_id", "domain", "websocket_id")
_HOST = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"


class BridgeSettings(Section):
    """Where the sockets of calls are, how they are kept, and what their messages hold."""

    url: str = Field(
        "wss://api.{domain}/v2/appfoundry/apps/{app_id}/websockets/{websocket_id}",
        description="Where a call's socket is dialled; it must hold `{websocket_id}` or `{conversation_id}`.",
    )
    domain: Annotated[str, Field(pattern=_HOST)] = Field("mypurecloud.com", description="The Genesys domain.")
    app_id: str | None = Field(None, description="Id of the application.")
    websocket_id: str = Field(
        "{conversation_id}", description="Id of a call's socket; it must hold `{conversation_id}`: one call each."
    )
    auth: Literal["header", "none"] = Field("header", description="Whether a token stands in the handshake.")
    token_url: str = Field(
        "https://login.{domain}/oauth/token", description="Where tokens are given; `{domain}` is the Genesys domain."
    )
    client_id: str | None = Field(None, description="Id of the OAuth client, for client credentials.")
    client_secret: SecretStr | None = Field(None, description="Its secret.")
    attempts: int = Field(10, ge=1, le=1_000, description="Tries to connect before the call's socket rests.")
    first_delay_s: float = Field(0.5, gt=0, le=60, description="Longest wait before the second try; it doubles.")
    longest_delay_s: float = Field(10, gt=0, le=600, description="Longest wait before any try.")
    rest_s: float = Field(30, gt=0, le=86_400, description="Rest after the last try, unless an input comes.")
    open_timeout_s: float = Field(5, gt=0, le=120, description="How long one try may take.")
    ping_interval_s: float = Field(20, ge=0, le=600, description="How often we ping; 0: never.")
    pong_timeout_s: float = Field(10, gt=0, le=120, description="How long the answer may take.")
    inactivity_s: float = Field(
        0, ge=0, le=3_600, description="Without a message for so long it reconnects; 0: never, bots may be silent."
    )
    stable_s: float = Field(10, ge=0, le=600, description="After so long with messages the tries count anew.")
    max_message_bytes: int = Field(2**20, ge=1_024, le=2**22, description="Longest message.")
    quiet_s: float = Field(
        0.7, gt=0, le=60, description="An answer is over when nothing more came for so long; it names no end itself."
    )
    end_types: tuple[str, ...] = Field((), description="Types of messages that end an answer; none is documented.")
    turn_field: str = Field("turnId", description="Where a message may repeat the id of the input it answers.")
    payload_fields: tuple[str, ...] = Field(
        ("data", "payload", "audio"), min_length=1, description="Where a message holds its audio; the first wins."
    )
    codec: Literal["pcmu", "pcma", "l16", "l16be"] = Field(
        "l16", description="What the bot's audio is; `l16` has the low byte first."
    )
    sample_rate_hz: int = Field(8_000, ge=8_000, le=48_000, description="Sample rate of the bot's audio.")
    audio: bool = Field(False, description="Send the caller's voice over the sockets too.")
    audio_encoding: Literal["l16", "source"] = Field(
        "l16", description="How it is sent: as samples of 16 bits, the low byte first, or as it came."
    )
    audio_chunk_ms: int = Field(100, ge=20, le=200, description="How much of it one message holds.")
    audio_max_age_ms: int = Field(
        500, ge=50, le=5_000, description="Audio older than that is dropped, not sent: it is only of use now."
    )

    @property
    def policy(self) -> Policy:
        """How a socket is dialled and kept."""
        return Policy(
            attempts=self.attempts,
            first_delay_s=self.first_delay_s,
            longest_delay_s=self.longest_delay_s,
            open_timeout_s=self.open_timeout_s,
            ping_interval_s=self.ping_interval_s or None,
            pong_timeout_s=self.pong_timeout_s,
            inactivity_s=self.inactivity_s or None,
            stable_s=self.stable_s,
            max_message_bytes=self.max_message_bytes,
        )

    def address(self, conversation_id: str) -> str:
        """Return where the socket of a call is dialled."""
        conversation = quote(conversation_id, safe="")
        websocket = self.websocket_id.format(conversation_id=conversation)
        ids = {"app_id": quote(self.app_id or "", safe=""), "websocket_id": websocket, "conversation_id": conversation}
        return self.url.format(domain=self.domain, **ids)

    def missing(self) -> Iterator[tuple[str, str]]:
        """Return what is needed before the bridge can be used."""
        if self.app_id is None and "{app_id}" in self.url:
            yield "app_id", "is needed to dial the sockets"
        if self.auth == "header" and (self.client_id is None or self.client_secret is None):
            yield "client_id", "and the client secret are needed: the sockets want a token"

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what cannot be dialled, and times that do not fit together."""
        yield from _mistakes("url", self.url, "wss", _KNOWN)
        yield from _mistakes("token_url", self.token_url, "https", ("domain",))
        per_call = "{conversation_id}" in self.url or (
            "{websocket_id}" in self.url and "{conversation_id}" in self.websocket_id
        )
        if not per_call:
            yield "url", "names the same socket for all calls: its messages do not say whose they are"
        if self.longest_delay_s < self.first_delay_s:
            yield "longest_delay_s", "is less than the first delay"


def _mistakes(field: str, template: str, scheme: str, known: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        parts = urlsplit(template)
        host, _ = parts.hostname, parts.port
    except ValueError:
        yield field, "Input should be a URL"
        return
    if not names <= set(known):
        yield field, f"holds a placeholder there is no value for; there is {', '.join(sorted(known))}"
    elif not host or parts.username is not None or parts.fragment or any(sign.isspace() for sign in template):
        yield field, "Input should be a URL with a host, without user, fragment and spaces"
    elif parts.scheme != scheme and not (parts.scheme == scheme[:-1] and _is_loopback(host)):
        yield field, f"URL should begin with {scheme}://, unless the host is this machine"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
