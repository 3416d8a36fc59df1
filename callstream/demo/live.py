"""The demo's calls without numbers, and what must have become of them at the far end. Pure.

Such audio is placed by its arrival, so what is missing is known to the receiver only about as well as the machine keeps
time: lengths of gaps are compared with a tolerance, everything else exactly.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

from callstream.demo.checks import Check, Recording, check_log
from callstream.demo.evidence import Evidence, Stored
from schemas.records import CallEvent, LossReport
from schemas.symbols import CallEventKind, Channel, LossReportKind, Reason
from simulators.live_call.report import LiveReport
from simulators.live_call.script import RATE_HZ, Close, Cut, Dead, Script, channel

_LENGTH_MS: Final = 14_000
_LOST_MS: Final = 5_000
_DEAF_MS: Final = 1_500
_ARRIVED_MS: Final = 15
"""From the end of the audio to the loss: what was sent has been read by then."""
GAP_TOLERANCE_MS: Final = 250
"""How far the length of a gap may be off: what ingest takes for no gap, and some for the machine."""
_SETTLING_SAMPLES: Final = RATE_HZ // 2
"""How much audio may come after a reconnect before the gap stands."""
_SILENT_BYTE: Final = b"\xff"


class Loss(StrEnum):
    """How a call loses its connection in the middle."""

    CUT = "cut"
    CLOSED = "closed"


def live(loss: Loss, number: int) -> Script:
    """Return the script of a call: one side of the conversation, a lost connection, a while without sound after it."""
    at_ms = _LOST_MS + _ARRIVED_MS
    lost: Cut | Close = Cut(at_ms) if loss is Loss.CUT else Close(at_ms, 1001, "going away")
    return Script(
        audio=channel("external" if number % 2 == 0 else "internal")[: _LENGTH_MS * RATE_HZ // 1000],
        actions=(lost, Dead(_LOST_MS, _DEAF_MS)),
    )


def check_live(
    conversation: str, report: LiveReport, evidence: Evidence, recordings: Sequence[Recording]
) -> Iterator[Check]:
    """Return the checks of one call."""
    stored = evidence.stored.get(conversation, Stored())
    missing_ms = _ms(report.missing)
    sent = f"{len(report.sent)} of {len(report.plan.chunks)} chunks, {missing_ms / 1000:.2f} s left out on purpose"
    whole = report.ended and report.cuts + report.closes == 1 and len(report.missing) == 1
    yield Check("the call went as scripted", whole, sent)
    same = stored.frames == len(report.sent) and stored.digest.hexdigest() == report.sha256
    found = f"{len(report.sent)} sent, {stored.frames} stored, digests {'equal' if same else 'differ'}"
    yield Check("every chunk is stored, byte for byte, as it came", same, found)
    yield check_log(stored)
    yield _announced(report, stored)
    yield _reconnected(report, evidence.events.get(conversation, []))
    yield _loss(report, evidence.losses.get(conversation, []))
    yield from _recording(report, recordings)


def _announced(report: LiveReport, stored: Stored) -> Check:
    """One gap, after the lost connection, as long as what was left out."""
    gaps = [gap for gap in stored.gaps if gap.reason == Reason.RECONNECT.value]
    fits = len(gaps) == len(stored.gaps) == 1 and all(
        _is_near(gap.duration_samples, report) and _follows(gap.position_samples, report) for gap in gaps
    )
    lengths = ", ".join(
        f"{gap.duration_samples / RATE_HZ:.2f} s at {gap.position_samples / RATE_HZ:.2f} s" for gap in gaps
    )
    text = f"{lengths or 'none'}, of {_ms(report.missing) / 1000:.2f} s"
    return Check("the hole of the lost connection is announced, where and as long as it was", fits, text)


def _reconnected(report: LiveReport, events: Sequence[CallEvent]) -> Check:
    """One RECONNECT event that says how the connection was lost."""
    reconnects = [event for event in events if event.kind is CallEventKind.RECONNECT]
    code = 1001 if report.closes else 1006
    fits = len(reconnects) == 1 and reconnects[0].code == code
    found = ", ".join(f"code {event.code}" for event in reconnects) or "none"
    return Check("calls.events says how the connection was lost", fits, found)


def _loss(report: LiveReport, reports: Sequence[LossReport]) -> Check:
    """The final report counts the gap as a reconnect, and no other loss."""
    finals = [one for one in reports if one.kind is LossReportKind.FINAL and one.channel is Channel.ALL and one.frames]
    fits = len(finals) == 1 and all(
        abs(final.reconnect_ms - _ms(report.missing)) <= GAP_TOLERANCE_MS
        and not (final.lost_ms or final.dropped_ms or final.discarded_ms or final.paused_ms)
        and final.frames == len(report.sent)
        for final in finals
    )
    found = ", ".join(f"{final.reconnect_ms / 1000:.2f} s, {final.frames} frames" for final in finals)
    return Check("calls.loss tells the reconnect and no other loss", fits, found or "no final report")


def _recording(report: LiveReport, recordings: Sequence[Recording]) -> Iterator[Check]:
    """The recording is what was sent, in order, with silence where the gap is."""
    if len(recordings) != 1:
        yield Check("there is one recording", ok=False, found=f"{len(recordings)} recordings")
        return
    (recording,) = recordings
    listed = [(gap["reason"], gap["start_samples"], gap["duration_samples"]) for gap in recording.sidecar["gaps"]]
    fits = len(listed) == 1 and listed[0][0] == "reconnect" and _follows(listed[0][1], report)
    found = ", ".join(f"{reason} {length / RATE_HZ:.2f} s" for reason, _, length in listed) or "none"
    yield Check("the sidecar lists exactly that gap", fits and _is_near(listed[0][2], report), found)
    _, start, length = listed[0] if len(listed) == 1 else ("", len(recording.payload), 0)
    sent = b"".join(chunk.payload for chunk in report.sent)
    wanted = sent[:start] + _SILENT_BYTE * length + sent[start:]
    differing = sum(a != b for a, b in zip(wanted, recording.payload, strict=False))
    found = f"{len(recording.payload)} of {len(wanted)} bytes, {differing} differ"
    yield Check("the recording equals what was sent, silent in the gap", recording.payload == wanted, found)


def _is_near(duration_samples: int, report: LiveReport) -> bool:
    return abs(duration_samples * 1000 / RATE_HZ - _ms(report.missing)) <= GAP_TOLERANCE_MS


def _follows(position_samples: int, report: LiveReport) -> bool:
    """Tell whether a gap stands where the connection was lost, or soon after: its length is seen by what comes then."""
    lost_at = min((start for start, _ in report.missing), default=-1)
    return 0 <= position_samples - lost_at <= _SETTLING_SAMPLES


def _ms(spans: Sequence[tuple[int, int]]) -> float:
    return sum(end - start for start, end in spans) * 1000 / RATE_HZ
