"""What the script says about loss holds for the reports of a perfect call, and for no others."""

from dataclasses import replace

import pytest

from callstream.demo.checks import PlacedCall
from callstream.demo.loss_checks import check_loss, expected_alarms
from schemas.records import LossReport, Origin
from schemas.symbols import Channel, LossAlarm, LossReportKind
from simulators.audiohook import media
from simulators.audiohook.demo_call import demo
from simulators.audiohook.report import CallReport
from simulators.audiohook.scenario import Discard, Pause, Scenario

SECOND = 8000
NOWHERE = Origin(topic="", partition=0, offset=0, index=0)
SCENARIO = demo()
RAISED, CLEARED = LossReportKind.ALARM_RAISED, LossReportKind.ALARM_CLEARED
ACCOUNT = "calls.loss accounts for every sample of the call"
ALARM = "loss above 5 % raises the alarm and its end clears it"
STALL = "the stall raises an alarm, its end clears it"


def report(kind: LossReportKind, alarm: LossAlarm = LossAlarm.UNKNOWN, **values) -> LossReport:
    shared = {"conversation_id": "c", "session_id": "s", "channel": Channel.ALL, "origin": NOWHERE}
    return LossReport(kind=kind, alarm=alarm, **(shared | values))


def perfect() -> list[LossReport]:
    sizes = [len(payload) for payload in SCENARIO.frames()]
    final = report(
        LossReportKind.FINAL,
        frames=len(sizes),
        bytes=sum(sizes),
        received=sum(sizes) // 2,
        discarded_ms=1200.0,
        paused_ms=3000.0,
        lost_ms=0.0,
        reconnect_ms=0.0,
        dropped_ms=0.0,
        late_ms=0.0,
        drift_samples=0,
    )
    return [
        report(RAISED, LossAlarm.STALL, end_samples=10_080, alarm_value=350.0),
        report(CLEARED, LossAlarm.STALL, end_samples=20_000, alarm_value=930.0),
        report(RAISED, LossAlarm.LOSS),
        report(CLEARED, LossAlarm.LOSS),
        final,
    ]


def failures(reports: list[LossReport], *, real_time: bool = True) -> list[str]:
    sent = CallReport("c", "s", "x", "demo")
    for payload in SCENARIO.frames():
        sent.count_frame(len(payload), len(payload) // 2)
    call = PlacedCall(SCENARIO, sent, real_time=real_time)
    return [check.name for check in check_loss(call, reports) if not check.ok]


def test_the_reports_of_a_perfect_call_pass() -> None:
    assert failures(perfect()) == []


@pytest.mark.parametrize(
    "spoilt",
    [
        {"discarded_ms": 1200.125},
        {"paused_ms": 2999.875},
        {"lost_ms": 0.125},
        {"drift_samples": -1},
        {"frames": 1},
        {"received": 1},
    ],
)
def test_one_sample_more_or_less_under_any_cause_is_found(spoilt) -> None:
    *others, final = perfect()
    assert failures([*others, replace(final, **spoilt)]) == [ACCOUNT]


def test_a_call_without_a_final_report_or_with_two_is_found() -> None:
    assert failures(perfect()[:-1]) == ["there is one final loss report"]
    assert failures([*perfect(), perfect()[-1]]) == ["there is one final loss report"]


def test_an_alarm_that_is_missing_or_too_many_is_found() -> None:
    reports = perfect()
    assert failures(reports[:3] + reports[4:]) == [ALARM]
    assert failures([*reports[:3], report(CLEARED, LossAlarm.LOSS), *reports[3:]]) == [ALARM]


@pytest.mark.parametrize("spoilt", [{"alarm_value": 849.0}, {"alarm_value": 951.0}])
def test_a_stall_off_by_more_than_50_ms_is_found(spoilt) -> None:
    reports = perfect()
    reports[1] = replace(reports[1], **spoilt)
    assert failures(reports) == [STALL]
    assert failures(reports, real_time=False) == []


def test_a_stall_at_another_place_or_that_never_clears_is_found() -> None:
    reports = perfect()
    assert failures([replace(reports[0], end_samples=50_000), *reports[1:]]) == [STALL]
    assert failures([reports[0], *reports[2:]]) == [STALL]


def test_alarms_follow_from_the_windows_of_the_script() -> None:
    def of(*actions: Discard | Pause, seconds: int = 14) -> list[LossReportKind]:
        return expected_alarms(Scenario("x", media.silence(seconds * 1000), actions))

    assert of() == []
    assert of(Pause(2 * SECOND, 6 * SECOND), seconds=30) == []
    assert of(Discard(6 * SECOND, SECOND // 2 - 1), seconds=30) == []
    assert of(Discard(6 * SECOND, SECOND // 2), seconds=30) == [RAISED, CLEARED]
    assert of(Discard(2 * SECOND, SECOND), seconds=30) == []
    assert of(Discard(12 * SECOND, SECOND)) == []
    assert of(Discard(4 * SECOND, 2 * SECOND), Discard(11 * SECOND, SECOND), seconds=40) == [RAISED, CLEARED]
    assert expected_alarms(SCENARIO) == [RAISED, CLEARED]
