"""Evidence is gathered after the identity function: repeats and holes are seen, each frame counts once."""

import hashlib

from audio.frames import FrameEncoder, decode
from callstream.demo.evidence import Evidence, StoredGap
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, Origin, SilenceEvent
from schemas.symbols import FrameKind, Reason, Source

STORE = SchemaStore()


def record(kind: FrameKind, sequence: int, payload: bytes = b"", **more: object) -> bytes:
    frame = AudioFrame(
        kind=kind,
        sequence=sequence,
        source=Source.AUDIOHOOK,
        sample_rate_hz=8000,
        payload=payload,
        **({"position_samples": 0, "session_id": b"s" * 16} | more),
    )
    return FrameEncoder(STORE).encode(frame)


def audio(sequence: int, payload: bytes) -> bytes:
    return record(FrameKind.AUDIO, sequence, payload)


def test_repeats_and_holes_are_counted_and_frames_digested_once() -> None:
    evidence = Evidence()
    values = [audio(0, b"aa"), audio(1, b"bb"), audio(1, b"bb"), audio(4, b"c"), b"garbage"]
    evidence.frames(0, decode(values, STORE), [b"call"] * len(values))
    stored = evidence.stored["call"]
    assert (stored.frames, stored.payload_bytes, stored.repeats, stored.holes) == (3, 5, 1, 2)
    assert stored.digest.hexdigest() == hashlib.sha256(b"aabbc").hexdigest()
    assert stored.frame_sizes == [[2, 2], [1, 1]]
    assert evidence.bad_frames == 1


def test_gaps_and_the_end_are_kept_and_sessions_of_a_conversation_apart() -> None:
    evidence = Evidence()
    lost = {"reason": Reason.RECONNECT, "position_samples": 80, "duration_samples": 8000}
    values = [
        audio(0, b"aa"),
        record(FrameKind.GAP, 1, **lost),
        record(FrameKind.CLOSED, 2, reason=Reason.BUDGET_SPENT),
        record(FrameKind.ALIVE, 0, session_id=b"t" * 16),
        record(FrameKind.AUDIO, 1, b"bb", session_id=b"t" * 16),
    ]
    evidence.frames(0, decode(values, STORE), [b"call"] * len(values))
    (earlier,) = evidence.earlier["call"]
    assert (earlier.gaps, earlier.closed) == ([StoredGap("RECONNECT", 80, 8000)], "BUDGET_SPENT")
    later = evidence.stored["call"]
    assert (later.frames, later.records, later.gaps, later.closed) == (1, 2, [], "")
    assert later.digest.hexdigest() == hashlib.sha256(b"bb").hexdigest()


def test_other_records_are_kept_by_conversation() -> None:
    evidence = Evidence()
    nowhere = Origin(topic="", partition=0, offset=0, index=0)
    event = SilenceEvent(conversation_id="call", session_id="s", origin=nowhere)
    evidence.record(event)
    assert evidence.silence == {"call": [event]}
