"""The checks of a call without numbers hold for what its script left out, and fail for one sample that differs."""

from dataclasses import replace

import pytest

from callstream.demo.checks import Recording
from callstream.demo.evidence import Evidence, Stored, StoredGap
from callstream.demo.live import GAP_TOLERANCE_MS, Loss, check_live, live
from schemas.records import CallEvent, LossReport, Origin
from schemas.symbols import CallEventKind, Channel, LossReportKind, Source
from simulators.live_call.report import LiveReport
from simulators.live_call.script import Close, Cut

NOWHERE = Origin(topic="", partition=0, offset=0, index=0)
LOST_SAMPLES = 12_000
SETTLED_SAMPLES = 800
"""Audio that came after the reconnect before the gap stood."""


class Found:
    """What a perfect call leaves, to be spoilt by the tests."""

    def __init__(self, loss: Loss = Loss.CUT) -> None:
        plan = live(loss, 0).plan()
        closes = loss is Loss.CLOSED
        sent = [chunk for chunk in plan.chunks if not 40_000 <= chunk.start_samples < 40_000 + LOST_SAMPLES]
        self.report = LiveReport(plan, sent, cuts=int(not closes), closes=int(closes), ended=True)
        self.evidence = Evidence(Source.MEDIA_WEBSOCKET)
        stored = self.evidence.stored["c"] = Stored()
        for chunk in sent:
            stored.frame(chunk.payload)
        stored.records, stored.last_sequence = stored.frames + 3, stored.frames + 2
        stored.kinds.update({"OPENED": 1, "CLOSED": 1, "GAP": 1})
        self.length = LOST_SAMPLES + 80
        self.at = 40_000 + SETTLED_SAMPLES
        stored.gaps.append(StoredGap("RECONNECT", self.at, self.length))
        lost = CallEvent(
            kind=CallEventKind.RECONNECT, conversation_id="c", session_id="s", code=1001 if closes else 1006
        )
        self.evidence.record(lost)
        self.final = LossReport(
            kind=LossReportKind.FINAL,
            conversation_id="c",
            session_id="s",
            channel=Channel.ALL,
            source=Source.MEDIA_WEBSOCKET,
            frames=len(sent),
            reconnect_ms=self.length / 8,
            lost_ms=0,
            dropped_ms=0,
            discarded_ms=0,
            paused_ms=0,
            origin=NOWHERE,
        )
        self.evidence.losses["c"] = [self.final]
        payload = b"".join(chunk.payload for chunk in sent)
        whole = payload[: self.at] + b"\xff" * self.length + payload[self.at :]
        gaps = [{"reason": "reconnect", "start_samples": self.at, "duration_samples": self.length}]
        self.recordings = [Recording(whole, {"gaps": gaps})]

    def failures(self) -> list[str]:
        return [check.name for check in check_live("c", self.report, self.evidence, self.recordings) if not check.ok]


ANNOUNCED = "the hole of the lost connection is announced, where and as long as it was"


@pytest.mark.parametrize("loss", list(Loss))
def test_a_call_that_went_as_scripted_passes(loss: Loss) -> None:
    assert Found(loss).failures() == []


def test_the_script_loses_its_connection_once_and_says_nothing_for_a_while_after_it() -> None:
    for loss, action in ((Loss.CUT, Cut), (Loss.CLOSED, Close)):
        plan = live(loss, 1).plan()
        (at_ms,) = [at_ms for at_ms, step in plan.steps if isinstance(step, action)]
        sent = [step for _, step in plan.steps if step in plan.chunks]
        ((begins, ends),) = plan.missing(sent)
        assert ends - begins == LOST_SAMPLES
        assert begins < at_ms * 8 < ends
    assert live(Loss.CUT, 0).audio != live(Loss.CUT, 1).audio


def test_a_call_that_was_not_played_to_its_end_is_found() -> None:
    found = Found()
    found.report.ended = False
    assert found.failures() == ["the call went as scripted"]


def test_a_changed_byte_of_the_log_is_found() -> None:
    found = Found()
    found.evidence.stored["c"].digest.update(b"x")
    assert found.failures() == ["every chunk is stored, byte for byte, as it came"]


@pytest.mark.parametrize("spoilt", ["reason", "length", "place", "another", "none"])
def test_a_hole_that_is_not_announced_as_it_was_is_found(spoilt: str) -> None:
    found = Found()
    gaps = found.evidence.stored["c"].gaps
    (gap,) = gaps
    gaps[:] = {
        "reason": [replace(gap, reason="LOST_IN_NETWORK")],
        "length": [replace(gap, duration_samples=LOST_SAMPLES + 8 * GAP_TOLERANCE_MS + 1)],
        "place": [replace(gap, position_samples=39_999)],
        "another": [gap, gap],
        "none": [],
    }[spoilt]
    assert found.failures() == [ANNOUNCED]


def test_a_connection_lost_in_another_way_than_is_told_is_found() -> None:
    found = Found()
    (event,) = found.evidence.events["c"]
    found.evidence.events["c"] = [replace(event, code=1000)]
    assert found.failures() == ["calls.events says how the connection was lost"]


@pytest.mark.parametrize(
    "wrong", [{"reconnect_ms": 0.0}, {"lost_ms": 20.0}, {"frames": 1}, {"kind": LossReportKind.WINDOW}]
)
def test_a_loss_report_that_says_something_else_is_found(wrong: dict) -> None:
    found = Found()
    found.evidence.losses["c"] = [replace(found.final, **wrong)]
    assert found.failures() == ["calls.loss tells the reconnect and no other loss"]


def test_the_report_on_a_session_without_audio_does_not_count() -> None:
    found = Found()
    found.evidence.losses["c"].insert(0, replace(found.final, frames=0, session_id="earlier"))
    assert found.failures() == []


@pytest.mark.parametrize("at", [0, 40_000 + SETTLED_SAMPLES + 5, -1])
def test_one_sample_of_the_recording_that_differs_is_found(at: int) -> None:
    found = Found()
    (recording,) = found.recordings
    samples = bytearray(recording.payload)
    samples[at] ^= 1
    found.recordings = [replace(recording, payload=bytes(samples))]
    assert found.failures() == ["the recording equals what was sent, silent in the gap"]


def test_a_sidecar_with_another_gap_and_a_missing_recording_are_found() -> None:
    found = Found()
    (recording,) = found.recordings
    (gap,) = recording.sidecar["gaps"]
    found.recordings = [replace(recording, sidecar={"gaps": [gap | {"reason": "lost"}]})]
    assert found.failures() == ["the sidecar lists exactly that gap"]
    found.recordings = []
    assert found.failures() == ["there is one recording"]
