"""What the tests of the audit log share: records of the topics as they arrive, and small logs made of them."""

from typing import Any

from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import CallEvent, Record
from schemas.symbols import CallEventKind
from sinks.audit_log.logic import Arrival, Body, End, Planner, Sealed, Stamp, seal
from sinks.audit_log.redaction import Digester

STORE = SchemaStore()
DIGESTER = Digester(b"a key of a test, long enough for it")
STAMP = Stamp("writer", 1_700_000_000_000_000, DIGESTER.key_id)
EVENTS = topics.EVENTS.name


def event(counter: int, **fields: Any) -> CallEvent:
    given = {"kind": CallEventKind.OPENED, "conversation_id": "conversation", "session_id": "session", **fields}
    return CallEvent(event_counter=counter, **given)


def arrival(offset: int, record: Record | None, *, topic: str = EVENTS, partition: int = 0) -> Arrival:
    value = None if record is None else STORE.encode(record)
    return Arrival(topic, partition, offset, 1_700_000_000_000 + offset, b"conversation", value)


def planner(next_offsets: dict[tuple[str, int], int] | None = None, window: int = 100) -> Planner:
    return Planner(STORE, DIGESTER, window, next_offsets or {})


def bodies(count: int) -> list[Body]:
    """Entry lines of `count` events, without their chain fields."""
    plans = planner()
    return [body for offset in range(count) for body in plans.take(arrival(offset, event(offset))).bodies]


def objects(count: int = 6, per_object: int = 2, end: End | None = None) -> list[Sealed]:
    """A log of `count` entries, `per_object` to an object: each object holds those and its marks."""
    return seal(end or End(), bodies(count), {}, STAMP, per_object)
