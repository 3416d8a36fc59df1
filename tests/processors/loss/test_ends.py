from schemas.symbols import Channel, LossReportKind, Reason
from tests.processors.loss.calls import Call, log_of, run


def restarted() -> Call:
    call = Call().open()
    numbers = [*range(5000, 5100), *range(7, 57), *range(60, 107)]
    for place, number in enumerate(numbers):
        call.packet(number, place)
    return call


def test_a_restart_ends_a_segment_which_has_a_final_of_its_own_and_the_counts_add_up():
    found = run(restarted().close())
    finals = {report.segment: report for report in found.of(LossReportKind.FINAL, Channel.EXTERNAL)}
    assert sorted(finals) == [-1, 0, 1]
    first, second, both = finals[0], finals[1], finals[-1]
    assert (first.expected, first.lost, second.expected, second.lost) == (100, 0, 100, 3)
    assert (both.expected, both.lost, both.restarts, both.lost_signed) == (200, 3, 1, 3)
    assert (first.frames + second.frames, first.bytes + second.bytes) == (both.frames, both.bytes)
    assert (second.burst_density_ratio, second.longest_gap_ms, first.longest_gap_ms) == (1, 60, 0)


def test_a_stray_before_a_stream_counts_nowhere():
    call = Call().open()
    for place, number in enumerate([9000, *range(100)]):
        call.packet(number, place)
    finals = run(call.close()).of(LossReportKind.FINAL, Channel.EXTERNAL)
    assert [(final.expected, final.lost, final.restarts) for final in finals] == [(100, 0, 0), (100, 0, 0)]


def test_a_window_within_one_segment_names_it():
    windows = run(restarted().close()).of(LossReportKind.WINDOW, Channel.EXTERNAL)
    assert [window.segment for window in windows] == [-1]


def test_a_segment_that_a_restart_ended_says_so():
    finals = run(restarted().close()).of(LossReportKind.FINAL, Channel.EXTERNAL)
    reasons = {report.segment: report.closed_reason for report in finals}
    assert reasons == {0: Reason.RESTART, 1: Reason.END, -1: Reason.END}


def test_after_a_return_from_idle_only_the_segment_that_had_a_final_is_corrected():
    call = Call().open()
    for number in range(100):
        call.packet(number)
    found = run(call)
    found.expire(1000 + 16 * 60_000)
    found.found.clear()
    later = Call()
    later.sequence = call.sequence
    for place, number in enumerate([*range(100, 150), *range(40_000, 40_050)], 100):
        later.packet(number, place)
    found.feed(log_of(later.close()))
    told = [(r.kind, r.segment, r.expected) for _, r in found.found if r.channel is Channel.EXTERNAL and r.corrects]
    finals = [(r.segment, r.expected) for r in found.of(LossReportKind.FINAL, Channel.EXTERNAL)]
    assert told == [(LossReportKind.CORRECTION, 0, 150), (LossReportKind.CORRECTION, -1, 200)]
    assert finals == [(1, 50)]
