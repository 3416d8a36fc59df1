"""The settings that all sources we call share, and what a URL of theirs may be."""

import ipaddress
import re
import string
from collections.abc import Collection, Iterator
from typing import Annotated, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from pydantic import AfterValidator, Field

from ingest.identity import one_spelling
from runtime.config import Section

ConversationId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(one_spelling)]
"""The id of a conversation, in the one spelling all sources use."""

_EVENTS_ONLY = re.compile(r"/(analytics/[a-z]+|webchat/[a-z]+|notifications)(/|$)")
"""Paths of the platform's API that are taken for sources of audio: they tell what happened and carry no sound."""


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
    return _no_media(host, parts.path) if scheme == "wss" else None


def _no_media(host: str, path: str) -> str | None:
    """Return why a WebSocket can bring no media: the platform's endpoints of events, chats and notifications."""
    lower = unquote(path).lower()
    if host.partition(".")[0] == "streaming" or _EVENTS_ONLY.search(lower):
        return "is an endpoint of events: they carry no audio, so nothing could be published from there"
    return None


class ConnectionSettings(Section):
    """How the connections of a source we call are opened, watched and closed."""

    attempts: int = Field(5, ge=1, le=1_000, description="Tries to connect before it rests and the sessions end.")
    first_delay_s: float = Field(1, gt=0, le=60, description="Longest wait before the second try; it doubles.")
    longest_delay_s: float = Field(30, gt=0, le=600, description="Longest wait before any try.")
    start_spread_s: float = Field(0.25, ge=0, le=60, description="Longest wait before the first try.")
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


class Place(NamedTuple):
    """Where in Genesys Cloud: the domain below which its hosts lie, and the region's name."""

    domain: str
    region: str

    def fill(self, template: str, **ids: str) -> str:
        """Return a URL of a template: the domain, the region, and ids as the parts of a path."""
        escaped = {name: quote(value, safe="") for name, value in ids.items()}
        return template.format(domain=self.domain, region=self.region, **escaped)
