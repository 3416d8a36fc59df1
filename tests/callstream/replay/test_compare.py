from dataclasses import replace

import pytest

from callstream.replay.compare import Comparison, Place, Row, Scope, first_of
from runtime.deadletter import headers
from schemas.codec import SchemaStore
from schemas.records import Origin, RecordingEvent, SilenceEvent
from schemas.topics import RECORDINGS, SILENCE, dead_letters

STORE = SchemaStore()
SCOPE = Scope({0: (10, 20), 1: (0, 5)}, frozenset({"inside"}))
LETTERS = dead_letters("silence")


def row(offset, number=0, partition=0, **fields):
    event = SilenceEvent(
        **{
            "conversation_id": "c",
            "session_id": "inside",
            "settings_hash": "aaaa",
            "origin": Origin(topic="calls.audio", partition=partition, offset=offset, index=number),
            **fields,
        }
    )
    return Row(partition, b"c", 1000 + offset, STORE.encode(event))


def compare(live, replayed, topic=SILENCE, scope=SCOPE):
    comparison = Comparison(topic, scope, STORE)
    for one in live:
        comparison.live(one)
    for one in replayed:
        comparison.replayed(one)
    return comparison


def test_equal_outputs_leave_no_difference_in_whatever_order_they_come():
    rows = [row(10), row(10, 1), row(12), row(3, partition=1)]
    comparison = compare(rows, rows[::-1])
    assert comparison.differences() == []
    assert comparison.compared == 4


@pytest.mark.parametrize(
    ("change", "how"),
    [
        ({"key": b"d"}, "key"),
        ({"timestamp_ms": 5}, "timestamp_ms"),
        ({"partition": 1}, "partition"),
        ({"value": row(12, start_samples=7).value}, "start_samples (live -1, replayed 7)"),
        ({"value": row(12, organisation="o").value}, "organisation (live None, replayed o)"),
    ],
)
def test_each_part_of_an_output_counts(change, how):
    (difference,) = compare([row(12)], [replace(row(12), **change)]).differences()
    assert (difference.place, difference.how) == (Place("calls.audio", 0, 12, 0), how)


def test_personal_values_are_not_told():
    live = Row(0, b"c", 1, STORE.encode(recording(message="a name")))
    (difference,) = compare([live], [replace(live, value=STORE.encode(recording()))], RECORDINGS).differences()
    assert "a name" not in str(difference) or "message" in difference.how


def recording(**fields):
    origin = Origin(topic="calls.audio", partition=0, offset=11, index=0)
    return RecordingEvent(conversation_id="c", session_id="inside", origin=origin, **fields)


def test_what_one_side_lacks_or_has_more_often_is_a_difference():
    missing, extra, twice = compare([row(11), row(13), row(13)], [row(10), row(13)]).differences()
    assert "only the replay has it" in str(missing)
    assert str(missing).startswith("calls.silence differs at calls.audio/0/10, output 0: ")
    assert "only live has it" in extra.how
    assert twice.place.offset == 13


def test_the_first_difference_is_the_first_input_of_all_topics():
    found = compare([row(3, partition=1), row(15), row(12, 1), row(12)], []).differences()
    assert [(d.place.partition, d.place.offset, d.place.number) for d in found] == [
        (0, 12, 0),
        (0, 12, 1),
        (0, 15, 0),
        (1, 3, 0),
    ]
    assert first_of(found[::-1]) == found[0]
    assert first_of([]) is None


def test_outputs_of_other_sessions_offsets_and_keys_are_left_out():
    rows = [row(12, session_id="before"), row(9), row(20), row(12, partition=2)]
    assert compare(rows, []).differences() == []
    assert compare([row(12)], [], scope=replace(SCOPE, wanted=lambda key: key == b"d")).differences() == []


def test_topics_that_repeat_may():
    rows = [Row(0, b"c", 1, STORE.encode(recording(sha512="1")))]
    assert compare([*rows, *rows], rows, RECORDINGS).differences() == []
    assert compare(rows, [*rows, *rows], RECORDINGS).differences() == []
    other = [Row(0, b"c", 1, STORE.encode(recording(sha512="2")))]
    (difference,) = compare([*rows, *other], other, RECORDINGS).differences()
    assert "only live has it" in difference.how
    (difference,) = compare(rows, other, RECORDINGS).differences()
    assert difference.how.startswith("sha512 ")


def test_dead_letters_are_compared_by_the_origin_in_their_headers():
    def letter(offset, value=b"x"):
        about = headers("why", "process", "calls.audio", 0, offset, "silence", "InvalidRecord")
        return Row(0, None, 1, value, tuple(about))

    assert compare([letter(12)], [letter(12)], LETTERS).compared == 1
    (difference,) = compare([letter(12)], [letter(12, b"y")], LETTERS).differences()
    assert str(difference) == "silence.dlq differs at calls.audio/0/12: value"
    assert compare([letter(9)], [], LETTERS).differences() == []
    assert compare([replace(letter(12), headers=())], [], LETTERS).unreadable == 1


def test_settings_of_both_sides_are_collected_and_what_cannot_be_read_is_counted():
    comparison = compare([row(12), Row(0, b"c", 1, b"?")], [row(12, settings_hash="bbbb"), row(9, settings_hash="c")])
    assert comparison.hashes == ({"aaaa"}, {"bbbb"})
    assert comparison.unreadable == 1


def test_what_the_live_topic_no_longer_holds_is_not_compared():
    comparison = compare([row(12, 1), row(14)], [row(11), row(12), row(12, 1), row(14), row(15)])
    comparison.begins_at(0, row(12, 1))
    (difference,) = comparison.differences()
    assert difference.place.offset == 15
    assert comparison.left_out == 2
    nothing = compare([], [row(11), row(3, partition=1)])
    nothing.begins_at(0, None)
    assert [difference.place.partition for difference in nothing.differences()] == [1]


def test_outputs_that_differ_in_their_settings_alone_are_only_counted():
    comparison = compare([row(12), row(13)], [row(12, settings_hash="bbbb"), row(13, settings_hash="bbbb", queue="q")])
    (difference,) = comparison.differences()
    assert (difference.place.offset, comparison.but_for_settings) == (13, 1)
    assert difference.how == "queue (live None, replayed q), settings_hash (live aaaa, replayed bbbb)"
