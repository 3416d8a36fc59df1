"""Live and replayed outputs of the same inputs → where they differ. Pure.

Two outputs are equal when partition, key, timestamp and value are, byte for byte. They belong together when they name
the same origin; a dead letter's origin stands in its headers. Outputs of sessions that did not open inside the stretch
are left out, and so are those of inputs from before what the live topic still holds.

Both sides may come in any order; what has met its equal is forgotten, so that little is held when they come abreast.
Where live processing may write an output again (at least once), further equal ones count as one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from callstream.dead_letters import personal, printable
from schemas.codec import SchemaStore
from schemas.errors import InvalidRecord
from schemas.topics import Topic
from schemas.versions import FOLDERS, newest

_HEADER = "__connect.errors."
_SHOWN = 40
_ALL = 2**63
_SETTINGS = "settings_hash"

Told = tuple[int, bytes | None, int, bytes | None]
"""Partition, key, timestamp and value."""


class Place(NamedTuple):
    """The origin of an output: which input caused it, and its number among those that input caused."""

    topic: str
    partition: int
    offset: int
    number: int

    def __str__(self) -> str:
        number = "" if self.number < 0 else f", output {self.number}"
        return f"{self.topic}/{self.partition}/{self.offset}{number}"


@dataclass(frozen=True, slots=True)
class Row:
    """One record of an output topic as it was read."""

    partition: int
    key: bytes | None
    timestamp_ms: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def told(self) -> Told:
        """What must be equal."""
        return self.partition, self.key, self.timestamp_ms, self.value


class Known(NamedTuple):
    """What comparing needs to know of an output; session and settings are empty for a dead letter."""

    place: Place
    session_id: str
    settings_hash: str


class Difference(NamedTuple):
    """Where outputs of one topic differ first, and how."""

    place: Place
    topic: str
    how: str

    def __str__(self) -> str:
        return f"{self.topic} differs at {self.place}: {self.how}"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which outputs are compared: by the offset of their input (first, end) per partition, and by session and key."""

    stretches: Mapping[int, tuple[int, int]]
    opened: frozenset[str]
    wanted: Callable[[bytes | None], bool] = lambda _: True

    def holds(self, known: Known, key: bytes | None) -> bool:
        """Return whether an output is compared."""
        first, end = self.stretches.get(known.place.partition, (0, 0))
        if not first <= known.place.offset < end or not self.wanted(key):
            return False
        return not known.session_id or known.session_id in self.opened


class Comparison:
    """The outputs of one topic, as far as they were read. `compared` counts those that met their equal."""

    def __init__(self, topic: Topic, scope: Scope, store: SchemaStore) -> None:
        self.topic = topic
        self.compared = 0
        self.unreadable = 0
        self.left_out = 0
        """Replayed outputs whose live ones the log no longer holds; after `differences`."""
        self.but_for_settings = 0
        """Outputs whose settings hash alone differs, which is told of all at once; after `differences`."""
        self.hashes: tuple[set[str], set[str]] = (set(), set())
        """Settings hashes, live and replayed."""
        self._scope = scope
        self._store = store
        self._once = not topic.delivery.startswith("at least once")
        self._waiting: tuple[dict[Place, list[Row]], dict[Place, list[Row]]] = ({}, {})
        self._met: set[tuple[Place, Told]] = set()
        self._held_from: dict[int, int] = {}

    def live(self, row: Row) -> None:
        """Take in a record of the live topic."""
        self._take(0, row)

    def replayed(self, row: Row) -> None:
        """Take in a record of the replay's topic."""
        self._take(1, row)

    def begins_at(self, partition: int, row: Row | None) -> None:
        """Note that nothing lies before a live record any more, though something did; None: nothing is left at all.

        It may be the last of several of its input: only what later inputs caused is compared.
        """
        known = None if row is None else self.known(row)
        self._held_from[partition] = _ALL if known is None else known.place.offset + 1

    def differences(self) -> list[Difference]:
        """Return where the sides differ, first input first; to be called when both were read."""
        live, replayed = self._waiting
        found = []
        for place in sorted(live.keys() | replayed.keys()):
            if place.offset < self._held_from.get(place.partition, 0):
                self.left_out += len(replayed.get(place, []))
                continue
            how = self._how(live.get(place, []), replayed.get(place, []))
            if how == _SETTINGS:
                self.but_for_settings += 1
            else:
                found.append(Difference(place, self.topic.name, how))
        return found

    def known(self, row: Row) -> Known | None:
        """Return the origin, session and settings of an output, None where they cannot be read."""
        if self.topic.record is None:
            return _known_of_dead_letter(row)
        try:
            record: Any = self._store.decode(row.value, self.topic.record)
        except InvalidRecord:
            return None
        origin = record.origin
        place = Place(origin.topic, origin.partition, origin.offset, origin.index)
        return Known(place, record.session_id, record.settings_hash)

    def _take(self, side: int, row: Row) -> None:
        known = self.known(row)
        if known is None:
            self.unreadable += 1
            return
        if not self._scope.holds(known, row.key):
            return
        if known.settings_hash:
            self.hashes[side].add(known.settings_hash)
        self._meet(side, known.place, row)

    def _meet(self, side: int, place: Place, row: Row) -> None:
        mine, other = self._waiting[side], self._waiting[1 - side]
        waiting = other.get(place, [])
        if not self._once and ((place, row.told) in self._met or row.told in [one.told for one in mine.get(place, [])]):
            return
        for index, one in enumerate(waiting):
            if one.told == row.told:
                del waiting[index]
                if not waiting:
                    del other[place]
                self.compared += 1
                if not self._once:
                    self._met.add((place, row.told))
                return
        mine.setdefault(place, []).append(row)

    def _how(self, live: Sequence[Row], replayed: Sequence[Row]) -> str:
        if not live or not replayed:
            return "only live has it, or more often" if live else "only the replay has it, or more often"
        return ", ".join(self._parts(live[0], replayed[0]))

    def _parts(self, live: Row, replayed: Row) -> Iterator[str]:
        for name in ("partition", "key", "timestamp_ms"):
            if getattr(live, name) != getattr(replayed, name):
                yield name
        if live.value != replayed.value:
            yield from _fields(self.topic, live.value, replayed.value, self._store)


def first_of(differences: Iterable[Difference]) -> Difference | None:
    """Return the difference whose input stands first: by topic, partition, offset and number."""
    return min(differences, default=None)


def _known_of_dead_letter(row: Row) -> Known | None:
    headers = dict(row.headers)
    try:
        topic, partition, offset = (headers[f"{_HEADER}{name}"].decode() for name in ("topic", "partition", "offset"))
        return Known(Place(topic, int(partition), int(offset), -1), "", "")
    except (KeyError, ValueError):
        return None


def _fields(topic: Topic, live: bytes | None, replayed: bytes | None, store: SchemaStore) -> Iterator[str]:
    """Return the fields that differ, with both values where they are not personal."""
    if topic.record is None:
        yield "value"
        return
    left, right = store.decode(live, topic.record), store.decode(replayed, topic.record)
    fields = {field["name"]: field for field in newest(FOLDERS[topic.record]).definition["fields"]}
    changed = [name for name in fields if getattr(left, name) != getattr(right, name)]
    if changed == [_SETTINGS]:
        yield _SETTINGS
        return
    for name in changed:
        was, now = _short(getattr(left, name)), _short(getattr(right, name))
        yield name if personal(fields[name]) else f"{name} (live {was}, replayed {now})"
    if not changed:
        yield "value (equal fields, written with another schema)"


def _short(value: Any) -> str:
    text = printable(str(value).encode())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
