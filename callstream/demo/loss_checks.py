"""What calls.loss must say about a call, held against its script. Pure."""

from collections.abc import Iterator, Sequence

from callstream.demo.checks import STALL_PLACE_SAMPLES, STALL_TOLERANCE_MS, Check, PlacedCall
from schemas.records import LossReport
from schemas.symbols import Channel, LossAlarm, LossReportKind
from simulators.audiohook.scenario import Discard, Frame, Pause, Scenario, Stall, expected_actions, media_samples

_RATE_HZ = 8000
_WINDOW_SAMPLES = 5 * _RATE_HZ
_RAISE_FROM, _CLEAR_BELOW = 0.05, 0.03
_JUDGED_SAMPLES = 10 * _RATE_HZ
_RAISED, _CLEARED = LossReportKind.ALARM_RAISED, LossReportKind.ALARM_CLEARED


def check_loss(call: PlacedCall, reports: Sequence[LossReport]) -> Iterator[Check]:
    """Return the checks of one AudioHook call."""
    finals = [report for report in reports if report.kind is LossReportKind.FINAL]
    if len(finals) != 1 or finals[0].channel is not Channel.ALL:
        yield Check("there is one final loss report", ok=False, found=f"{len(finals)} final reports")
        return
    yield _account(call, finals[0])
    yield _loss_alarms(call.scenario, reports)
    stalls = [placed for placed in expected_actions(call.scenario) if isinstance(placed.action, Stall)]
    if stalls and call.real_time:
        wanted = [(placed.position_samples, placed.action) for placed in stalls if isinstance(placed.action, Stall)]
        yield _stalls(wanted, reports)


def expected_alarms(scenario: Scenario) -> list[LossReportKind]:
    """Return the loss alarms of a call, in order.

    At the end of each window of 5 s the newest ones that expected 10 s of audio are judged together; two bad judgements
    in a row raise the alarm.
    """
    expected: dict[int, int] = {}
    missing: dict[int, int] = {}
    at = 0
    for step in scenario.steps():
        length = step.samples if isinstance(step, Frame) else media_samples(step)
        for start, stop in _cut(at, at + length):
            window = start // _WINDOW_SAMPLES
            if not isinstance(step, Pause):
                expected[window] = expected.get(window, 0) + stop - start
            if isinstance(step, Discard):
                missing[window] = missing.get(window, 0) + stop - start
        at += length
    alarms: list[LossReportKind] = []
    bad = 0
    for ratio in _judged([(expected.get(at, 0), missing.get(at, 0)) for at in range(at // _WINDOW_SAMPLES)]):
        bad = bad + 1 if ratio >= _RAISE_FROM else 0
        raised = bool(alarms) and alarms[-1] is _RAISED
        if not raised and bad > 1:
            alarms.append(_RAISED)
        elif raised and ratio < _CLEAR_BELOW:
            alarms.append(_CLEARED)
    return [*alarms, _CLEARED] if alarms and alarms[-1] is _RAISED else alarms


def _judged(windows: Sequence[tuple[int, int]]) -> Iterator[float]:
    """Return the ratio behind each window (expected, missing) with which enough was expected, in at most a minute."""
    heard = [window for window in windows if window[0]]
    for stop in range(2, len(heard) + 1):
        for start in range(stop - 2, max(-1, stop - 13), -1):
            expected = sum(window[0] for window in heard[start:stop])
            if expected >= _JUDGED_SAMPLES:
                yield sum(window[1] for window in heard[start:stop]) / expected
                break


def _cut(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut a stretch at the edges of the windows."""
    while start < stop:
        edge = min(stop, (start // _WINDOW_SAMPLES + 1) * _WINDOW_SAMPLES)
        yield start, edge
        start = edge


def _account(call: PlacedCall, final: LossReport) -> Check:
    """The final report says exactly what the script left out, and that nothing else is missing."""
    sums = {
        kind: sum(media_samples(action) for action in call.scenario.actions if isinstance(action, kind)) / 8
        for kind in (Discard, Pause)
    }
    elsewhere = final.lost_ms or final.reconnect_ms or final.dropped_ms or final.late_ms or final.drift_samples
    exact = (
        (final.discarded_ms, final.paused_ms) == (sums[Discard], sums[Pause])
        and not elsewhere
        and (final.frames, final.bytes) == (call.report.frames_sent, call.report.bytes_sent)
        and final.received == call.report.samples_sent
    )
    found = (
        f"{final.discarded_ms / 1000:.3f} s skipped, {final.paused_ms / 1000:.3f} s paused, "
        f"{final.lost_ms / 1000:.3f} s lost, drift {final.drift_samples} samples"
    )
    return Check("calls.loss accounts for every sample of the call", exact, found)


def _loss_alarms(scenario: Scenario, reports: Sequence[LossReport]) -> Check:
    wanted = expected_alarms(scenario)
    found = [report.kind for report in reports if report.alarm is LossAlarm.LOSS]
    text = f"{found.count(_RAISED)} raised, {found.count(_CLEARED)} cleared"
    return Check("loss above 5 % raises the alarm and its end clears it", found == wanted, text)


def _stalls(wanted: Sequence[tuple[int, Stall]], reports: Sequence[LossReport]) -> Check:
    """Each scripted stall raised an alarm where it was, and the one that cleared it says how long it was."""
    alarms = [report for report in reports if report.alarm is LossAlarm.STALL]
    pairs = [
        (raised.end_samples, cleared.alarm_value or 0)
        for raised, cleared in zip(alarms[::2], alarms[1::2], strict=False)
        if (raised.kind, cleared.kind) == (_RAISED, _CLEARED)
    ]
    fits = all(
        any(
            abs(position - at) <= STALL_PLACE_SAMPLES
            and abs(delay_ms - stall.duration_samples * 1000 / _RATE_HZ) <= STALL_TOLERANCE_MS
            for position, delay_ms in pairs
        )
        for at, stall in wanted
    )
    found = ", ".join(f"{delay_ms:.0f} ms at {position / _RATE_HZ:.1f} s" for position, delay_ms in pairs)
    return Check("the stall raises an alarm, its end clears it", fits and len(alarms) % 2 == 0, found)
