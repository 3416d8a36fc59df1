from itertools import zip_longest

import pytest

from processors.loss.former import Former, corrected, missing_of, numbers_of, values_of
from processors.loss.numbering import Numbering
from processors.loss.streams import Stream
from schemas.symbols import Channel, Codec, FrameKind, LossReportKind, Reason
from tests.processors.loss.calls import Call, Run, log_of, run

FACTS = ("frames", "bytes", "expected", "received", "unique", "duplicates", "reordered", "late", "lost", "lost_signed")


def call_with(late: tuple[int, ...], *, restart_mark: bool = False, after: int = 30, session: int = 0) -> Call:
    """A stream of 100 packets without 90, 95 and 96; it restarts at 40,000, and `late` ones come some packets later."""
    call = Call(session).open()
    for number in range(100):
        if number not in {90, 95, 96}:
            call.packet(number)
    if restart_mark:
        call.mark(FrameKind.GAP, 0, Reason.RESTART)
    for place in range(100, 300):
        call.packet(39_900 + place, place)
        if place == 100 + after:
            for number in late:
                call.packet(number, captured_at_s=call.frames[-1].captured_at_s)
    return call.close()


def told(found: Run, kind: LossReportKind, segment: int):
    (report,) = [report for report in found.of(kind, Channel.EXTERNAL) if report.segment == segment]
    return report


@pytest.mark.parametrize("restart_mark", [False, True])
def test_late_packets_of_a_segment_that_is_over_correct_its_final_and_touch_no_other(restart_mark):
    found = run(call_with((95, 90), restart_mark=restart_mark))
    without = run(call_with((), restart_mark=restart_mark))
    first = told(found, LossReportKind.FINAL, 0)
    late = told(found, LossReportKind.CORRECTION, 0)
    assert (first.lost, first.late, first.reordered) == (3, 0, 0)
    assert (late.lost, late.late, late.reordered, late.received, late.expected) == (1, 2, 2, 99, 100)
    assert (late.lost_signed, late.loss_ratio, late.lost_ms, late.late_ms) == (1, 0.01, 20, 40)
    assert late.corrects == (
        f"frames {first.frames} -> {first.frames + 2}, bytes {first.bytes} -> {first.bytes + 320}, received 97 -> 99, "
        "unique 97 -> 99, reordered 0 -> 2, late 0 -> 2, lost 3 -> 1: packets came after the segment had ended"
    )
    assert (late.closed_reason, late.start_samples, late.end_samples) == (Reason.RESTART, 0, first.end_samples)
    assert (late.r_factor, late.burst_ratio, late.jitter_ms) == (first.r_factor, first.burst_ratio, first.jitter_ms)
    second, undisturbed = told(found, LossReportKind.FINAL, 1), told(without, LossReportKind.FINAL, 1)
    assert [getattr(second, name) for name in FACTS] == [getattr(undisturbed, name) for name in FACTS]
    both = told(found, LossReportKind.FINAL, -1)
    assert (both.expected, both.unique, both.lost, both.late, both.restarts) == (300, 299, 1, 2, 1)
    assert (found.final.expected, found.final.lost, found.final.late, found.final.frames) == (300, 1, 2, 299)


def test_nothing_late_corrects_nothing_and_what_comes_much_later_or_twice_counts_nowhere():
    for late, after in (((), 30), ((90,), 190)):
        call = call_with(late, after=after)
        long = Call().open().say(6)
        found = run(call, long)
        assert found.of(LossReportKind.CORRECTION, Channel.EXTERNAL) == [] or late
    twice = run(call_with((90, 90)))
    assert told(twice, LossReportKind.CORRECTION, 0).late == 1


@pytest.mark.parametrize("poll", [1, 7, 1000])
def test_polls_and_snapshots_change_nothing(poll):
    log = log_of(call_with((95, 90)))
    found, again = run(call_with((95, 90))), Run()
    for start in range(0, len(log), 50):
        again.feed(log[start : start + 50], poll)
        again.restart()
    assert [record for _, record in again.found] == [record for _, record in found.found]


def test_sessions_stepped_together_are_corrected_as_each_alone_would_be():
    calls = [call_with(((95, 90), (90,), ())[n % 3], restart_mark=n % 2 == 0, session=n) for n in range(6)]
    together = Run().feed([item for items in zip_longest(*map(log_of, calls)) for item in items if item], 500)
    for call in calls:
        found = [record for _, record in together.found if record.conversation_id == call.key.decode()]
        assert found == [record for _, record in run(call, poll=3).found]


def test_a_final_is_the_same_after_it_was_kept_as_numbers():
    final = told(run(call_with(())), LossReportKind.FINAL, 0)
    names = values_of(numbers_of({"codec": Codec.PCMU}))
    values = {name: getattr(final, name) for name in names}
    assert values_of(numbers_of(values)) == values
    assert {"jitter_ms", "r_factor", "concealment", "lost"} <= set(values)
    kept = Former((3, 4), 1, 160, numbers_of(values))
    assert Former.of_numbers(kept.as_numbers()) == kept
    assert corrected(values, kept, 20)["late"] == 1


def test_only_numbers_that_are_not_too_far_behind_may_still_come():
    stream = Stream(numbering=Numbering(bits=0))
    for number in (65_400, 65_402, 65_535, 1, 3):
        stream.numbering.take(number % 65_536, 16)
    assert 65_401 not in missing_of(stream)
    assert {65_533, 0, 2} <= set(missing_of(stream))
