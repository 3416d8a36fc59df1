"""What becomes an entry: each record once, ticks and repeats not at all, the unreadable by length and digest."""

import json

import pytest

from schemas import topics
from schemas.records import AuditEvent, Origin, RecordingEvent, Subscription, Utterance
from schemas.symbols import AuditAction, CallEventKind, UtteranceKind
from sinks.audit_log.logic import REPEAT_IDS, SOURCES, Arrival, End, RecentIds, seal
from tests.sinks.audit_log.logs import DIGESTER, EVENTS, STAMP, STORE, arrival, bodies, event, planner

ORIGIN = Origin(topic=EVENTS, partition=0, offset=0, index=0)


def test_every_topic_but_the_audio_topics_is_taken_in():
    left_out = {topic.name for topic in topics.PUBLIC} - {topic.name for topic in SOURCES}
    assert left_out == {"calls.audio", "calls.speech", "calls.bot-audio"}


def test_an_entry_says_where_its_record_stood_and_what_it_said():
    (body,) = planner().take(arrival(7, event(3, agent="ann", confidence=0.5))).bodies
    assert (body["topic"], body["partition"], body["offset"], body["timestamp_ms"]) == (EVENTS, 0, 7, 1_700_000_000_007)
    assert body["record"] == "CallEvent"
    assert body["conversation_id"] == "conversation"
    assert body["key"] is None
    assert body["fields"]["event_counter"] == 3
    assert body["fields"]["confidence"] == "0.5"
    assert body["fields"]["agent"] == DIGESTER.linkable("agent", "ann")


def test_a_key_that_is_not_the_conversation_is_told_only_as_a_digest():
    record = AuditEvent(event_id="1", action=AuditAction.ACCESS, actor="ann")
    value = STORE.encode(record)
    (body,) = planner().take(Arrival("calls.audit", 0, 0, 5, b"ann", value)).bodies
    assert body["key"] == DIGESTER.linkable("key", b"ann")
    assert '"ann"' not in json.dumps(body)


def test_a_tick_moves_the_mark_and_writes_nothing():
    plans = planner()
    assert plans.take(arrival(0, event(-1, kind=CallEventKind.TICK))).bodies == ()
    assert plans.counts["ticks"] == 1
    assert plans.start_offset((EVENTS, 0)) == 0
    assert planner({("calls.silence", 0): 9}).start_offset(("calls.silence", 0)) == 9


UTTERANCE = Utterance(kind=UtteranceKind.TEXT, conversation_id="c", session_id="s", utterance_id="u", origin=ORIGIN)
RECORDING = RecordingEvent(event_id="e", conversation_id="c", session_id="s", origin=ORIGIN)


@pytest.mark.parametrize(
    ("topic", "record"),
    [
        ("calls.events", event(4)),
        ("calls.utterances", UTTERANCE),
        ("calls.recordings", RECORDING),
        ("calls.audit", AuditEvent(event_id="e")),
    ],
)
def test_a_record_delivered_twice_is_written_once(topic, record):
    plans = planner()
    written = [plans.take(arrival(offset, record, topic=topic)).bodies for offset in (0, 1)]
    assert [len(lines) for lines in written] == [1, 0]
    assert plans.counts["repeats"] == 1


def test_records_without_an_id_are_never_taken_for_repeats():
    plans = planner()
    nameless = Utterance(kind=UtteranceKind.OPENED, conversation_id="c", session_id="s", origin=ORIGIN)
    written = [plans.take(arrival(offset, nameless, topic="calls.utterances")).bodies for offset in (0, 1)]
    assert [len(lines) for lines in written] == [1, 1]


def test_every_topic_that_may_deliver_twice_has_its_ids():
    may_repeat = {topic.name for topic in SOURCES if topic.delivery != "exactly once"}
    assert set(REPEAT_IDS) == may_repeat - {"calls.subscriptions"}
    for topic, names in REPEAT_IDS.items():
        fields = topics.by_name(topic).record.__dataclass_fields__
        assert set(names) <= set(fields)


def test_the_ids_of_a_partition_are_forgotten_behind_the_window():
    recent = RecentIds(3)
    assert not recent.repeats(b"a", 0)
    assert recent.repeats(b"a", 3)
    assert not recent.repeats(b"a", 7)
    for offset in range(8, 1000):
        recent.repeats(offset.to_bytes(4, "big"), offset)
    assert len(recent) <= 4


@pytest.mark.parametrize("mark", [0, 3, 5, 8])
def test_after_a_start_the_window_is_the_one_of_a_run_without_stop(mark):
    counters = [0, 1, 0, 2, 3, 1, 4, 4, 0, 5, 2, 1]
    log = [arrival(offset, event(counter)) for offset, counter in enumerate(counters)]
    whole = planner(window=4)
    expected = [bool(whole.take(record).bodies) for record in log]

    resumed = planner({(EVENTS, 0): mark}, window=4)
    start = resumed.start_offset((EVENTS, 0))
    found = {record.offset: bool(resumed.take(record).bodies) for record in log[start:]}

    assert start == max(0, mark - 4)
    assert [found[offset] for offset in range(mark, len(log))] == expected[mark:]
    assert not any(written for offset, written in found.items() if offset < mark)


def test_an_unreadable_value_is_kept_as_length_and_digest_and_becomes_a_dead_letter():
    plans = planner()
    planned = plans.take(Arrival(EVENTS, 0, 0, 5, b"+49 30 4711", b"\x00secret words"))
    (body,) = planned.bodies
    assert planned.defect is not None
    assert body["unreadable"]["length_bytes"] == 13
    assert "secret" not in json.dumps(body)
    assert "4711" not in json.dumps(body)
    assert plans.take(arrival(1, event(0))).bodies[0]["fields"]["event_counter"] == 0


def test_an_unreadable_value_read_again_at_a_start_is_not_told_twice():
    planned = planner({(EVENTS, 0): 1}).take(Arrival(EVENTS, 0, 0, 5, None, b"garbage"))
    assert (planned.bodies, planned.defect) == ((), None)


def test_the_end_of_a_subscription_is_an_entry_and_a_null_elsewhere_is_a_defect():
    (body,) = planner().take(arrival(0, None, topic="calls.subscriptions")).bodies
    assert body["tombstone"]
    assert body["conversation_id"] == "conversation"
    assert planner().take(arrival(0, None)).defect is not None


def test_a_map_that_is_not_personal_is_kept_by_name():
    record = Subscription(conversation_id="c", source_name="s", parameters={"b": "2", "a": "1"})
    (body,) = planner().take(arrival(0, record, topic="calls.subscriptions")).bodies
    assert body["fields"]["parameters"] == {"a": "1", "b": "2"}


def test_offsets_that_were_deleted_unread_are_named():
    plans = planner({(EVENTS, 0): 10})
    gap, entry = plans.take(arrival(25, event(0))).bodies
    assert gap == {"line": "gap", "topic": EVENTS, "partition": 0, "offset": 10, "next_offset": 25}
    assert entry["offset"] == 25


def test_the_first_record_of_a_partition_never_read_is_no_gap():
    assert len(planner().take(arrival(25, event(0))).bodies) == 1


def test_many_lines_become_several_objects_each_with_the_marks_behind_its_own_lines():
    first, second, third = seal(End(), bodies(5), {(EVENTS, 0): 9, ("calls.loss", 1): 4}, STAMP, 2)
    assert first.end.next_offsets == {(EVENTS, 0): 2}
    assert second.end.next_offsets == {(EVENTS, 0): 4}
    assert third.end.next_offsets == {(EVENTS, 0): 9, ("calls.loss", 1): 4}
    assert [len(sealed.data.splitlines()) for sealed in (first, second, third)] == [3, 3, 2]
    marks = json.loads(third.data.splitlines()[-1])
    assert marks["next_offsets"] == {EVENTS: {"0": 9}, "calls.loss": {"1": 4}}
    assert (marks["entries"], marks["writer"], marks["digest_key_id"]) == (1, "writer", DIGESTER.key_id)
    assert json.loads(third.head)["positions"] == 8


def test_a_mark_never_goes_back():
    (sealed,) = seal(End(next_offsets={(EVENTS, 0): 50}), [], {(EVENTS, 0): 3}, STAMP, 10)
    assert sealed.end.next_offsets == {(EVENTS, 0): 50}
    assert len(sealed.data.splitlines()) == 1


def test_equal_records_in_equal_order_make_equal_lines():
    assert bodies(5) == bodies(5)
