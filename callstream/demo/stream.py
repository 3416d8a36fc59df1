"""The demo's media stream, and what must have become of it at the far end. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from callstream.demo.checks import Check, Recording, check_log
from callstream.demo.evidence import Evidence, Stored
from schemas.records import LossReport
from schemas.symbols import Channel, LossReportKind
from simulators.media_streams.report import InteractionReport
from simulators.media_streams.script import Plan, Script, Truth, channel

LOST_RATIO: Final = 0.02
_REORDERED, _DUPLICATES = 12, 9
_NEAR_THE_WRAP: Final = 2**32 - 500
_SILENT_BYTE = b"\xff"
_COUNTS = ("expected", "received", "unique", "duplicates", "reordered", "lost")


def streamed(number: int) -> Script:
    """Return the script of a call: the caller's side, some packets lost, late or twice, numbers that wrap around."""
    return Script(
        audio=channel("external"),
        first_sequence_number=_NEAR_THE_WRAP,
        first_timestamp=_NEAR_THE_WRAP,
        loss_ratio=LOST_RATIO,
        reordered=_REORDERED,
        duplicates=_DUPLICATES,
        seed=number,
    )


def timeline(plan: Plan, truth: Truth) -> bytes:
    """Return the samples of a call, digital silence exactly where its packets were lost."""
    samples = bytearray(_SILENT_BYTE * plan.length_samples)
    for packet in plan.numbered:
        samples[packet.start_samples : packet.end_samples] = packet.payload
    for start, stop in truth.lost_spans:
        samples[start:stop] = _SILENT_BYTE * (stop - start)
    return bytes(samples)


def check_stream(
    conversation: str, report: InteractionReport, evidence: Evidence, recordings: Sequence[Recording]
) -> Iterator[Check]:
    """Return the checks of one stream."""
    stored = evidence.stored.get(conversation, Stored())
    truth = report.plan.truth()
    sent = f"{len(report.sent)} of {len(report.plan.packets)} packets, {truth.lost} left out on purpose"
    whole = report.ended and tuple(report.sent) == report.plan.packets
    yield Check("the stream went as scripted", whole, sent)
    same = stored.frames == len(report.sent) and stored.digest.hexdigest() == report.sha256
    found = f"{len(report.sent)} sent, {stored.frames} stored, digests {'equal' if same else 'differ'}"
    yield Check("every packet is stored, byte for byte, as it came", same, found)
    yield check_log(stored)
    yield _loss(truth, evidence.losses.get(conversation, []))
    yield from _recording(report.plan, truth, recordings)


def _loss(truth: Truth, reports: Sequence[LossReport]) -> Check:
    """The final reports of the stream, and of the whole session, count what the script says by its numbers."""
    finals = {report.channel: report for report in reports if report.kind is LossReportKind.FINAL}
    ratio = truth.lost / truth.expected
    exact = set(finals) == {Channel.ALL, Channel.EXTERNAL} and all(
        [getattr(final, name) for name in _COUNTS] == [getattr(truth, name) for name in _COUNTS]
        and abs(final.loss_ratio - ratio) < 1 / truth.expected
        for final in finals.values()
    )
    final = finals.get(Channel.EXTERNAL)
    counts = "no final report" if final is None else ", ".join(f"{getattr(final, name)} {name}" for name in _COUNTS)
    return Check("calls.loss counts the packets exactly", exact, counts)


def _recording(plan: Plan, truth: Truth, recordings: Sequence[Recording]) -> Iterator[Check]:
    if len(recordings) != 1:
        yield Check("there is one recording", ok=False, found=f"{len(recordings)} recordings")
        return
    (recording,) = recordings
    wanted = timeline(plan, truth)
    differing = sum(a != b for a, b in zip(wanted, recording.payload, strict=False))
    found = f"{len(recording.payload)} of {len(wanted)} bytes, {differing} differ"
    yield Check("the recording is silent where packets were lost", recording.payload == wanted, found)
    gaps = [("lost", start, stop - start) for start, stop in truth.lost_spans]
    listed = [(gap["reason"], gap["start_samples"], gap["duration_samples"]) for gap in recording.sidecar["gaps"]]
    found = f"{len(listed)} gaps, {sum(length for _, _, length in listed) / 8000:.3f} s"
    yield Check("the sidecar lists exactly the lost packets", listed == gaps, found)
