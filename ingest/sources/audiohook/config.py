"""The settings of AudioHook."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ingest.keys import read_keys
from runtime.config import Section

_LONGEST_AUDIO_BYTES = 900 * 1024
"""A record that holds it is one that brokers take without being told; base64 of a message of 2**20 bytes is less."""


class AudioHookSettings(Section):
    """Where Genesys Cloud reaches us, and what it may do."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(3900, ge=0, le=65535, description="Port to listen on; 0 takes a free one and logs it.")
    path_prefix: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]*$")] = Field(
        "/audiohook", description="Path of the connection URI; what is below it belongs to it too."
    )
    keys_file: Path | None = Field(
        None,
        description='JSON file of API keys and their base64 client secrets, `{"key": "secret"}`, or a folder of such '
        "`*.json` files. An empty secret allows unsigned requests. Changes count within seconds. Without a file nobody "
        "may connect.",
    )
    public_authority: Annotated[str, Field(pattern=r"^[^\s/@?#]+$")] | None = Field(
        None, description="Host (and port, unless the default) of the connection URI, where a proxy rewrites it."
    )
    public_path: Annotated[str, Field(pattern=r"^/[!-~]*$")] | None = Field(
        None, description="Path of the connection URI that reaches us as the path prefix, where a proxy rewrites it."
    )
    signature_max_age_s: float = Field(10, gt=0, le=3600, description="How old a signature may be.")
    signature_skew_s: float = Field(5, ge=0, le=600, description="How far the platform's clock and ours may differ.")
    refuse_replays: bool = Field(True, description="Refuse a nonce used before by the same key and session.")
    tls_certfile: Path | None = Field(None, description="PEM certificate chain, where no proxy ends TLS for us.")
    tls_keyfile: Path | None = Field(None, description="PEM key of that certificate.")
    max_connections: int = Field(2_000, ge=1, le=100_000, description="Connections at once; more get 503.")
    max_sessions_per_organization: int | None = Field(
        None, ge=1, le=100_000, description="Connections of one organisation at once; more get 429."
    )
    handshakes_per_s: float = Field(
        500, gt=0, le=100_000, description="Requests to connect in a second, in the long run; more get 429."
    )
    handshake_burst: int = Field(2_000, ge=1, le=100_000, description="Requests to connect that may come at once.")
    max_handshakes: int = Field(
        1_000, ge=1, le=100_000, description="Connections that may be without an answered request; more get 503."
    )
    handshake_deadline_s: float = Field(
        10, gt=0, le=60, description="How long a request to connect may take, and TLS before it."
    )
    max_header_bytes: int = Field(
        16_384, ge=2_048, le=131_072, description="Longest request to connect; a longer one gets 431."
    )
    max_message_bytes: int = Field(
        65_536, ge=1_024, le=_LONGEST_AUDIO_BYTES, description="Longest message, text or audio."
    )
    max_ahead_s: float = Field(
        600,
        gt=0,
        le=86_400,
        description="So much more audio than time may come in a session; beyond that it is ended: what waits for Kafka "
        "is shared by all calls.",
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
                read_keys(self.keys_file)
            except ValueError as error:
                yield "keys_file", str(error)
        if (self.tls_certfile is None) != (self.tls_keyfile is None):
            yield "tls_keyfile" if self.tls_keyfile is None else "tls_certfile", "is needed beside the other of the two"
        for name in ("tls_certfile", "tls_keyfile"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                yield name, "the file cannot be read"
