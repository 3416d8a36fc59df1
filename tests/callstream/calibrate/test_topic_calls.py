"""Which records are kept; reading a real topic: tests/integration/test_calibrate.py."""

import pytest

from audio.frames import decode
from callstream.calibrate.topic_calls import Collector, WantedCalls
from schemas.codec import SchemaStore
from schemas.symbols import FrameKind
from tests.callstream.calibrate.sounds import frame, opened

ALL = WantedCalls(None, None, None, 600)
SUPPORT = WantedCalls("support", None, None, 600)


def second(number: int, sequence: int) -> bytes:
    return frame(number, sequence, payload=bytes(16_000), duration_samples=8000, position_samples=8000 * (sequence - 1))


def collected(wanted: WantedCalls, *polls: list[bytes | None]) -> tuple[Collector, list[bool]]:
    collector = Collector(wanted, SchemaStore())
    return collector, [collector.take([b"key"] * len(poll), poll) for poll in polls]


def sessions(collector: Collector) -> list[int]:
    found = decode(collector.found.values, collector.found.store)
    return [int.from_bytes(bytes(session), "big") - 1 for session in found.session_id]


CALLS = [
    opened(0, queue="support", organisation="acme"),
    opened(1, queue="sales", organisation="acme"),
    opened(2),
    second(0, 1),
    second(1, 1),
    second(2, 1),
    second(0, 2),
    frame(0, 3, FrameKind.CLOSED),
]


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (ALL, [0, 1, 2, 0, 1, 2, 0, 0]),
        (SUPPORT, [0, 0, 0, 0]),
        (WantedCalls(None, "acme", None, 600), [0, 1, 0, 1, 0, 0]),
        (WantedCalls("sales", "acme", None, 600), [1, 1]),
        (WantedCalls("support", "other", None, 600), []),
    ],
    ids=str,
)
def test_calls_are_chosen_by_queue_and_organisation(wanted: WantedCalls, kept: list[int]):
    collector, _ = collected(wanted, CALLS[:4], CALLS[4:])
    assert sessions(collector) == kept
    assert collector.found.queues == {"support": 1, "sales": 1}


def test_a_call_whose_beginning_is_not_read_is_kept_only_where_its_queue_does_not_matter():
    for wanted, kept in ((ALL, [5, 5]), (SUPPORT, [])):
        collector, _ = collected(wanted, [second(5, 7), second(5, 8)])
        assert sessions(collector) == kept
        assert collector.found.unknown == 1


def test_a_queue_that_becomes_known_later_counts_from_then_on():
    info = opened(3, queue="support")
    collector, _ = collected(SUPPORT, [opened(3), second(3, 1), info, second(3, 3)])
    assert sessions(collector) == [3, 3]


def test_a_call_counts_once_in_its_queue_however_often_it_says_so():
    collector, _ = collected(ALL, [opened(3, queue="support"), opened(3, queue="support"), opened(4, queue="support")])
    assert collector.found.queues == {"support": 2}


def test_there_is_enough_once_the_wanted_seconds_are_there():
    wanted = WantedCalls("support", None, None, 2)
    collector, answers = collected(wanted, CALLS[:5], [second(1, 9)], CALLS[5:], [second(0, 4)])
    assert answers == [True, True, False, False]
    assert collector.found.seconds == 2
    assert sessions(collector) == [0, 0, 0]


def test_what_is_no_frame_is_passed_over():
    tick = frame(0, -1, FrameKind.TICK, session_id=bytes(16))
    collector, _ = collected(ALL, [b"nonsense", None, tick, second(0, 1)])
    assert sessions(collector) == [0]


def test_seconds_are_counted_without_rounding_up_to_one_record_more():
    tenths = [frame(0, number, payload=bytes(1600), duration_samples=800) for number in range(40)]
    collector, _ = collected(WantedCalls(None, None, None, 1.1), tenths)
    assert collector.found.seconds == 1.1
