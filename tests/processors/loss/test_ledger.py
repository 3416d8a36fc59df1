import pytest

from schemas.symbols import Channel, Channels, FrameKind, LossAlarm, LossReportKind, Reason, Source
from tests.processors.loss.calls import BASE_S, RATE_HZ, SECOND, Call, Run, gaps_of, log_of, run

WINDOW = 5 * RATE_HZ


def causes(report) -> dict[str, float]:
    names = ("lost_ms", "discarded_ms", "paused_ms", "reconnect_ms", "dropped_ms", "late_ms")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def discarded(call: Call) -> Call:
    return call.mark(FrameKind.DISCARDED, 1.2, Reason.SOURCE_DISCARD)


def overflowed(call: Call) -> Call:
    return call.mark(FrameKind.GAP, 0.5, Reason.OVERFLOW)


def reconnected(call: Call) -> Call:
    return call.mark(FrameKind.GAP, 2, Reason.RECONNECT)


def reconnected_for_a_time_not_known(call: Call) -> Call:
    call.mark(FrameKind.GAP, reason=Reason.RECONNECT)
    call.position += 2 * SECOND
    return call


def jumped(call: Call) -> Call:
    call.position += SECOND
    return call


def paused(call: Call) -> Call:
    return call.put(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE).mark(FrameKind.RESUMED, 3, Reason.SECURE_PAUSE)


def paused_for_a_time_not_known(call: Call) -> Call:
    call.put(FrameKind.PAUSED, reason=Reason.OWN_PAUSE)
    call.position += 3 * SECOND
    return call.mark(FrameKind.RESUMED, reason=Reason.OWN_PAUSE)


MISSING = {
    discarded: ({"discarded_ms": 1200}, ("SOURCE_DISCARD", 3 * SECOND, 9600)),
    overflowed: ({"dropped_ms": 500}, ("OVERFLOW", 3 * SECOND, 4000)),
    reconnected: ({"reconnect_ms": 2000}, ("RECONNECT", 3 * SECOND, 16_000)),
    reconnected_for_a_time_not_known: ({"reconnect_ms": 2000}, ("RECONNECT", 3 * SECOND, 16_000)),
    jumped: ({"lost_ms": 1000}, ("UNKNOWN", 3 * SECOND, 8000)),
    paused: ({"paused_ms": 3000}, ("SECURE_PAUSE", 3 * SECOND, 24_000)),
    paused_for_a_time_not_known: ({"paused_ms": 3000}, ("OWN_PAUSE", 3 * SECOND, 24_000)),
}


@pytest.mark.parametrize("happens", MISSING)
def test_what_is_missing_stands_under_its_cause_and_nowhere_else(happens):
    expected, gap = MISSING[happens]
    final = run(happens(Call().open().say(3)).say(4).close()).final
    assert causes(final) == expected
    assert gaps_of(final) == [gap]
    missing = 0 if "paused_ms" in expected else gap[2]
    assert (final.expected, final.received, final.lost) == (7 * SECOND + missing, 7 * SECOND, missing)
    assert final.loss_ratio == final.cumulative_loss_ratio == missing / (7 * SECOND + missing)
    assert final.longest_gap_ms == gap[2] / 8


@pytest.mark.parametrize("happens", MISSING)
def test_the_windows_add_up_to_the_final(happens):
    found = run(happens(happens(Call().open().say(3)).say(4)).say(6.3).close())
    for name in ("frames", "bytes", "expected", "received", "lost", "discarded_ms", "paused_ms", "dropped_ms"):
        assert sum(getattr(window, name) for window in found.windows) == getattr(found.final, name)
    assert found.windows[-1].cumulative_expected == found.final.expected
    assert [window.end_samples for window in found.windows[:2]] == [WINDOW, 2 * WINDOW]
    assert [gap for window in found.windows for gap in window.gaps] == list(found.final.gaps)


def test_audio_over_the_edge_of_a_window_is_split_there():
    found = run(Call().open().say(6, 3000).close())
    assert [(w.start_samples, w.end_samples, w.received) for w in found.windows] == [
        (0, WINDOW, WINDOW),
        (WINDOW, 6 * SECOND, SECOND),
    ]
    assert [w.frames for w in found.windows] == [14, 2]


def test_empty_windows_that_one_record_passes_are_one():
    found = run(paused(Call().open().say(1)).mark(FrameKind.RESUMED, 3600).say(1).close())
    assert [(w.start_samples // SECOND, w.end_samples // SECOND, w.paused_ms) for w in found.windows] == [
        (0, 5, 4000),
        (5, 3600, 3_595_000),
        (3600, 3605, 4000),
    ]
    assert found.windows[1].loss_ratio == -1


def test_rates_are_those_of_arrival_time():
    found = run(Call().open().say(5).say(5).close())
    second = found.windows[1]
    assert (second.frames_per_s, second.bytes_per_s, second.media_ratio) == pytest.approx((5, 16_000, 1), rel=1e-6)
    assert (second.frames, second.bytes) == (25, 80_000)


def stated(call: Call, drift: int, kind: FrameKind = FrameKind.ALIVE) -> Call:
    return call.state_position(kind, call.position + drift)


def test_drift_is_what_the_platform_states_minus_our_timeline():
    assert run(Call().open().say(5).close()).final.drift_samples is None
    assert run(stated(stated(Call().open().say(1), 0).say(1), 160).close()).final.drift_samples == 160
    assert run(stated(stated(Call().open().say(1), 160).say(1), -80).close()).final.drift_samples == -80


def test_drift_is_suspended_while_paused():
    call = stated(Call().open().say(1), 7, FrameKind.PAUSED)
    stated(stated(call, 4000), 16_000)
    assert run(call).feed(log_of(Call().close(sequence=call.sequence))).final.drift_samples == 7
    call.state_position(FrameKind.RESUMED, call.position + 24_000 + 3, duration_samples=24_000)
    call.position += 24_000
    assert run(call.say(1).close()).final.drift_samples == 3


def stalled(call: Call, seconds: float) -> Call:
    """Nothing arrives for so long, then all of it at once."""
    first = len(call.frames)
    call.say(seconds)
    call.frames[first:] = [
        type(frame)(**{**{name: getattr(frame, name) for name in frame.__slots__}, "captured_at_s": call_end(call)})
        for frame in call.frames[first:]
    ]
    return call


def call_end(call: Call) -> float:
    return BASE_S + (call.position - 1600) / RATE_HZ


def test_a_stall_is_counted_and_loses_nothing():
    found = run(stalled(Call().open().say(2), 1.2).say(3).close())
    assert (found.final.stalls, found.final.stall_ms, found.final.stall_longest_ms) == (1, 1000, 1000)
    assert (found.final.lost, found.final.longest_gap_ms) == (0, 0)
    assert found.alarms == [("ALARM_RAISED", "STALL", "ALL"), ("ALARM_CLEARED", "STALL", "ALL")]
    raised, cleared = (record for _, record in found.found if record.alarm_threshold == 200)
    assert (raised.alarm_value, cleared.alarm_value) == (1000, 1000)


def test_a_delay_below_the_limit_is_no_stall():
    found = run(stalled(Call().open().say(2), 0.4).say(3).close())
    assert (found.final.stalls, found.alarms) == (0, [])


def test_a_pause_is_no_stall_though_the_media_clock_stands_still():
    call = paused(Call().open().say(1))
    call.position -= 3 * SECOND
    call.late_s = 3
    call.frames[-1] = type(call.frames[-1])(
        **{**{name: getattr(call.frames[-1], name) for name in call.frames[-1].__slots__}, "duration_samples": 0}
    )
    found = run(call.say(1).close())
    assert (found.final.stalls, found.final.paused_ms) == (0, 0)
    assert gaps_of(found.final) == [("SECURE_PAUSE", SECOND, 0)]


def lossy(call: Call, ratio: float) -> Call:
    return call.mark(FrameKind.GAP, 5 * ratio, Reason.OVERFLOW).say(5 * (1 - ratio), 400)


def loss_alarms(found: Run) -> list[tuple[int, str, float]]:
    """Which window each loss alarm follows, what it says and its value."""
    windows, alarms = 0, []
    for _, record in found.found:
        windows += record.kind is LossReportKind.WINDOW and record.channel is Channel.ALL
        if record.alarm is LossAlarm.LOSS:
            alarms.append((windows, record.kind.value, record.alarm_value))
    return alarms


def test_the_loss_alarm_needs_two_bad_looks_back_over_ten_seconds_and_is_cleared_below_the_lower_limit():
    call = Call().open()
    for percent in (0, 6, 6, 4, 3, 2, 6, 4.5, 0):
        lossy(call, percent / 100)
    found = run(call)
    # over two windows each: 3, 6, 5, 3.5, 2.5, 4, 5.25, 2.25 %
    assert loss_alarms(found) == [
        (4, "ALARM_RAISED", pytest.approx(0.05)),
        (6, "ALARM_CLEARED", pytest.approx(0.025)),
    ]
    assert {r.alarm_threshold for _, r in found.found if r.alarm is LossAlarm.LOSS} == {0.05, 0.03}


def test_the_end_of_the_session_clears_its_alarms():
    call = Call().open()
    for _ in range(4):
        lossy(call, 0.1)
    assert loss_alarms(run(call.close())) == [(3, "ALARM_RAISED", pytest.approx(0.1)), (4, "ALARM_CLEARED", None)]


def test_a_window_that_measured_nothing_clears_no_alarm():
    call = lossy(lossy(lossy(Call().open(), 0.06), 0.06), 0.06)
    call.put(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE).mark(FrameKind.RESUMED, 5, Reason.SECURE_PAUSE)
    found = run(call)
    assert found.windows[-1].loss_ratio == -1
    assert found.alarms == [("ALARM_RAISED", "LOSS", "ALL")]


def mostly_paused(call: Call) -> Call:
    """Five seconds of which one is expected, and half of that comes."""
    call.mark(FrameKind.GAP, 0.5, Reason.OVERFLOW).say(0.5, 400)
    call.put(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE)
    return call.mark(FrameKind.RESUMED, 4, Reason.SECURE_PAUSE)


def test_reports_that_expected_too_little_prove_nothing_until_there_are_enough_of_them():
    call = Call().open()
    for _ in range(9):
        mostly_paused(call)
    assert run(call).alarms == []
    assert run(mostly_paused(mostly_paused(call))).alarms == [("ALARM_RAISED", "LOSS", "ALL")]


def packets(seconds: int, *, frame_ms: int = 20, keep=lambda number: number % 10) -> Call:
    samples = frame_ms * 8
    call = Call().open()
    for number in range(seconds * 1000 // frame_ms):
        if keep(number):
            at = number * samples
            stated = {"position_samples": at, "captured_at_s": BASE_S + at / RATE_HZ}
            call.packet(number, payload=b"\xff" * samples, duration_samples=samples, **stated)
    return call


def test_a_stream_of_few_packets_is_judged_after_a_minute_at_the_latest():
    raised = [("ALARM_RAISED", "LOSS", "EXTERNAL"), ("ALARM_RAISED", "MOS", "EXTERNAL")]
    assert run(packets(12)).alarms == []
    assert run(packets(21)).alarms == raised
    assert run(packets(60, frame_ms=200)).alarms == []
    assert run(packets(66, frame_ms=200)).alarms == raised


def test_bad_quality_is_an_alarm_and_good_quality_clears_it():
    call = packets(70, keep=lambda number: number < 1000 or number > 2000 or number % 100 > 8)
    found = run(call)
    alarms = [(r.kind.value, r.alarm.value) for _, r in found.found if r.alarm_threshold]
    assert ("ALARM_RAISED", "MOS") in alarms
    assert ("ALARM_CLEARED", "MOS") in alarms
    raised = next(r for _, r in found.found if r.alarm is LossAlarm.MOS)
    assert 1 <= raised.alarm_value < raised.alarm_threshold == 3.6


def test_drift_is_an_alarm_beyond_its_limit_and_cleared_at_half_of_it():
    call = Call().open().say(1)
    for drift in (4000, 4001, 2001, 2000, -5000):
        stated(call, drift).say(1)
    alarms = [(r.kind.value, r.alarm_value) for _, r in run(call).found if r.alarm is LossAlarm.DRIFT]
    assert alarms == [("ALARM_RAISED", 500.125), ("ALARM_CLEARED", 250), ("ALARM_RAISED", -625)]


def test_another_rate_ends_the_counts_and_begins_new_ones():
    call = Call().open().say(1)
    call.fields["sample_rate_hz"] = 16_000
    found = run(call.say(1).close())
    finals = found.of(LossReportKind.FINAL)
    assert [(final.sample_rate_hz, final.received) for final in finals] == [(8000, 8000), (16_000, 8000)]


def test_samples_are_counted_per_channel():
    assert run(Call(channels=Channels.EXTERNAL).open().say(1).close()).final.received == SECOND
    assert run(Call(channels=Channels.INTERNAL_EXTERNAL).open().say(1).close()).final.received == SECOND


def numbered(numbers, **fields) -> Call:
    call = Call().open()
    for place, number in enumerate(numbers):
        call.packet(number % 65_536, place, **fields)
    return call


def stream_of(found: Run, channel: Channel = Channel.EXTERNAL, stream: int = 7):
    (final,) = [
        report for report in found.of(LossReportKind.FINAL, channel) if (report.stream, report.segment) == (stream, -1)
    ]
    return final


def test_packets_are_counted_by_their_numbers_over_the_wrap():
    numbers = [number for number in range(65_530, 65_530 + 500) if number % 50]
    numbers[7:9] = numbers[8:6:-1]
    numbers.insert(20, numbers[19])
    final = stream_of(run(numbered(numbers).close()))
    assert (final.expected, final.received, final.unique, final.duplicates) == (500, 491, 490, 1)
    assert (final.reordered, final.lost, final.lost_signed, final.restarts) == (1, 10, 9, 0)
    assert (final.loss_ratio, final.lost_ms) == (0.02, 200)
    assert (final.frames, final.bytes) == (491, 491 * 160)


def test_the_session_s_report_is_the_sum_of_its_streams():
    call = Call().open()
    for number in range(600):
        if number % 10:
            call.packet(number)
        if number % 20:
            call.packet(number, channels=Channels.INTERNAL, stream=8)
    found = run(call.close())
    inside, outside, final = stream_of(found, Channel.INTERNAL, 8), stream_of(found), found.final
    assert (outside.expected, outside.lost, inside.expected, inside.lost) == (599, 59, 599, 29)
    assert (final.expected, final.lost, final.lost_ms) == (1198, 88, -1)
    assert gaps_of(final) == []
    assert gaps_of(outside)[:2] == [("LOST_IN_NETWORK", 10 * 160, 160), ("LOST_IN_NETWORK", 20 * 160, 160)]


def test_a_restart_loses_nothing():
    final = stream_of(run(numbered([*range(5000, 5100), *range(100)]).close()))
    assert (final.expected, final.lost, final.restarts) == (200, 0, 1)


def test_what_a_mark_explains_is_not_lost_in_the_network():
    call = numbered(range(100)).mark(FrameKind.GAP, 2, Reason.RECONNECT)
    for number in range(200, 300):
        call.packet(number)
    found = run(call.close())
    assert (stream_of(found).lost, stream_of(found).restarts, found.final.reconnect_ms) == (0, 0, 2000)
    assert causes(found.final) == {"lost_ms": -1, "reconnect_ms": 2000}


def test_a_packet_in_the_reorder_window_is_pending_at_the_end_of_a_report_and_not_lost():
    call = Call().open()
    for number in [*range(248), 249, 250, 248, *range(251, 520)]:
        call.packet(number)
    found = run(call.close())
    windows = found.of(LossReportKind.WINDOW, Channel.EXTERNAL)
    assert [(window.expected, window.lost, window.late) for window in windows] == [(249, 0, 0), (251, 0, 0), (20, 0, 0)]
    assert (stream_of(found).lost, stream_of(found).reordered) == (0, 1)


def test_a_packet_that_comes_after_its_place_was_given_up_is_late_and_lost_in_the_report_before():
    call = Call().open()
    for number in [*range(240), *range(241, 255), 240, *range(255, 520)]:
        call.packet(number)
    found = run(call.close())
    windows = found.of(LossReportKind.WINDOW, Channel.EXTERNAL)
    assert [(window.lost, window.late) for window in windows] == [(1, 0), (0, 1), (0, 0)]
    assert [window.cumulative_lost for window in windows] == [1, 0, 0]
    final = stream_of(found)
    assert (final.lost, final.late, final.late_ms, final.reorder_extent, final.reorder_extent_ms) == (0, 1, 20, 14, 280)
    assert final.packet_loss_percent == pytest.approx(100 / 520)


def stamped(seconds_behind: float | None) -> Run:
    """A numbered stream whose connection was lost for half a second; its stamps go on, as far behind, or none are."""
    call = Call()
    for number in [*range(50), *range(75, 125)]:
        if number == 75:
            call.mark(FrameKind.GAP, 0.5, Reason.RECONNECT)
        at = number * 160 + (round((seconds_behind or 0) * 8000) if number >= 75 else 0)
        stamp = {"source_timestamp": at, "source_timestamp_bits": 32, "source_clock_hz": 8000}
        call.packet(number, **({} if seconds_behind is None else stamp))
    return run(call.close())


@pytest.mark.parametrize(("seconds_behind", "estimated"), [(0, False), (0.02, True), (700, True), (None, True)])
def test_a_reconnect_is_estimated_unless_the_source_s_stamps_go_on_over_it(seconds_behind, estimated):
    (gap,) = stamped(seconds_behind).final.gaps
    assert (gap.reason, gap.start_samples, gap.duration_samples) == (Reason.RECONNECT, RATE_HZ, RATE_HZ // 2)
    assert gap.estimated is estimated


def test_the_gaps_of_a_source_that_numbers_nothing_are_estimated_where_nobody_skipped_them():
    call = Call(source=Source.APPFOUNDRY).open().say(2)
    call.mark(FrameKind.GAP, 0.5, Reason.LOST_IN_NETWORK).say(1).mark(FrameKind.DISCARDED, 1).say(1)
    gaps = run(call.close()).final.gaps
    assert [(gap.reason, gap.estimated) for gap in gaps] == [(Reason.LOST_IN_NETWORK, True), (Reason.UNKNOWN, False)]
