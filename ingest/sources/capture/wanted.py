"""What an operator wants of a file, and what comes of it: facts with their times. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.protocol import Fact
from ingest.sources.capture.network import end_of
from ingest.sources.capture.payload_types import STATIC, Meaning
from schemas.symbols import Channels


class Choice(NamedTuple):
    """One direction of a call: a stream by its SSRC, or all that come from an address and port (as in the packet)."""

    text: str
    ssrc: int | None = None
    source: bytes | None = None


def choice_of(text: str) -> Choice:
    """Return what a text names: an SSRC (decimal, or hexadecimal behind 0x) or an address and port.

    Raises `ValueError` for anything else.
    """
    word = text.strip()
    if ":" in word:
        return Choice(word, source=end_of(word))
    try:
        ssrc = int(word, 16 if word[:2].lower() == "0x" else 10)
    except ValueError:
        ssrc = -1
    if not 0 <= ssrc < 1 << 32:
        message = f"{text!r} is neither an SSRC (123456 or 0x1f2e3d4c) nor an address and port (192.0.2.1:5004)"
        raise ValueError(message)
    return Choice(f"{ssrc:08x}", ssrc=ssrc)


@dataclass(frozen=True, slots=True)
class Pair:
    """The two directions of one call; one of them may be missing."""

    external: Choice | None = None
    internal: Choice | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a file is to be taken. `name` begins the conversation ids, unless `conversation` is one.

    `channels` is what a stream holds that no choice names (None: MIXED, of a stereo file EXTERNAL_INTERNAL). A session
    that had nothing for `idle_s` ends. A WAV file says neither when it `began_s` (epoch) nor how it was cut: `frame_ms`
    of it make a record. `import_id` stands in every session as its correlation id.
    """

    name: str
    conversation: str | None = None
    pairs: Sequence[Pair] = ()
    channels: Channels | None = None
    meanings: Mapping[int, Meaning] = field(default_factory=lambda: STATIC)
    publish_digits: bool = False
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    idle_s: float = 900.0
    began_s: float = -1.0
    frame_ms: int = 100
    import_id: str | None = None


class Timed(NamedTuple):
    """A fact and when it was captured."""

    at_s: float
    fact: Fact
