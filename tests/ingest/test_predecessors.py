"""Who had a call before, by what stands at the end of calls.audio."""

from uuid import UUID

import pytest

from audio.frames import decode
from ingest.identity import Predecessor, uuid7
from ingest.predecessors import Findings, Sought, looks_of
from ingest.sequencer import Encoding
from schemas.codec import SchemaStore
from schemas.records import AudioFrame
from schemas.symbols import FrameKind, Reason, Source

STORE = SchemaStore()
NOW_S = 1_700_000_000.0
OLD, NEW = uuid7(NOW_S - 60, bytes(10)), uuid7(NOW_S - 30, bytes(10))
CALL = Sought("c-1", Source.MEDIA_STREAMS, 0)


def frame(session: UUID, kind: FrameKind, at_s: float, **fields) -> bytes:
    source = fields.pop("source", Source.MEDIA_STREAMS)
    record = AudioFrame(
        kind=kind,
        sequence=0,
        sample_rate_hz=8000,
        position_samples=0,
        duration_samples=160,
        session_id=session.bytes,
        captured_at_s=at_s,
        source=source,
        **fields,
    )
    return Encoding(STORE).frame(record)


def found(*records: bytes, key: bytes = b"c-1", sought: Sought = CALL) -> Predecessor | None:
    findings = Findings([sought])
    findings.take([key] * len(records), decode(records, STORE))
    return findings.found().get(sought)


def test_the_newest_session_and_the_last_time_it_wrote_anything():
    predecessor = found(
        frame(OLD, FrameKind.AUDIO, NOW_S),
        frame(NEW, FrameKind.AUDIO, NOW_S + 1),
        frame(NEW, FrameKind.ALIVE, NOW_S + 2.5),
        frame(OLD, FrameKind.AUDIO, NOW_S + 9),
    )
    assert predecessor == Predecessor(str(NEW), NOW_S + 2.5)


@pytest.mark.parametrize("reason", [Reason.DRAIN, Reason.TAKEOVER, Reason.INGEST_LOST])
def test_a_session_that_was_handed_over_is_missed_since_its_end(reason):
    records = frame(NEW, FrameKind.AUDIO, NOW_S), frame(NEW, FrameKind.CLOSED, NOW_S + 1, reason=reason)
    assert found(*records) == Predecessor(str(NEW), NOW_S + 1)


@pytest.mark.parametrize("reason", [Reason.END, Reason.BUDGET_SPENT, Reason.PEER_ERROR, Reason.OTHER])
def test_after_a_session_that_ended_with_its_media_nothing_is_missing(reason):
    records = frame(NEW, FrameKind.AUDIO, NOW_S), frame(NEW, FrameKind.CLOSED, NOW_S + 1, reason=reason)
    assert found(*records) == Predecessor(str(NEW), None)


def test_a_session_of_another_source_or_conversation_is_nobody_s_predecessor():
    records = (frame(NEW, FrameKind.AUDIO, NOW_S, source=Source.AUDIOHOOK),)
    assert found(*records) is None
    assert found(*records, sought=Sought("c-1", Source.UNKNOWN, 0)) == Predecessor(str(NEW), NOW_S)
    assert found(frame(NEW, FrameKind.AUDIO, NOW_S), key=b"c-2") is None


def test_ticks_and_what_cannot_be_read_say_nothing():
    assert found(frame(NEW, FrameKind.TICK, NOW_S), b"nonsense") is None


@pytest.mark.parametrize(("missed_s", "tick_s"), [(1, 0.1), (6, 5), (60, 60)])
def test_the_second_look_reaches_what_a_quiet_session_wrote_before_its_process_died(missed_s, tick_s):
    first_s, second_s, silence_s = looks_of(missed_s, tick_s)
    assert first_s > missed_s
    assert silence_s > tick_s
    # the last sign of life just before the minute, and a death in the middle of a rebalance
    assert second_s > 60 + tick_s + 2 * missed_s
