"""Records of the topics → lines of the log: what becomes an entry, what is a repeat, where reading goes on.

Pure. The planner holds the marks and the recent ids; the lines it returns are chained and stored by the writer.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from schemas import codec, topics
from schemas.errors import InvalidRecord
from schemas.symbols import CallEventKind
from schemas.versions import FOLDERS, RECORD_TYPES, newest
from sinks.audit_log import chain
from sinks.audit_log.redaction import Digester, Keep, plain, redactor

SOURCES = tuple(topic for topic in topics.PUBLIC if topic not in (topics.AUDIO, topics.SPEECH, topics.BOT_AUDIO))
"""What the log takes in: every public topic but the audio topics."""

REPEAT_IDS: Mapping[str, tuple[str, ...]] = {
    topics.EVENTS.name: ("session_id", "event_counter"),
    topics.UTTERANCES.name: ("session_id", "kind", "utterance_id"),
    topics.BOT.name: ("turn_id", "index"),
    topics.RECORDINGS.name: ("event_id",),
    topics.AUDIT.name: ("event_id",),
}
"""Topic that may deliver twice → the fields a repeat shares. Where the last one is absent, nothing is a repeat."""

Place = tuple[str, int]
"""Catalogue topic and partition."""

Body = dict[str, Any]
"""A line without its chain fields."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record as read: `topic` is the catalogue name, `timestamp_ms` Kafka's."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Planned:
    """What a record becomes: lines without their chain fields, none when only the mark moves.

    `defect` says why the value cannot be decoded; the host then keeps a dead letter.
    """

    bodies: tuple[Body, ...] = ()
    defect: str | None = None


class RecentIds:
    """The ids among the last `window` offsets of one partition, in offset order."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._offsets: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._offsets)

    def repeats(self, identity: bytes, offset: int) -> bool:
        """Remember the id at this offset; tell whether one of the last `window` offsets held it too."""
        while self._offsets:
            oldest = next(iter(self._offsets))
            if self._offsets[oldest] >= offset - self._window:
                break
            del self._offsets[oldest]
        known = self._offsets.pop(identity, None) is not None
        self._offsets[identity] = offset
        return known


class Planner:
    """Takes records in offset order per partition, in any order across partitions.

    A record below the mark is remembered and not written: that is how a start fills the windows again.
    """

    def __init__(
        self, store: codec.SchemaStore, digester: Digester, window: int, next_offsets: Mapping[Place, int]
    ) -> None:
        self._store = store
        self._digester = digester
        self._window = window
        self._next = dict(next_offsets)
        self._lost: set[Place] = set()
        self._recent: dict[Place, RecentIds] = {}
        self._redactors: dict[str, Keep] = {}
        self.counts: Counter[str] = Counter()
        """Records so far: `written`, `repeats`, `ticks`, `unreadable`; and `gaps`."""

    def start_offset(self, place: Place) -> int | None:
        """Return where to start reading: at the mark, before it where ids have to be remembered; None: never read."""
        mark = self._next.get(place)
        if mark is None or place[0] not in REPEAT_IDS:
            return mark
        return max(0, mark - self._window)

    def start(self, place: Place, first_held: int) -> int:
        """Return where to start reading a partition that was read before and now begins at `first_held`.

        When records behind the mark are gone, the next record taken is preceded by a line that says so.
        """
        if self._next[place] < first_held:
            self._lost.add(place)
        return max(self.start_offset(place) or 0, first_held)

    def take(self, arrival: Arrival) -> Planned:
        """Move the mark over one record and return what it becomes."""
        place = (arrival.topic, arrival.partition)
        mark = self._next.get(place)
        if mark is not None and arrival.offset < mark:
            self._remember(arrival, place)
            return Planned()
        self._next[place] = arrival.offset + 1
        planned = self._plan(arrival, place)
        self.counts["written"] += len(planned.bodies)
        self.counts["unreadable"] += planned.defect is not None
        # producers of these topics use no transactions, whose markers would take offsets
        if mark is not None and arrival.offset > mark and (arrival.topic in REPEAT_IDS or place in self._lost):
            self._lost.discard(place)
            self.counts["gaps"] += 1
            return Planned((_gap(place, mark, arrival.offset), *planned.bodies), planned.defect)
        return planned

    def _plan(self, arrival: Arrival, place: Place) -> Planned:
        if arrival.value is None and arrival.topic == topics.SUBSCRIPTIONS.name:
            return Planned((self._tombstone(arrival),))
        try:
            schema_id, folder, datum = self._decoded(arrival)
        except InvalidRecord as error:
            return Planned((self._unreadable(arrival, str(error)),), str(error))
        if arrival.topic == topics.EVENTS.name and datum["kind"] == CallEventKind.TICK:
            self.counts["ticks"] += 1
            return Planned()
        if self._is_repeat(place, arrival.offset, datum):
            self.counts["repeats"] += 1
            return Planned()
        return Planned((self._entry(arrival, datum, folder, schema_id),))

    def _remember(self, arrival: Arrival, place: Place) -> None:
        if arrival.topic in REPEAT_IDS:
            with suppress(InvalidRecord):
                self._is_repeat(place, arrival.offset, self._decoded(arrival)[2])

    def _decoded(self, arrival: Arrival) -> tuple[int, str, dict[str, Any]]:
        record_type = topics.by_name(arrival.topic).record
        folder = "" if record_type is None else FOLDERS[record_type]
        schema_id = codec.split(arrival.value)
        return schema_id, folder, self._store.decode_datum(schema_id, arrival.value or b"", folder)

    def _is_repeat(self, place: Place, offset: int, datum: Mapping[str, Any]) -> bool:
        names = REPEAT_IDS.get(place[0])
        if names is None or datum[names[-1]] in ("", -1):
            return False
        identity = chain.canonical({name: plain(datum[name]) for name in names})
        recent = self._recent.setdefault(place, RecentIds(self._window))
        return recent.repeats(hashlib.sha256(identity).digest()[:16], offset)

    def _entry(self, arrival: Arrival, datum: Mapping[str, Any], folder: str, schema_id: int) -> Body:
        keep = self._redactors.get(folder)
        if keep is None:
            keep = self._redactors[folder] = redactor(newest(folder).definition, self._digester)
        fields = keep(datum, f"{arrival.topic}/{arrival.partition}/{arrival.offset}")
        found = {"record": RECORD_TYPES[folder].__name__, "schema_id": schema_id, "fields": fields}
        return self._body(arrival, fields.get("conversation_id"), found)

    def _tombstone(self, arrival: Arrival) -> Body:
        conversation_id = None if arrival.key is None else arrival.key.decode(errors="backslashreplace")
        return self._body(arrival, conversation_id, {"record": None, "tombstone": True})

    def _unreadable(self, arrival: Arrival, defect: str) -> Body:
        value = arrival.value or b""
        digest = self._digester.placed(f"{arrival.topic}/{arrival.partition}/{arrival.offset}", value)
        kept = {"defect": defect, "length_bytes": len(value), "digest": digest}
        return self._body(arrival, None, {"record": None, "unreadable": kept})

    def _body(self, arrival: Arrival, conversation_id: Any, found: Mapping[str, Any]) -> Body:
        key = arrival.key
        told = key is None or (isinstance(conversation_id, str) and key == conversation_id.encode())
        return {
            "line": chain.ENTRY,
            "topic": arrival.topic,
            "partition": arrival.partition,
            "offset": arrival.offset,
            "timestamp_ms": arrival.timestamp_ms,
            "conversation_id": conversation_id,
            "key": None if told or key is None else self._digester.linkable("key", key),
            **found,
        }


def _gap(place: Place, first: int, kept: int) -> Body:
    return {"line": chain.GAP, "topic": place[0], "partition": place[1], "offset": first, "next_offset": kept}


@dataclass(frozen=True, slots=True)
class End:
    """Where the log ends: the head of its chain and the next offset of every partition."""

    head: chain.Head = field(default_factory=chain.Head)
    next_offsets: Mapping[Place, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who writes, when (microseconds since the epoch), and with which digest key."""

    writer: str
    written_at_us: int
    key_id: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """An object ready to be written, where the log ends behind it, and the head that then stands elsewhere."""

    name: str
    data: bytes
    end: End
    head: bytes


def seal(end: End, bodies: Sequence[Body], marks: Mapping[Place, int], stamp: Stamp, limit: int) -> list[Sealed]:
    """Return the lines as objects of at most `limit` lines and their marks; `marks` hold behind the last.

    Without lines it is one object of nothing but marks. A mark never goes back.
    """
    sealed: list[Sealed] = []
    for start in range(0, max(1, len(bodies)), limit):
        lines = list(bodies[start : start + limit])
        reached = [((line["topic"], line["partition"]), line.get("next_offset", line["offset"] + 1)) for line in lines]
        if start + limit >= len(bodies):
            reached += marks.items()
        next_offsets = furthest(end.next_offsets, reached)
        lines.append(_marks_line(next_offsets, sum(line["line"] == chain.ENTRY for line in lines), stamp))
        name, data, head = chain.seal(end.head, lines)
        end = End(head, next_offsets)
        sealed.append(Sealed(name, data, end, head_bytes(end, stamp.written_at_us)))
    return sealed


def furthest(marks: Mapping[Place, int], more: Iterable[tuple[Place, int]]) -> dict[Place, int]:
    """Return the marks moved on to where `more` is further."""
    found = dict(marks)
    for place, offset in more:
        found[place] = max(found.get(place, 0), offset)
    return found


def head_bytes(end: End, written_at_us: int = -1) -> bytes:
    """Return the head object: what must hold of the log at least."""
    return chain.canonical(
        {
            "version": 1,
            "positions": end.head.positions,
            "hash": end.head.hash,
            "object": end.head.object,
            "next_offsets": _nested(end.next_offsets),
            "written_at_us": written_at_us,
        }
    )


def _marks_line(next_offsets: Mapping[Place, int], entries: int, stamp: Stamp) -> Body:
    return {
        "line": chain.MARKS,
        "next_offsets": _nested(next_offsets),
        "entries": entries,
        "writer": stamp.writer,
        "written_at_us": stamp.written_at_us,
        "digest_key_id": stamp.key_id,
    }


def _nested(next_offsets: Mapping[Place, int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in next_offsets.items():
        found.setdefault(topic, {})[str(partition)] = offset
    return found
