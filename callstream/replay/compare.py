"""Live and replayed outputs of the same inputs → the first place where they differ. Pure.

Two outputs are equal when partition, key, timestamp and value are, byte for byte. They belong together when they name
the same origin; a dead letter's origin stands in its headers. Outputs of sessions that did not open inside the stretch
are left out, and so are those of inputs from before what the live topic still holds.

Where live processing may write an output again (at least once), further equal ones count as one.
"""

from collections import defaultdict
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
    offset: int
    key: bytes | None
    timestamp_ms: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def told(self) -> tuple[int, bytes | None, int, bytes | None]:
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


@dataclass(slots=True)
class Comparison:
    """What is known of some topics' outputs so far."""

    scope: Scope
    store: SchemaStore
    compared: int = 0
    unreadable: int = 0
    left_out: int = 0
    """Replayed outputs whose live ones the log no longer holds."""

    def topic(
        self, topic: Topic, live: Sequence[Row], replayed: Sequence[Row], held_from: Mapping[int, int]
    ) -> tuple[list[Difference], tuple[frozenset[str], frozenset[str]]]:
        """Return the differences of a topic, first one first, and the settings hashes of both sides.

        `held_from` names partitions whose live records before that position in the input are gone.
        """
        ours, theirs = self._by_place(topic, replayed, held_from), self._by_place(topic, live, held_from)
        once = not topic.delivery.startswith("at least once")
        found = []
        for place in sorted(set(ours) | set(theirs)):
            self.compared += 1
            how = self._differ(topic, theirs.get(place, []), ours.get(place, []), once=once)
            if how:
                found.append(Difference(place, topic.name, how))
        return found, (_hashes(theirs), _hashes(ours))

    def _by_place(
        self, topic: Topic, rows: Sequence[Row], held_from: Mapping[int, int]
    ) -> dict[Place, list[tuple[Row, Known]]]:
        found: dict[Place, list[tuple[Row, Known]]] = defaultdict(list)
        for row in rows:
            known = self.known(topic, row)
            if known is None:
                self.unreadable += 1
            elif self.scope.holds(known, row.key):
                if known.place.offset < held_from.get(known.place.partition, 0):
                    self.left_out += 1
                else:
                    found[known.place].append((row, known))
        return found

    def known(self, topic: Topic, row: Row) -> Known | None:
        """Return the origin, session and settings of an output, None where they cannot be read."""
        if topic.record is None:
            return _known_of_dead_letter(row)
        try:
            record: Any = self.store.decode(row.value, topic.record)
        except InvalidRecord:
            return None
        origin = record.origin
        place = Place(origin.topic, origin.partition, origin.offset, origin.index)
        return Known(place, record.session_id, record.settings_hash)

    def _differ(
        self, topic: Topic, live: list[tuple[Row, Known]], replayed: list[tuple[Row, Known]], *, once: bool
    ) -> str:
        """Return how the outputs of one place differ, empty where they do not."""
        theirs, ours = [row for row, _ in live], [row for row, _ in replayed]
        if not once:
            theirs, ours = _distinct(theirs), _distinct(ours)
        for left, right in zip(theirs, ours, strict=False):
            if left.told != right.told:
                return ", ".join(self._parts(topic, left, right))
        if len(theirs) == len(ours):
            return ""
        if theirs and ours:
            return f"live has it {len(theirs)} times, the replay {len(ours)} times"
        return "only the replay has it" if ours else "only live has it"

    def _parts(self, topic: Topic, live: Row, replayed: Row) -> Iterator[str]:
        for name in ("partition", "key", "timestamp_ms"):
            if getattr(live, name) != getattr(replayed, name):
                yield name
        if live.value != replayed.value:
            yield from _fields(topic, live.value, replayed.value, self.store)


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


def _hashes(found: Mapping[Place, Sequence[tuple[Row, Known]]]) -> frozenset[str]:
    return frozenset(known.settings_hash for rows in found.values() for _, known in rows if known.settings_hash)


def _distinct(rows: Sequence[Row]) -> list[Row]:
    return list({row.told: row for row in rows}.values())


def _fields(topic: Topic, live: bytes | None, replayed: bytes | None, store: SchemaStore) -> Iterator[str]:
    """Return the fields that differ, with both values where they are not personal."""
    if topic.record is None:
        yield "value"
        return
    folder = FOLDERS[topic.record]
    left, right = store.decode(live, topic.record), store.decode(replayed, topic.record)
    names = 0
    for field in newest(folder).definition["fields"]:
        name = field["name"]
        was, now = getattr(left, name), getattr(right, name)
        if was != now:
            names += 1
            yield name if personal(field) else f"{name} (live {_short(was)}, replayed {_short(now)})"
    if not names:
        yield "value (equal fields, written with another schema)"


def _short(value: Any) -> str:
    text = printable(str(value).encode())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
