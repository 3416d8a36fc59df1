"""The processor on its host: crashes and polls leave no trace in what was written; the demo's call tells its truth."""

import random

import pytest

from processors.loss.logic import LossProcessor
from runtime.clock import ManualClock
from runtime.testing import Driver
from schemas.records import LossReport
from schemas.symbols import Channel, FrameKind, LossReportKind, Reason
from schemas.topics import LOSS
from simulators.audiohook.demo_call import demo
from simulators.audiohook.scenario import Discard, Frame, Pause, Stall
from tests.processors.driving import CRASHES, driven, shuffled
from tests.processors.loss.calls import BASE_S, ENCODER, RATE_HZ, Call, gaps_of


def log() -> list[tuple[bytes, bytes]]:
    """Three calls side by side, one of them numbered, and a garbage record in the middle."""
    calls = [Call(number).open().say(8).mark(FrameKind.DISCARDED, 1.5).say(4).close() for number in range(2)]
    dice = random.Random(5)
    calls.append(Call(2).open())
    for number in range(65_400, 66_400):
        if dice.random() > 0.06:
            calls[2].packet(number % 65_536, number - 65_400)
    calls[2].close()
    return shuffled(calls, ENCODER.encode)


@pytest.fixture(scope="module")
def undisturbed() -> Driver:
    return driven(LossProcessor(), log())


@pytest.mark.parametrize(("poll", "crash_every", "commit_every"), CRASHES)
def test_the_topic_is_byte_equal_through_crashes_and_any_polls(undisturbed, poll, crash_every, commit_every):
    driver = driven(LossProcessor(), log(), poll, crash_every, commit_every)
    assert driver.outputs == undisturbed.outputs
    assert driver.entry.state == undisturbed.entry.state


def test_the_topic_is_written_and_the_garbage_is_a_dead_letter(undisturbed):
    kinds = {(record.kind, record.channel) for record in undisturbed.records(LOSS.name)}
    assert {(LossReportKind.FINAL, Channel.ALL), (LossReportKind.ALARM_RAISED, Channel.EXTERNAL)} <= kinds
    assert [letter.value for letter in undisturbed.dead_letters] == [b"garbage"]


def test_a_session_without_records_has_its_final_by_stream_time():
    driver = Driver(LossProcessor(), clock=ManualClock())
    for frame in Call().open().say(6).frames:
        driver.send(frame, timestamp_ms=1_700_000_000_000)
    for step in range(181):
        tick = Call().put(FrameKind.TICK, session_id=bytes(16), sequence=-1).frames[0]
        driver.send(tick, timestamp_ms=1_700_000_000_000 + 5000 * step)
    driver.run()
    (final,) = [record for record in driver.records(LOSS.name) if record.kind is LossReportKind.FINAL]
    assert (final.received, final.lost) == (6 * RATE_HZ, 0)


def placed_demo() -> tuple[Call, int, int]:
    """The demo's call as ingest would place it; the positions of its discard and of its pause."""
    call, where = Call().open(), {}
    due_s, held_until_s = BASE_S, 0.0
    for step in demo().steps():
        where[type(step)] = call.position
        stated = {"source_timestamp_bits": 53, "captured_at_s": due_s}
        if isinstance(step, Frame):
            captured_s = max(due_s, held_until_s)
            call.put(
                FrameKind.AUDIO, payload=step.payload, duration_samples=step.samples, captured_at_s=captured_s + 0.003
            )
            call.position += step.samples
            due_s += step.samples / RATE_HZ
        elif isinstance(step, Stall):
            held_until_s = due_s + step.duration_samples / RATE_HZ
        elif isinstance(step, Discard | Pause):
            end = call.position + step.duration_samples
            if isinstance(step, Pause):
                call.put(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE, source_timestamp=call.position, **stated)
                call.put(FrameKind.ALIVE, source_timestamp=call.position + 8000, **stated)
            kind = FrameKind.RESUMED if isinstance(step, Pause) else FrameKind.DISCARDED
            reason = Reason.SECURE_PAUSE if isinstance(step, Pause) else Reason.SOURCE_DISCARD
            due_s += step.duration_samples / RATE_HZ
            stated["captured_at_s"] = due_s
            call.put(kind, reason=reason, duration_samples=step.duration_samples, source_timestamp=end, **stated)
            call.position = end
    return call.close(captured_at_s=due_s), where[Discard], where[Pause]


def test_the_demo_s_call_tells_its_discard_its_pause_and_its_stall():
    call, discard_at, pause_at = placed_demo()
    driver = Driver(LossProcessor(), clock=ManualClock())
    for frame in call.frames:
        driver.send(frame)
    driver.run(max_records=50)
    reports: list[LossReport] = driver.records(LOSS.name)
    (final,) = [report for report in reports if report.kind is LossReportKind.FINAL]
    assert (final.discarded_ms, final.paused_ms, final.stalls) == (1200, 3000, 1)
    assert final.stall_ms == final.stall_longest_ms == pytest.approx(900, abs=50)
    assert (final.lost_ms, final.dropped_ms, final.reconnect_ms, final.late_ms) == (0, 0, 0, 0)
    assert gaps_of(final) == sorted(
        [("SOURCE_DISCARD", discard_at, 9600), ("SECURE_PAUSE", pause_at, 24_000)], key=lambda gap: gap[1]
    )
    assert (final.drift_samples, final.longest_gap_ms) == (0, 3000)
    assert (final.start_samples, final.end_samples) == (0, call.position)
    assert final.received == call.position - 24_000 - 9600
    assert final.loss_ratio == 9600 / (call.position - 24_000)
    alarms = [(report.kind, report.alarm) for report in reports if report.alarm_threshold is not None]
    assert len(alarms) == 4
