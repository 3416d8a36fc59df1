import hashlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.session import IDLE_MS
from runtime.testing import LogRecord
from schemas.symbols import Channels, Codec, FrameKind, Reason, RecordingEventKind
from sinks.recording_sync.entries import Put, Seal
from sinks.recording_sync.logic import Recorder, Rules
from sinks.recording_sync.session import MOST_SEGMENTS
from tests.sinks.recording_sync.calls import (
    OTHER,
    PARTITION,
    RATE,
    SAMPLES,
    SESSION,
    START_MS,
    STORE,
    Call,
    record,
    sound,
    tick,
)


@pytest.fixture
def log() -> list[LogRecord]:
    return []


def gaps_of(sidecar):
    return [(gap["reason"], gap["start_samples"], gap["duration_samples"]) for gap in sidecar["gaps"]]


async def test_the_samples_of_a_recording_are_the_bytes_sent(log, tmp_path):
    call = Call(log).open().audio(50).close()
    desk = await record(tmp_path, log)
    assert desk.samples() == bytes(call.truth)
    sidecar = desk.sidecar()
    assert (sidecar["start_samples"], sidecar["end_samples"]) == (0, 50 * SAMPLES)
    assert (sidecar["frames"], sidecar["payload_bytes"], sidecar["gaps"], sidecar["stalls"]) == (50, 50 * 320, [], [])
    assert sidecar["channels"] == ["external", "internal"]
    assert sidecar["closed_reason"] == "end"
    assert sidecar["anchor_utc"] == "2023-11-14T22:13:20.000000Z"


async def test_the_sidecar_and_the_event_name_the_digest_of_the_file(log, tmp_path):
    Call(log).open(organisation="org", queue="sales").audio(3).close()
    desk = await record(tmp_path, log)
    wav = next(content for key, content in desk.found().items() if key.endswith(".wav"))
    ((event, partition, timestamp_ms),) = desk.events.written
    assert event.sha512 == desk.sidecar()["wav"]["sha512"] == hashlib.sha512(wav).hexdigest()
    assert event.size_bytes == len(wav)
    assert (event.kind, event.organisation, event.queue) == (RecordingEventKind.SEGMENT_SEALED, "org", "sales")
    assert (event.location, event.sidecar_location) == tuple(
        f"2023/11/14/{UUID(bytes=SESSION)}.{extension}" for extension in ("wav", "json")
    )
    assert (event.origin.topic, event.origin.partition, event.origin.offset) == ("calls.audio", 3, len(log) - 1)
    assert (partition, timestamp_ms) == (3, log[-1].timestamp)
    assert not event.partial


async def test_a_discard_is_silence_in_the_file_and_a_gap_in_the_sidecar(log, tmp_path):
    call = Call(log).open().audio(5).skip(FrameKind.DISCARDED, Reason.SOURCE_DISCARD, 9600).audio(5).close()
    desk = await record(tmp_path, log)
    assert desk.samples() == bytes(call.truth)
    assert desk.samples()[2 * 800 : 2 * (800 + 9600)] == b"\xff" * 19200
    assert gaps_of(desk.sidecar()) == [("source_discard", 800, 9600)]
    assert desk.sidecar()["gaps"][0]["duration_s"] == 1.2
    ((event, _, _),) = desk.events.written
    assert [(gap.reason, gap.start_samples, gap.duration_samples) for gap in event.gaps] == [
        (Reason.SOURCE_DISCARD, 800, 9600)
    ]


async def test_a_secure_pause_is_listed_as_paused_pci_and_what_came_within_it_is_not_written(log, tmp_path):
    call = Call(log).open().audio(5)
    call.put(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE, position_samples=call.position)
    call.put(FrameKind.AUDIO, payload=b"\x11" * 320, position_samples=call.position, duration_samples=SAMPLES)
    call.skip(FrameKind.RESUMED, Reason.SECURE_PAUSE, 1600).audio(5).close()
    desk = await record(tmp_path, log)
    assert desk.samples() == bytes(call.truth)
    assert desk.samples()[1600:4800] == b"\xff" * 3200
    assert gaps_of(desk.sidecar()) == [("paused_pci", 800, 1600)]
    assert desk.sidecar()["left_out"] == {"while_paused": 1}


async def test_a_session_that_ends_paused_lists_the_pause_without_length(log, tmp_path):
    call = Call(log).open().audio(2)
    call.put(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE, position_samples=call.position)
    call.close()
    assert gaps_of((await record(tmp_path, log)).sidecar()) == [("paused_pci", 320, -1)]


async def test_a_jump_of_the_position_without_a_mark_is_filled_and_listed_as_unmarked(log, tmp_path):
    call = Call(log).open().audio(2)
    call.position += 480
    call.audio(2).close()
    desk = await record(tmp_path, log)
    assert desk.samples() == bytes(call.truth)
    assert gaps_of(desk.sidecar()) == [("unmarked", 320, 480)]


async def test_a_jump_between_numbered_packets_is_listed_as_lost(log, tmp_path):
    call = Call(log).open().audio(2, source_sequence_bits=16)
    call.position += 160
    call.audio(2, source_sequence_bits=16).close()
    assert gaps_of((await record(tmp_path, log)).sidecar()) == [("lost", 320, 160)]


async def test_a_late_frame_fills_its_hole(log, tmp_path):
    call = Call(log).open().audio(2)
    call.position += SAMPLES
    call.audio(2)
    call.put(FrameKind.AUDIO, payload=sound(99), position_samples=2 * SAMPLES, duration_samples=SAMPLES, late=True)
    call.close()
    call.truth[4 * SAMPLES : 6 * SAMPLES] = sound(99)
    desk = await record(tmp_path, log)
    assert desk.samples() == bytes(call.truth)
    assert desk.sidecar()["gaps"] == []


async def test_audio_that_came_late_is_a_stall_with_nothing_missing(log, tmp_path):
    call = Call(log).open().audio(10)
    for late_ms in range(900, 0, -180):
        call.audio(late_ms=late_ms)
    call.audio(10).close()
    desk = await record(tmp_path, log)
    assert desk.samples() == bytes(call.truth)
    assert desk.sidecar()["gaps"] == []
    assert desk.sidecar()["stalls"] == [
        {
            "position_samples": 1600,
            "position_s": 0.2,
            "delay_ms": 900,
            "recovered": True,
            "missing_samples": 0,
        }
    ]


async def test_a_session_whose_opening_was_not_seen_is_recorded_from_its_first_position(log, tmp_path):
    call = Call(log)
    call.sequence, call.position = 40, 6400
    call.audio(3).close()
    desk = await record(tmp_path, log)
    assert desk.samples(suffix="40") == bytes(call.truth[12800:])
    sidecar = desk.sidecar(suffix="40")
    assert (sidecar["start_samples"], sidecar["end_samples"], sidecar["partial"]) == (6400, 6400 + 480, True)
    assert sidecar["conversation_id"] == "conversation"


async def test_repeats_are_written_once_and_counted_and_holes_in_the_log_too(log, tmp_path):
    call = Call(log).open().audio(3)
    log += [LogRecord(len(log), log[-1].timestamp, log[-1].key, log[-1].value)]
    call.sequence += 2
    call.audio(1).close()
    desk = await record(tmp_path, log)
    assert desk.samples() == bytes(call.truth)
    assert desk.sidecar()["log"] == {"repeats": 1, "holes": 1, "missing_records": 2}


async def test_a_session_without_audio_leaves_no_recording(log, tmp_path):
    Call(log).open().close()
    desk = await record(tmp_path, log)
    assert desk.found() == {}
    assert desk.events.written == []


async def test_a_session_that_falls_silent_is_sealed_as_idle_and_gets_a_further_file_when_it_returns(log, tmp_path):
    call = Call(log).open().audio(2)
    for second in range(5, 2 * IDLE_MS // 1000, 5):
        tick(log, START_MS + 1000 * second)
        if len(log) > 3 + IDLE_MS // 5000 + 2:
            break
    ((event, _, _),) = (await record(tmp_path / "one", log)).events.written
    assert (event.closed_reason, event.end_samples) == (Reason.IDLE, 320)
    call.at_ms = log[-1].timestamp
    sequence = call.sequence
    call.put(FrameKind.AUDIO, payload=sound(9), position_samples=320, duration_samples=SAMPLES)
    call.close()
    desk = await record(tmp_path / "two", log)
    assert desk.samples(suffix=str(sequence)) == sound(9)
    assert [event.segment for event, _, _ in desk.events.written] == [0, 1]
    assert [event.partial for event, _, _ in desk.events.written] == [False, True]
    assert len(set(desk.events.ids)) == 2


async def test_another_encoding_gets_a_further_file(log, tmp_path):
    call = Call(log).open().audio(2)
    call.put(
        FrameKind.AUDIO,
        payload=b"\x11" * 160,
        codec=Codec.PCMA,
        channels=Channels.EXTERNAL,
        position_samples=320,
        duration_samples=160,
    )
    call.close()
    desk = await record(tmp_path, log)
    assert desk.samples() == bytes(call.truth)
    assert desk.samples(suffix="3") == b"\x11" * 160
    assert [event.origin.index for event, _, _ in desk.events.written] == [0, 1]


async def test_audio_no_file_can_hold_is_counted(log, tmp_path):
    call = Call(log).open().audio(1)
    for rate in range(8001, 8001 + MOST_SEGMENTS):
        call.put(FrameKind.AUDIO, payload=sound(1), position_samples=0, duration_samples=SAMPLES, sample_rate_hz=rate)
    call.put(FrameKind.AUDIO, payload=b"opus", codec=Codec.OPUS, position_samples=160, duration_samples=160)
    call.put(FrameKind.AUDIO, payload=b"", position_samples=160, duration_samples=0)
    call.put(FrameKind.AUDIO, payload=b"\x01\x02\x03", position_samples=160, duration_samples=1)
    call.close()
    desk = await record(tmp_path, log)
    assert desk.sidecar()["left_out"] == {"unwritable": 2, "empty": 1, "cut_frames": 1}
    assert desk.samples() == sound(0) + b"\x01\x02"


async def test_nothing_is_placed_or_filled_beyond_the_longest_recording(log, tmp_path):
    call = Call(log).open().audio(1)
    call.put(FrameKind.AUDIO, payload=sound(1), position_samples=2**50, duration_samples=SAMPLES)
    call.put(FrameKind.GAP, reason=Reason.OVERFLOW, position_samples=SAMPLES, duration_samples=2**50)
    call.close()
    desk = await record(tmp_path, log, rules=Rules(longest_s=60))
    assert len(desk.samples()) == 2 * 60 * RATE
    assert desk.sidecar()["left_out"] == {"beyond_longest": 1}


async def test_a_frame_before_the_first_of_a_session_seen_in_part_is_counted(log, tmp_path):
    call = Call(log)
    call.sequence, call.position = 1, 1600
    call.audio(1)
    call.put(FrameKind.AUDIO, payload=sound(5), position_samples=0, duration_samples=SAMPLES)
    call.close()
    assert (await record(tmp_path, log)).sidecar(suffix="1")["left_out"] == {"before_start": 1}


async def test_garbage_is_a_dead_letter_and_the_records_around_it_are_recorded(log, tmp_path):
    call = Call(log).open().audio(2)
    for bad in (None, b"", b"\x00\x00", b"\x00\x7f\x00\x00\x01rest", log[-1].value[:-3]):
        log.append(LogRecord(len(log), log[-1].timestamp, b"key", bad))
    call.audio(2).close()
    plan = Recorder(PARTITION, STORE, Rules()).plan(log)
    assert [dead.offset for dead in plan.dead] == [3, 4, 5, 6, 7]
    assert all(dead.error for dead in plan.dead)
    assert (await record(tmp_path, log)).samples() == bytes(call.truth)


def test_frames_that_follow_each_other_are_one_write(log):
    Call(log).open().audio(20)
    (batch,) = Recorder(PARTITION, STORE, Rules()).plan(log).entries
    assert [type(entry) for entry in batch.entries] == [Put]
    assert len(batch.entries[0].data) == 58 + 20 * 320


def test_the_recording_id_says_nothing_of_the_session_or_the_conversation(log):
    Call(log, conversation="+49 30 1234567").open().audio(1).close()
    (batch,) = Recorder(PARTITION, STORE, Rules()).plan(log).entries
    seal = batch.entries[-1]
    assert isinstance(seal, Seal)
    assert len(seal.event.recording_id) == 32
    assert SESSION.hex() not in seal.event.recording_id
    assert "1234567" not in seal.location + seal.sidecar_location + seal.event.recording_id + seal.event.event_id


def script(choices) -> list[LogRecord]:
    """Two interleaved calls with everything that can happen to them."""
    log: list[LogRecord] = []
    calls = [Call(log).open(), Call(log, OTHER, "other").open()]
    for number, choice in choices:
        call = calls[number]
        if choice < 6:
            call.audio(1, late_ms=300 if choice == 5 else 0)
        elif choice == 6:
            call.skip(FrameKind.DISCARDED, Reason.SOURCE_DISCARD, 400)
        elif choice == 7:
            call.pause(700)
        elif choice == 8:
            call.position += 123
        else:
            log.append(LogRecord(len(log), call.at_ms, call.key, b"garbage"))
    calls[0].close()
    return log


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), max_size=40), st.data())
def test_however_the_log_is_polled_and_wherever_it_is_resumed_the_same_is_written(choices, data):
    log = script(choices)
    whole = Recorder(PARTITION, STORE, Rules())
    expected = flat(whole.plan(log))
    recorder, found, start = Recorder(PARTITION, STORE, Rules()), [], 0
    while start < len(log):
        stop = data.draw(st.integers(start + 1, len(log)))
        found += flat(recorder.plan(log[start:stop]))
        recorder = Recorder(PARTITION, STORE, Rules(), recorder.snapshot())
        start = stop
    assert painted(found) == painted(expected)
    assert [entry for entry in found if isinstance(entry, Seal)] == [e for e in expected if isinstance(e, Seal)]
    assert recorder.snapshot() == whole.snapshot()
    assert recorder.files() == whole.files()


def flat(plan):
    return [entry for batch in plan.entries for entry in batch.entries]


def painted(entries):
    """The files the entries lead to."""
    files: dict[str, bytearray] = {}
    for entry in entries:
        if isinstance(entry, Seal):
            continue
        data = entry.data if isinstance(entry, Put) else entry.value * entry.length_bytes
        content = files.setdefault(entry.name, bytearray())
        content.extend(bytes(max(0, entry.offset_bytes + len(data) - len(content))))
        content[entry.offset_bytes : entry.offset_bytes + len(data)] = data
    return files
