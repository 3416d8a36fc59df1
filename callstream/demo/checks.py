"""What must hold after the demo, call by call. Pure: the script and what was found in, findings out.

The script knows what was sent and where the true pauses lie; nothing here is taken from the product but what the
topics and files hold.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callstream.demo.evidence import Evidence, Stored
from schemas.records import SilenceEvent
from schemas.symbols import Channel, SilenceEventKind
from simulators.audiohook.report import CallReport
from simulators.audiohook.scenario import (
    Discard,
    ExpectedSpan,
    Frame,
    Pause,
    PlacedAction,
    Scenario,
    Stall,
    expected_actions,
    expected_truth,
    media_samples,
)

EDGE_TOLERANCE_MS = 60
STALL_TOLERANCE_MS = 50
STALL_PLACE_SAMPLES = 3200
"""How far from its place a stall may be listed: two frames of 200 ms."""
_SILENT_BYTE = b"\xff"
_SIDES = (Channel.EXTERNAL, Channel.INTERNAL)
_RATE_HZ = 8000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, and what was found."""

    name: str
    ok: bool
    found: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as it lies in the store: its audio bytes without header, and its sidecar."""

    payload: bytes
    sidecar: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """One call of the demo: its script, the simulator's report, and whether arrival times mean anything."""

    scenario: Scenario
    report: CallReport
    real_time: bool


def timeline(scenario: Scenario) -> bytes:
    """Return the stereo samples of a call on its media timeline, digital silence where the script left audio out."""
    parts = []
    for step in scenario.steps():
        if isinstance(step, Frame):
            parts.append(step.payload)
        else:
            parts.append(_SILENT_BYTE * (2 * media_samples(step)))
    return b"".join(parts)


def check_call(call: PlacedCall, evidence: Evidence, recordings: Sequence[Recording]) -> Iterator[Check]:
    """Return the checks of one call."""
    conversation = call.report.conversation_id
    stored = evidence.stored.get(conversation, Stored())
    events = evidence.silence.get(conversation, [])
    yield Check("the call went as scripted", call.report.ok, call.report.detail or call.report.outcome)
    yield _frames(call, stored)
    yield check_log(stored)
    yield from _recording(call, recordings)
    pauses = [span for span in expected_truth(call.scenario) if span.kind == "pause" and span.intact]
    if pauses:
        yield _pauses(pauses, events)


def check_level(name: str, events: Iterable[SilenceEvent], length_samples: int, *, silent: bool) -> Check:
    """A call that is silent on both sides from its first sample to its last; or one of tones, with no span at all."""
    kinds = (SilenceEventKind.SILENCE, SilenceEventKind.SPEECH)
    found = [event for event in events if event.kind in kinds and event.channel in _SIDES]
    silences = {event.channel: (event.start_samples, event.end_samples) for event in found if event.kind is kinds[0]}
    others = len(found) - len(silences)
    whole = all(_near(silences.get(side, (-1, -1)), (0, length_samples)) for side in _SIDES)
    word = "silence" if silent else "neither silence nor speech"
    good = whole if silent else not silences
    return Check(f"{name} is {word}", good and not others, f"{len(silences)} silent sides, {others} other spans")


def _frames(call: PlacedCall, stored: Stored) -> Check:
    report = call.report
    same = (
        stored.frames == report.frames_sent
        and stored.digest.hexdigest() == report.sha256
        and stored.frame_sizes == report.frame_sizes
    )
    found = f"{report.frames_sent} sent, {stored.frames} stored, digests {'equal' if same else 'differ'}"
    return Check("every frame is stored, byte for byte", same, found)


def check_log(stored: Stored) -> Check:
    """Every record of the session is there once, from its first to its last."""
    whole = stored.last_sequence + 1 == stored.records and not stored.holes
    framed = stored.kinds["OPENED"] == 1 and stored.kinds["CLOSED"] == 1
    found = f"{stored.records} records, {stored.holes} missing, {stored.repeats} repeated"
    return Check("the session is whole, from OPENED to CLOSED", whole and framed, found)


def _recording(call: PlacedCall, recordings: Sequence[Recording]) -> Iterator[Check]:
    if len(recordings) != 1:
        yield Check("there is one recording", ok=False, found=f"{len(recordings)} recordings")
        return
    (recording,) = recordings
    wanted = timeline(call.scenario)
    differing = sum(a != b for a, b in zip(wanted, recording.payload, strict=False))
    found = f"{len(recording.payload)} of {len(wanted)} bytes, {differing} differ"
    yield Check("the recording equals what was sent", recording.payload == wanted, found)
    yield _gaps(call.scenario, recording.sidecar)
    stalls = [placed for placed in expected_actions(call.scenario) if isinstance(placed.action, Stall)]
    if stalls and call.real_time:
        yield _stalls(stalls, recording.sidecar)


def _gaps(scenario: Scenario, sidecar: Mapping[str, Any]) -> Check:
    names = {Discard: "source_discard", Pause: "paused_pci"}
    wanted = [
        (names[type(placed.action)], placed.position_samples, media_samples(placed.action))
        for placed in expected_actions(scenario)
        if isinstance(placed.action, Discard | Pause)
    ]
    listed = [(gap["reason"], gap["start_samples"], gap["duration_samples"]) for gap in sidecar["gaps"]]
    found = ", ".join(f"{reason} {duration / _RATE_HZ:.3f} s" for reason, _, duration in listed) or "none"
    return Check("the sidecar lists exactly the scripted gaps", listed == wanted, found)


def _stalls(stalls: Sequence[PlacedAction], sidecar: Mapping[str, Any]) -> Check:
    """Each scripted stall is listed where it was, as long as it was; the machine may add stalls of its own."""
    listed = sidecar["stalls"]
    fits = all(
        any(
            abs(stall["position_samples"] - placed.position_samples) <= STALL_PLACE_SAMPLES
            and abs(stall["delay_ms"] - placed.action.duration_samples * 1000 / _RATE_HZ) <= STALL_TOLERANCE_MS
            for stall in listed
        )
        for placed in stalls
        if isinstance(placed.action, Stall)
    )
    whole = not any(stall["missing_samples"] for stall in listed)
    found = ", ".join(f"{stall['delay_ms']} ms at {stall['position_samples'] / _RATE_HZ:.1f} s" for stall in listed)
    return Check("the stall is listed, and no sample is missing", fits and whole, found or "none")


def _pauses(pauses: Sequence[ExpectedSpan], events: Sequence[SilenceEvent]) -> Check:
    """Every scripted pause is a silence of its side, both edges within the tolerance."""
    found = {
        side: [
            (event.start_samples, event.end_samples)
            for event in events
            if event.kind is SilenceEventKind.SILENCE and event.channel is side
        ]
        for side in _SIDES
    }
    misses = [
        f"{_SIDES[span.channel or 0].lower()} {span.start_samples / _RATE_HZ:.2f}-{span.end_samples / _RATE_HZ:.2f} s"
        for span in pauses
        if not any(_near(edges, (span.start_samples, span.end_samples)) for edges in found[_SIDES[span.channel or 0]])
    ]
    text = f"{len(pauses) - len(misses)} of {len(pauses)}" + (f"; not found: {', '.join(misses)}" if misses else "")
    return Check(f"every scripted pause is found within {EDGE_TOLERANCE_MS} ms", not misses, text)


def _near(found: tuple[int, int], wanted: tuple[int, int]) -> bool:
    tolerance = EDGE_TOLERANCE_MS * _RATE_HZ // 1000
    return all(abs(a - b) <= tolerance for a, b in zip(found, wanted, strict=True))
