"""Session ids: UUIDv7 (RFC 9562 section 5.7), so that they sort by when they were drawn. And which became which.

And conversation ids: which are the same.
"""

from collections import OrderedDict
from typing import NamedTuple
from uuid import UUID

from schemas.symbols import Source

_LIMIT = 100_000


def uuid7(wall_s: float, random: bytes) -> UUID:
    """Return a UUIDv7 of a time since the epoch and ten random bytes."""
    milliseconds = int(wall_s * 1000) & 0xFFFF_FFFF_FFFF
    bits = int.from_bytes(random[:10], "big")
    value = milliseconds << 80 | 0x7 << 76 | (bits >> 62 & 0xFFF) << 64 | 0b10 << 62 | bits & (2**62 - 1)
    return UUID(int=value)


def one_spelling(conversation_id: str) -> str:
    """Return the same text for a UUID however it is written, and any other id as it is."""
    try:
        return str(UUID(conversation_id))
    except ValueError:
        return conversation_id


class Predecessor(NamedTuple):
    """The session of another process that a session goes on from.

    `last_captured_s` is when it last wrote anything (epoch); None where nothing is missing since, for it ended because
    the media did.
    """

    session_id: str
    last_captured_s: float | None


class Lineage:
    """Remembers which session id a source's own key got, so that a later session can say what it goes on from.

    A conversation may be followed from two sources at once: the same key of another source is another session's.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._ids: OrderedDict[tuple[Source, str], str] = OrderedDict()
        self._left_s: dict[tuple[Source, str], float] = {}

    def take_over(self, source: Source, key: str, predecessor: Predecessor) -> None:
        """Let the next session of a key go on from one of another process."""
        self.note(source, key, predecessor.session_id)
        if predecessor.last_captured_s is None:
            self._left_s.pop((source, key), None)
        else:
            self._left_s[source, key] = predecessor.last_captured_s

    def left_s(self, source: Source, key: str) -> float | None:
        """Return since when the audio of a key is missing that was just taken over (epoch); once, then None."""
        return self._left_s.pop((source, key), None)

    def note(self, source: Source, key: str, session_id: str) -> None:
        """Take down the session id of a key; the oldest are forgotten."""
        self._ids[source, key] = session_id
        self._ids.move_to_end((source, key))
        if len(self._ids) > self._limit:
            forgotten, _ = self._ids.popitem(last=False)
            self._left_s.pop(forgotten, None)

    def find(self, source: Source, key: str | None) -> str | None:
        """Return the session id of a key; the key itself where it is of another process."""
        return None if key is None else self._ids.get((source, key), key)

    def earlier(self, source: Source, key: str) -> str | None:
        """Return the id of the last session of a key, None where it had none in this process."""
        return self._ids.get((source, key))
