"""The settings of ingest."""

import ipaddress
import string
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from ingest.identity import one_spelling
from ingest.keys import parse_keys
from runtime.config import Section, Settings

_LONGEST_AUDIO_BYTES = 900 * 1024
"""A record that holds it is one that brokers take without being told; base64 of a message of 2**20 bytes is less."""
_ConversationId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(one_spelling)]
_DOMAIN = r"^[A-Za-z0-9](-?[A-Za-z0-9])*(\.[A-Za-z0-9](-?[A-Za-z0-9])*)+$"


class AudioHookSettings(Section):
    """Where Genesys Cloud reaches us, and what it may do."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(3900, ge=0, le=65535, description="Port to listen on; 0 takes a free one and logs it.")
    path_prefix: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]*$")] = Field(
        "/audiohook", description="Path of the connection URI; what is below it belongs to it too."
    )
    keys_file: Path | None = Field(
        None,
        description='JSON file of API keys and their base64 client secrets: `{"key": "secret"}`. '
        "An empty secret allows unsigned requests. Without a file nobody may connect.",
    )
    public_authority: str | None = Field(
        None, description="Host (and port, unless the default) of the connection URI, where a proxy rewrites it."
    )
    signature_max_age_s: float = Field(10, gt=0, le=3600, description="How old a signature may be.")
    signature_skew_s: float = Field(5, ge=0, le=600, description="How far the platform's clock and ours may differ.")
    refuse_replays: bool = Field(True, description="Refuse a nonce used before by the same key and session.")
    tls_certfile: Path | None = Field(None, description="PEM certificate chain, where no proxy ends TLS for us.")
    tls_keyfile: Path | None = Field(None, description="PEM key of that certificate.")
    max_connections: int = Field(2_000, ge=1, le=100_000, description="Connections at once; more get 503.")
    max_message_bytes: int = Field(
        65_536, ge=1_024, le=_LONGEST_AUDIO_BYTES, description="Longest message, text or audio."
    )
    open_deadline_s: float = Field(10, gt=0, le=120, description="How long `open` may take after the upgrade.")
    idle_s: float = Field(15, gt=0, le=600, description="Without a message for so long the session is given up.")
    close_deadline_s: float = Field(10, gt=0, le=60, description="How long the client may take over `close`.")
    publish_digits: bool = Field(False, description="Put DTMF digits on calls.events; else only that one was pressed.")
    l16_byte_order: Literal["little", "big"] = Field("little", description="Byte order of L16 audio.")
    supported_languages: tuple[str, ...] = Field(
        (), description="Languages to name where the platform asks which are transcribed."
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return which files cannot be used."""
        if self.keys_file is not None:
            try:
                parse_keys(self.keys_file.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError):
                yield "keys_file", "the file cannot be read"
            except ValueError as error:
                yield "keys_file", str(error)
        if (self.tls_certfile is None) != (self.tls_keyfile is None):
            yield "tls_keyfile" if self.tls_keyfile is None else "tls_certfile", "is needed beside the other of the two"
        for name in ("tls_certfile", "tls_keyfile"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                yield name, "the file cannot be read"


def is_loopback(host: str) -> bool:
    """Tell whether a host can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def url_mistake(url: str, scheme: str, known: Collection[str]) -> str | None:
    """Return what is wrong with the template of a URL, None where nothing is.

    `scheme` is demanded of every host but this machine's own; `known` are the placeholders it may hold.
    """
    try:
        fields = [field for field in string.Formatter().parse(url) if field[1] is not None]
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "Input should be a URL"
    if any(name not in known or spec or conversion for _, name, spec, conversion in fields):
        names = ", ".join(f"{{{name}}}" for name in sorted(known)) or "none"
        return f"holds a placeholder there is no value for; there is {names}"
    if not host or parts.fragment or parts.username is not None or any(sign.isspace() for sign in url):
        return "Input should be a URL with a host, without user, fragment and spaces"
    if parts.scheme != scheme and not (parts.scheme == scheme[:-1] and is_loopback(host)):
        return f"URL should begin with {scheme}://, unless the host is this machine"
    return None


class OAuthSettings(Section):
    """Where the tokens for the connections we open come from."""

    token_url: str = Field(
        "https://login.{domain}/oauth/token", description="Where tokens are given; `{domain}` is the Genesys domain."
    )
    client_id: str | None = Field(None, description="Id of the OAuth client, for client credentials.")
    client_secret: SecretStr | None = Field(None, description="Its secret.")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what is missing beside the other."""
        mistake = url_mistake(self.token_url, "https", {"domain", "region"})
        if mistake is not None:
            yield "token_url", mistake
        if self.client_id is not None and self.client_secret is None:
            yield "client_secret", "is needed beside the client id"
        if self.client_secret is not None and self.client_id is None:
            yield "client_id", "is needed beside the client secret"


class ConnectionSettings(Section):
    """How the connections of a source we call are opened, watched and closed."""

    attempts: int = Field(5, ge=1, le=1_000, description="Tries to connect before it rests and the sessions end.")
    first_delay_s: float = Field(1, gt=0, le=60, description="Longest wait before the second try; it doubles.")
    longest_delay_s: float = Field(30, gt=0, le=600, description="Longest wait before any try.")
    rest_s: float = Field(60, gt=0, le=86_400, description="Rest after the last try; then it starts over.")
    open_timeout_s: float = Field(10, gt=0, le=120, description="How long one try may take.")
    ping_interval_s: float = Field(30, ge=0, le=600, description="How often we ping; 0: never.")
    pong_timeout_s: float = Field(10, gt=0, le=120, description="How long the answer may take.")
    close_timeout_s: float = Field(5, gt=0, le=60, description="How long closing may take.")
    inactivity_s: float = Field(0, ge=0, le=3_600, description="Without a message for so long it reconnects; 0: never.")
    stable_s: float = Field(10, ge=0, le=600, description="After so long with messages the tries count anew.")
    max_message_bytes: int = Field(2**20, ge=1_024, le=2**20, description="Longest message.")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return the times that do not fit together."""
        if self.longest_delay_s < self.first_delay_s:
            yield "longest_delay_s", "is less than the first delay"


class MediaStreamsSettings(ConnectionSettings):
    """The media streams we dial: numbered packets of audio of many interactions over one connection."""

    url: str = Field(
        "wss://media.{region}.mypurecloud.com/api/v2/media/streams",
        description="Where to connect; `{region}` and `{domain}` are those of Genesys.",
    )
    interactions: tuple[_ConversationId, ...] = Field(
        (), description="Conversation ids to follow; none: the source is off."
    )
    interactions_per_socket: int = Field(50, ge=1, le=50, description="How many of them share one connection.")
    codec_preferences: tuple[Literal["pcmu", "pcma", "opus"], ...] = Field(
        ("pcmu",), min_length=1, description="Codecs to ask for, the best first. The first is how payloads are read."
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


class AppFoundrySettings(ConnectionSettings):
    """The AppFoundry WebSockets we dial: transcripts and intents of one conversation each."""

    url: str = Field(
        "wss://api.{domain}/v2/appfoundry/apps/{app_id}/websockets/{websocket_id}",
        description="Where to connect; `{domain}` and `{region}` are those of Genesys.",
    )
    app_id: str | None = Field(None, description="Id of the application.")
    sockets: dict[str, _ConversationId] = Field(
        {}, description="WebSocket id → the conversation it belongs to; none: the source is off."
    )
    channel: Literal["external", "internal", "mixed"] = Field("external", description="Whose words the texts are.")
    language: str | None = Field(None, description="Language of texts that do not name theirs.")
    attempts: int = Field(10, ge=1, le=1_000, description="Tries to connect before it rests and the sessions end.")
    first_delay_s: float = Field(2, gt=0, le=60, description="Longest wait before the second try; it doubles.")
    ping_interval_s: float = Field(20, ge=0, le=600, description="How often we ping; 0: never.")
    inactivity_s: float = Field(
        30, ge=0, le=3_600, description="Without a message for so long it reconnects; 0: never."
    )

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


class IngestSettings(Settings):
    """Settings of the ingest service."""

    audiohook: AudioHookSettings = AudioHookSettings()
    oauth: OAuthSettings = OAuthSettings()
    media_streams: MediaStreamsSettings = MediaStreamsSettings()
    appfoundry: AppFoundrySettings = AppFoundrySettings()
    genesys_domain: Annotated[str, Field(pattern=_DOMAIN)] = Field(
        "mypurecloud.com", description="Domain of the Genesys Cloud region: login and API hosts lie below it."
    )
    genesys_region: Annotated[str, Field(pattern=r"^[a-z]{2,5}(-[a-z]+)+-\d$")] = Field(
        "us-east-1", description="Name of that region, for URLs that hold it."
    )
    publish_when_pause_unknown: bool = Field(
        False,
        description="Publish audio, digits and texts of sources that do not say when a call is paused, "
        "while no other session of the call says it either.",
    )
    resume_guard_s: float = Field(
        2,
        ge=0,
        le=60,
        description="Digits and texts of such sources that come so soon after a pause are withheld: "
        "they may be of the time of the pause.",
    )
    linger_ms: int = Field(10, ge=1, le=1_000, description="How long records gather before they are sent to Kafka.")
    max_batch_bytes: int = Field(
        256 * 1024, ge=128 * 1024, le=900 * 1024, description="A batch of this size is sent at once."
    )
    max_buffer_bytes: int = Field(
        256 * 2**20,
        ge=2**20,
        le=2**36,
        description="Records that may wait for Kafka in memory; above it audio is dropped and announced as a gap.",
    )
    tick_interval_s: float = Field(5, gt=0, le=60, description="How often every partition gets a TICK.")
    drain_sessions_s: float = Field(5, ge=0, le=3_600, description="How long calls may go on after a stop was asked.")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return the times that do not fit together, and what is missing to dial."""
        # what we dialled is asked to close, then made to
        dialled_s = 2 * max(self.media_streams.close_timeout_s, self.appfoundry.close_timeout_s)
        # two for connections that do not close either, one kept back for the end, one to write the last records
        needed_s = self.drain_sessions_s + max(self.audiohook.close_deadline_s + 2, dialled_s) + 2
        if needed_s > self.service.drain_budget_s:
            yield "drain_sessions_s", "leaves no time within the drain budget to close sessions and write the rest"
        if self.oauth.client_id is None and (self.media_streams.interactions or self.appfoundry.sockets):
            yield "oauth_client_id", "is needed to open the connections that are wanted"
