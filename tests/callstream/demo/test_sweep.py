"""The sweep reads every record and every file: one record or file with what was said in the pause fails the check."""

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from audio.frames import FrameEncoder
from callstream.demo.checks import Check
from callstream.demo.leak_scan import Scan, Sought
from callstream.demo.sweep import check_pause, check_secrets, ends, sweep_files
from callstream.topics_command import apply_catalogue
from runtime.config import KafkaSettings
from runtime.kafka import start_producer
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, CallEvent, Origin, Utterance
from schemas.symbols import CallEventKind, FrameKind
from schemas.topics import AUDIO, EVENTS, UTTERANCES, dead_letters
from simulators.audiohook.demo_call import MARKER_DIGIT, MARKER_TEXTS, MARKER_TONE, demo, inputs

STORE = SchemaStore()
NOWHERE = Origin(topic="", partition=0, offset=0, index=0)
NEEDLE = Sought("it", (b"needle",))


def swept(folder: Path) -> Scan:
    scan = Scan([NEEDLE])
    sweep_files(folder, scan)
    return scan


@pytest.mark.parametrize("at", [0, 2**20 - 3, 2**20, 3 * 2**20])
def test_bytes_are_found_at_the_edges_of_what_is_read_at_once(tmp_path: Path, at: int) -> None:
    (tmp_path / "segment.log").write_bytes(b"x" * at + b"needle" + b"x" * 100)
    assert swept(tmp_path).found["it"] == ["segment.log"]


def test_bytes_behind_a_hole_are_found_and_the_hole_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "topics" / "calls.audio-0"
    folder.mkdir(parents=True)
    with (folder / "0.index").open("wb") as file:
        file.truncate(2**40)
        file.seek(2**39)
        file.write(b"needle")
    (folder / "empty.index").write_bytes(b"")
    scan = swept(tmp_path)
    assert scan.found["it"] == ["topics/calls.audio-0/0.index"]
    assert scan.places == {"files": 2}


def event(**values: object) -> bytes:
    shared = {"kind": CallEventKind.DTMF, "conversation_id": "c", "session_id": "s"}
    return STORE.encode(CallEvent(**(shared | values)))


def frame(payload: bytes) -> bytes:
    record = AudioFrame(kind=FrameKind.AUDIO, session_id=bytes(16), sequence=1, sample_rate_hz=8000, payload=payload)
    return FrameEncoder(STORE).encode(record)


LEAKS = {
    "its sound": (AUDIO.name, frame(MARKER_TONE.payload[:3200])),
    "its key": (EVENTS.name, event(digit=MARKER_DIGIT)),
    "its text 1": (EVENTS.name, event(text=MARKER_TEXTS[0])),
    "its text 2": (dead_letters("silence").name, b"garbage " + MARKER_TEXTS[1].encode()),
}


@pytest.mark.kafka
async def test_a_token_in_a_record_or_a_log_fails_the_check(kafka: str, tmp_path: Path) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    await apply_catalogue(settings, 1)
    producer = await start_producer(settings, client_id="test")
    secrets = {"token 1": "first-token-of-the-run", "the client's secret": "hush-hush-hush"}
    call = str(uuid.uuid4())
    for folder, text in (("recordings", call), ("logs", "a session ended")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file.log").write_text(text)

    async def check(*values: bytes) -> Check:
        starts = await ends(settings)
        for topic in (AUDIO.name, EVENTS.name):
            await producer.send_and_wait(settings.topic_prefix + topic, b"x", key=call.encode())
        for value in values:
            await producer.send_and_wait(settings.topic_prefix + EVENTS.name, value, key=b"c")
        return await check_secrets(settings, starts, tmp_path, secrets, call)

    try:
        held = await check()
        assert (held.ok, held.name) == (True, "2 tokens and secrets stand nowhere")
        leaked = await check(event(message="Bearer first-token-of-the-run"))
        assert (leaked.ok, leaked.found) == (False, "token 1 in calls.events")
        (tmp_path / "logs" / "ingest.log").write_text("hush-hush-hush")
        assert (await check()).found == "the client's secret in logs/ingest.log"
        (tmp_path / "recordings" / "file.log").write_text("")
        assert "a call's id not seen in recordings/" in (await check()).found
    finally:
        await producer.stop()


@pytest.mark.kafka
async def test_one_record_with_what_was_said_in_the_pause_fails_the_check(kafka: str, tmp_path: Path) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    await apply_catalogue(settings, 1)
    producer = await start_producer(settings, client_id="test")
    heard = max(demo().frames(), key=lambda payload: len(set(payload)))
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "call.wav").write_bytes(heard)
    folder = tmp_path

    async def check(*records: tuple[str, bytes]) -> Check:
        starts = await ends(settings)
        for topic, value in records:
            await producer.send_and_wait(settings.topic_prefix + topic, value, key=b"c")
        return await check_pause(settings, starts, folder, broker_files=False)

    text = next(text for text in inputs(demo()) if len(text) > 1)
    said = Utterance(text=text, conversation_id="c", session_id="s", origin=NOWHERE)
    spoken = [(EVENTS.name, event(text=text)), (UTTERANCES.name, STORE.encode(said))]
    spoken.append((UTTERANCES.name, STORE.encode(replace(said, text="4"))))
    good = [(AUDIO.name, frame(heard)), (EVENTS.name, event(digit="4")), *spoken]
    try:
        held = await check(*good)
        assert (held.ok, held.found) == (True, "nothing of it in 5 records and 1 files")
        blind = await check()
        assert blind.found.startswith("a frame of before not seen in calls.audio; a key of before not seen in calls.")
        for name, leak in LEAKS.items():
            leaked = await check(*good, leak)
            assert (leaked.ok, leaked.found) == (False, f"{name} in {leak[0]}")
        (folder / "ingest.log").write_text(f'{{"digit":"{MARKER_DIGIT}"}}')
        assert (await check(*good)).found == "its key in ingest.log"
    finally:
        await producer.stop()
