"""The task: cuts, numbering, stream time, dead letters, and the same bytes however the log was polled."""

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.session import IDLE_MS, Tally
from audio.stream_time import STEP_CAP_MS
from runtime.errors import StateCorrupted, UsageError
from runtime.processor import Batch, Copy
from runtime.task import Task
from runtime.testing import Driver
from schemas.codec import SchemaStore
from schemas.records import ActivityWindow, AudioFrame
from schemas.symbols import ActivityKind, FrameKind, Reason
from tests.runtime.counting import NOWHERE, POISON, CountingProcessor


def frame(session: int, sequence: int, kind: FrameKind = FrameKind.AUDIO, payload: bytes = b"\xff" * 8) -> AudioFrame:
    return AudioFrame(
        kind=kind,
        reason=Reason.END if kind is FrameKind.CLOSED else Reason.UNKNOWN,
        session_id=bytes([session]) * 16,
        sequence=sequence,
        sample_rate_hz=8000,
        position_samples=sequence * 8,
        captured_at_s=1.0,
        payload=payload if kind is FrameKind.AUDIO else b"",
    )


TICK = AudioFrame(kind=FrameKind.TICK)


class Recording(CountingProcessor):
    """Notes what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []

    def process(self, batch: Batch, state, emit) -> None:
        self.calls.append(("process", len(batch.frames), batch.stream_time_ms))
        super().process(batch, state, emit)

    def expire(self, stream_time_ms: int, state, emit) -> None:
        self.calls.append(("expire", 0, stream_time_ms))
        super().expire(stream_time_ms, state, emit)


def test_expire_runs_once_at_each_record_that_lifts_the_timestamp_into_a_new_second() -> None:
    processor = Recording()
    driver = Driver(processor)
    for sequence, timestamp in enumerate((10_000, 10_400, 9_000, 11_000, 11_999, 14_000)):
        driver.send(frame(1, sequence), timestamp_ms=timestamp)
    driver.run()
    assert processor.calls == [
        ("expire", 0, 0),
        ("process", 3, 0),
        ("expire", 0, 1_000),
        ("process", 2, 1_000),
        ("expire", 0, 4_000),
        ("process", 1, 4_000),
    ]


def test_a_hole_in_the_log_moves_stream_time_by_ten_seconds_at_most() -> None:
    processor = Recording()
    driver = Driver(processor)
    driver.send(frame(1, 0), timestamp_ms=0)
    driver.send(frame(1, 1), timestamp_ms=3_600_000)
    driver.run()
    assert processor.calls[-1] == ("process", 1, STEP_CAP_MS)


def test_a_session_that_fell_silent_is_closed_by_the_ticks_of_others() -> None:
    driver = Driver(CountingProcessor())
    driver.send(frame(1, 0), timestamp_ms=0)
    for second in range(5, IDLE_MS // 1000 + 10, 5):
        driver.send(TICK, timestamp_ms=second * 1000)
    outputs = driver.run()
    (total,) = driver.records("calls.activity")
    assert isinstance(total, ActivityWindow)
    assert total.kind is ActivityKind.TOTAL
    assert total.origin.offset == IDLE_MS // 5000
    assert outputs[0].timestamp_ms == IDLE_MS
    assert outputs[0].key == b"conversation"


def test_outputs_are_numbered_within_their_record_with_those_of_expire_first() -> None:
    class Chatty(CountingProcessor):
        def process(self, batch, state, emit) -> None:
            for row in reversed(range(len(batch.frames))):
                for count in (1, 2):
                    emit(row, self._note("process", row, count))

        def expire(self, stream_time_ms, state, emit) -> None:
            emit(self._note("expire", 0, 0))

        @staticmethod
        def _note(who: str, row: int, count: int) -> ActivityWindow:
            return ActivityWindow(conversation_id=who, session_id=f"{row}", frames=count, origin=NOWHERE)

    driver = Driver(Chatty())
    driver.send(frame(1, 0), timestamp_ms=0)
    driver.send(frame(1, 1), timestamp_ms=1)
    driver.run()
    found = [(r.origin.offset, r.origin.index, r.conversation_id, r.frames) for r in driver.records("calls.activity")]
    assert found == [
        (0, 0, "expire", 0),
        (0, 1, "process", 1),
        (0, 2, "process", 2),
        (1, 0, "process", 1),
        (1, 1, "process", 2),
    ]


def test_a_bad_value_becomes_a_dead_letter_as_received_and_the_next_record_counts() -> None:
    driver = Driver(CountingProcessor())
    driver.send_value(b"\x00garbage", key=b"k", timestamp_ms=7)
    for sequence in range(5):
        driver.send(frame(1, sequence), timestamp_ms=8)
    driver.run()
    (letter,) = driver.dead_letters
    assert (letter.key, letter.value, letter.timestamp_ms) == (b"k", b"\x00garbage", 7)
    named = dict(letter.headers)
    assert named["__connect.errors.topic"] == b"calls.audio"
    assert named["__connect.errors.offset"] == b"0"
    assert b"schema id" in named["__connect.errors.exception.message"]
    assert [r.frames for r in driver.records("calls.activity")] == [5]


@pytest.mark.parametrize("poll", [1, 3, 100])
def test_the_record_that_raises_alone_is_dead_lettered_and_all_others_are_counted_once(poll: int) -> None:
    driver = Driver(CountingProcessor())
    for sequence in range(11):
        payload = POISON if sequence == 4 else b"\xff" * 8
        driver.send(frame(1, sequence, payload=payload), timestamp_ms=0)
    driver.run(poll)
    assert [dict(letter.headers)["__connect.errors.offset"] for letter in driver.dead_letters] == [b"4"]
    assert [(r.frames, r.origin.offset) for r in driver.records("calls.activity")] == [(5, 5), (10, 10)]


def test_what_identity_noticed_can_be_taken_once() -> None:
    driver = Driver(CountingProcessor())
    closed = frame(1, 7, FrameKind.CLOSED)
    for record in (frame(1, 0), frame(1, 0), frame(1, 3), frame(1, 5), closed, frame(1, 8)):
        driver.send(record)
    driver.step()
    assert driver._task.take_tally() == Tally(repeats=1, holes=3, dropped=1)
    assert driver._task.take_tally() == Tally()


def test_two_poison_records_of_one_poll_are_both_found() -> None:
    driver = Driver(CountingProcessor())
    for sequence in range(12):
        driver.send(frame(1, sequence, payload=POISON if sequence in (2, 7) else b"\xff"), timestamp_ms=0)
    driver.run()
    offsets = [dict(letter.headers)["__connect.errors.offset"] for letter in driver.dead_letters]
    assert offsets == [b"2", b"7"]
    assert driver.records("calls.activity")[-1].frames == 10


def test_a_state_from_a_newer_release_is_refused() -> None:
    driver = Driver(CountingProcessor())
    driver.send(frame(1, 0))
    entry = driver.commit().entry
    with pytest.raises(StateCorrupted, match="version 2"):
        Task(CountingProcessor(), SchemaStore(), 0, dataclasses.replace(entry, version=2))


def test_an_output_for_a_row_outside_the_batch_makes_the_record_a_dead_letter_of_the_processor() -> None:
    class Wrong(CountingProcessor):
        def process(self, batch, state, emit) -> None:
            if batch.frames.ok.all():
                emit(len(batch.frames), None)

    driver = Driver(Wrong())
    driver.send(frame(1, 0))
    driver.run()
    assert len(driver.dead_letters) == 1


def test_a_processor_that_raises_on_a_dead_letter_too_ends_loudly() -> None:
    class Stubborn(CountingProcessor):
        def process(self, batch, state, emit) -> None:
            raise ValueError("always")

    driver = Driver(Stubborn())
    driver.send(frame(1, 0))
    with pytest.raises(UsageError, match="offset 0"):
        driver.run()


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[bytes | None, bytes | None, int]]:
    """A mixed log: several sessions, repeats, holes, closes, garbage, ticks, poison, odd timestamps."""
    encode = Driver(CountingProcessor())._encoder.encode
    timestamp = 1_000_000
    log: list[tuple[bytes | None, bytes | None, int]] = []
    upcoming = dict.fromkeys(range(4), 0)
    for _ in range(draw(st.integers(5, 60))):
        timestamp += draw(st.sampled_from([0, 0, 20, 300, 1000, 20_000, IDLE_MS]))
        stamp = timestamp - draw(st.sampled_from([0, 0, 700]))
        what = draw(st.sampled_from(["frame"] * 12 + ["repeat", "hole", "close", "garbage", "tick", "poison"]))
        session = draw(st.integers(0, 3))
        if what == "garbage":
            log.append((draw(st.binary(max_size=20)), b"x", stamp))
            continue
        if what == "tick":
            log.append((encode(TICK), None, stamp))
            continue
        sequence = upcoming[session] + {"repeat": -2, "hole": 3}.get(what, 0)
        kind = FrameKind.CLOSED if what == "close" else FrameKind.AUDIO
        payload = POISON if what == "poison" else bytes(draw(st.integers(0, 9)))
        log.append((encode(frame(session, max(0, sequence), kind, payload)), f"c{session}".encode(), stamp))
        upcoming[session] = max(upcoming[session], sequence + 1)
    return log


@given(logs(), st.integers(0, 2**32))
def test_any_polls_commits_and_crashes_give_the_same_outputs_and_state(log, seed: int) -> None:
    def filled() -> Driver:
        driver = Driver(CountingProcessor())
        for value, key, timestamp in log:
            driver.send_value(value, key=key, timestamp_ms=timestamp)
        return driver

    whole = filled()
    whole.run()
    parts = filled()
    chance = random.Random(seed)
    for _ in range(200):
        if chance.random() < 0.2:
            parts.crash()
        if chance.random() < 0.3:
            parts.commit()
        parts.step(chance.choice([1, 2, 3, 7, 50]))
    parts.run()
    assert parts.outputs == whole.outputs
    assert parts.entry == whole.entry


def test_a_copy_of_an_input_record_is_written_as_it_came_in_its_place_among_the_outputs() -> None:
    class Copying(CountingProcessor):
        def process(self, batch: Batch, state, emit) -> None:
            for row, value in enumerate(batch.values):
                emit(row, Copy("calls.speech", batch.keys[row], value))
                emit(row, ActivityWindow(conversation_id="c", session_id="s", origin=NOWHERE))

        def expire(self, stream_time_ms, state, emit) -> None:
            emit(Copy("calls.speech", None, b"expired"))

    driver = Driver(Copying())
    for number, timestamp in enumerate((0, 1, 1000)):
        driver.send(frame(1, number), timestamp_ms=timestamp)
    driver.run(2)
    values = [record.value for record in driver.log]
    copies = [output for output in driver.outputs if output.topic == "calls.speech"]
    assert [copy.value for copy in copies] == [b"expired", *values[:2], b"expired", values[2]]
    assert [copy.key for copy in copies] == [None, b"conversation", b"conversation", None, b"conversation"]
    assert [copy.timestamp_ms for copy in copies] == [0, 0, 1, 1000, 1000]
    windows = [(r.origin.offset, r.origin.index) for r in driver.records("calls.activity")]
    assert windows == [(0, 2), (1, 1), (2, 2)]
