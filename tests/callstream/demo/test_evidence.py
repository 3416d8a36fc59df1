"""Evidence is gathered after the identity function: repeats and holes are seen, each frame counts once."""

import hashlib

from audio.frames import FrameEncoder, decode
from callstream.demo.evidence import Evidence
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, Origin, SilenceEvent
from schemas.symbols import FrameKind, Source

STORE = SchemaStore()


def audio(sequence: int, payload: bytes) -> bytes:
    frame = AudioFrame(
        kind=FrameKind.AUDIO,
        session_id=b"s" * 16,
        sequence=sequence,
        source=Source.AUDIOHOOK,
        sample_rate_hz=8000,
        position_samples=0,
        payload=payload,
    )
    return FrameEncoder(STORE).encode(frame)


def test_repeats_and_holes_are_counted_and_frames_digested_once() -> None:
    evidence = Evidence()
    values = [audio(0, b"aa"), audio(1, b"bb"), audio(1, b"bb"), audio(4, b"c"), b"garbage"]
    evidence.frames(0, decode(values, STORE), [b"call"] * len(values))
    stored = evidence.stored["call"]
    assert (stored.frames, stored.payload_bytes, stored.repeats, stored.holes) == (3, 5, 1, 2)
    assert stored.digest.hexdigest() == hashlib.sha256(b"aabbc").hexdigest()
    assert stored.frame_sizes == [[2, 2], [1, 1]]
    assert evidence.bad_frames == 1


def test_other_records_are_kept_by_conversation() -> None:
    evidence = Evidence()
    nowhere = Origin(topic="", partition=0, offset=0, index=0)
    event = SilenceEvent(conversation_id="call", session_id="s", origin=nowhere)
    evidence.record(event)
    assert evidence.silence == {"call": [event]}
