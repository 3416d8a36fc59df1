"""The settings of the cognigy processor. Environment names start with `COGNIGY_`."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from processors.cognigy.breaker import Patience
from processors.cognigy.bridge.config import BridgeSettings
from processors.cognigy.rules import Rules
from runtime.config import settings_hash
from runtime.errors import ConfigError
from runtime.tuning import ForwardingSettings
from schemas.symbols import Channel

_USUAL = Rules()
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,}")


class CognigySettings(ForwardingSettings):
    """Where the bot is, what it is told, how fast and for how long."""

    transport: Literal["rest", "bridge"] = Field(
        "rest", description="How the bot is reached: Cognigy's REST endpoint, or sockets of an AppFoundry application."
    )
    endpoint_url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] | None = Field(
        None,
        description="Address of the REST endpoint without its token; `/test` behind the host: turns are not billed.",
    )
    url_token: SecretStr | None = Field(None, description="The endpoint's URL token: who knows it can use the bot.")
    channels: tuple[Channel, ...] = Field(
        _USUAL.channels, min_length=1, description="Channels whose texts are inputs of the bot."
    )
    on_ambiguous: Literal["skip_and_flag", "resend"] = Field(
        _USUAL.on_ambiguous, description="What to do with an input that a crashed process may have sent."
    )
    on_newer_input: Literal["queue", "supersede"] = Field(
        _USUAL.on_newer_input,
        description="What becomes of words not sent yet when the caller has spoken again: sent in their turn, or not.",
    )
    metadata: Literal["first_input", "call_start", "never"] = Field(
        _USUAL.metadata,
        description="When the bot is told what call it is; at the start it is an input of its own, without words.",
    )
    max_input_age_s: float = Field(
        _USUAL.max_input_age_s, gt=0, le=3600, description="An input older than this is not sent any more."
    )
    late_after_s: float = Field(
        _USUAL.late_after_s, gt=0, le=3600, description="An answer so long after the end of the utterance is late."
    )
    slow_after_s: float = Field(
        _USUAL.slow_after_s, gt=0, le=3600, description="A turn whose answer takes longer than this is slow."
    )
    attempts: int = Field(
        _USUAL.attempts, ge=1, le=3, description="Requests for one input, while they provably do not reach the bot."
    )
    longest_request_bytes: int = Field(
        _USUAL.longest_request_bytes, ge=1_000, le=2 * 10**6, description="A larger input is refused, not sent."
    )
    longest_answer_bytes: int = Field(
        _USUAL.longest_answer_bytes, ge=1_000, le=256 * 2**10, description="A larger answer is not read."
    )
    intent_path: str = Field(
        _USUAL.intent_path, description="Where the Flow puts the intent's name in `data`: names joined by dots."
    )
    intent_score_path: str = Field(_USUAL.intent_score_path, description="Where it puts the intent's score, 0 to 1.")
    rate_per_s: float = Field(3, gt=0, le=10_000, description="Inputs a second that may leave from one address.")
    burst: int = Field(50, ge=1, le=10_000, description="Inputs that may leave it at once after a quiet time.")
    processes_per_address: int = Field(
        1, ge=1, le=1_000, description="Processes that share the address: each takes its share of rate and burst."
    )
    outage_after: int = Field(
        5, ge=1, le=1_000, description="Inputs in a row without an answer after which the bot counts as down."
    )
    outage_rest_s: float = Field(
        2, gt=0, le=300, description="For how long nothing is sent then, before one input probes; it doubles."
    )
    outage_longest_rest_s: float = Field(30, gt=0, le=3_600, description="The longest such rest.")
    connect_timeout_s: float = Field(
        3, gt=0, le=60, description="How long a connection may take to be made; then the input was not sent."
    )
    read_timeout_s: float = Field(20, gt=0, le=120, description="How long an answer may take; then nobody knows.")
    bridge: BridgeSettings = BridgeSettings()

    @property
    def pace(self) -> tuple[float, int]:
        """This process's share of the rate a second, and of the burst."""
        return self.rate_per_s / self.processes_per_address, max(1, self.burst // self.processes_per_address)

    @property
    def patience(self) -> Patience:
        """When the bot counts as down."""
        longest_s = max(self.outage_rest_s, self.outage_longest_rest_s)
        return Patience(self.outage_after, self.outage_rest_s, longest_s)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what is missing for the transport, an address nobody could call, and a token that is none."""
        if self.transport == "bridge":
            yield from ((f"bridge_{field}", why) for field, why in self.bridge.missing())
        else:
            yield from self._rest_contradictions()

    def _rest_contradictions(self) -> Iterator[tuple[str, str]]:
        if self.endpoint_url is None:
            yield "endpoint_url", "is needed: the address of the bot's REST endpoint"
        elif not _callable(self.endpoint_url):
            yield "endpoint_url", "has no host and port that can be called"
        if self.url_token is None:
            yield "url_token", "is needed: the part of the endpoint's address behind the last slash"
        elif not _TOKEN.fullmatch(self.url_token.get_secret_value()):
            yield "url_token", "must be at least 16 of the characters A-Z, a-z, 0-9, dot, hyphen, underscore and tilde"


def _callable(url: str) -> bool:
    try:
        # asking for the port is what checks it
        return urlsplit(url).port != 0
    except ValueError:
        return False


def endpoint(settings: CognigySettings) -> tuple[str, SecretStr]:
    """Return address and token. Raises `ConfigError` where one is missing."""
    if settings.endpoint_url is None or settings.url_token is None:
        raise ConfigError(["COGNIGY_ENDPOINT_URL and COGNIGY_URL_TOKEN are needed"])
    return settings.endpoint_url, settings.url_token


def rules(settings: CognigySettings) -> Rules:
    """Return what shapes the turns, with its digest."""
    values = {name: getattr(settings, name) for name in Rules.names()}
    return Rules(**values, settings_hash=settings_hash(settings, Rules.names()))
