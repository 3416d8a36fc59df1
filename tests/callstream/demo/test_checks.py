"""Each of the demo's checks holds for what was scripted, and fails for the smallest thing that differs."""

import hashlib
from dataclasses import replace

import pytest

from callstream.demo.checks import PlacedCall, Recording, check_call, check_level, timeline
from callstream.demo.evidence import Evidence, Stored
from schemas.records import Origin, SilenceEvent
from schemas.symbols import Channel, SilenceEventKind
from simulators.audiohook.demo_call import demo
from simulators.audiohook.report import CallReport
from simulators.audiohook.scenario import expected_truth

NOWHERE = Origin(topic="", partition=0, offset=0, index=0)
SCENARIO = demo()
STALLS = [{"position_samples": 10080, "delay_ms": 930, "missing_samples": 0}]
GAPS = [
    {"reason": "source_discard", "start_samples": 80592, "duration_samples": 9600},
    {"reason": "paused_pci", "start_samples": 153889, "duration_samples": 24000},
]


def silences() -> list[SilenceEvent]:
    sides = (Channel.EXTERNAL, Channel.INTERNAL)
    return [
        SilenceEvent(
            kind=SilenceEventKind.SILENCE,
            conversation_id="c",
            session_id="s",
            channel=sides[span.channel or 0],
            start_samples=span.start_samples,
            end_samples=span.end_samples,
            origin=NOWHERE,
        )
        for span in expected_truth(SCENARIO)
        if span.kind == "pause"
    ]


def report() -> CallReport:
    found = CallReport("c", "s", "x", "demo", outcome="closed")
    digest = hashlib.sha256()
    for payload in SCENARIO.frames():
        found.count_frame(len(payload), len(payload) // 2)
        digest.update(payload)
    found.sha256 = digest.hexdigest()
    return found


class Found:
    """Evidence of a perfect call, to be spoilt by the tests."""

    def __init__(self) -> None:
        self.call = PlacedCall(SCENARIO, report(), real_time=True)
        stored = Stored()
        for payload in SCENARIO.frames():
            stored.frame(payload)
        stored.records = stored.frames + 2
        stored.last_sequence = stored.records - 1
        stored.kinds.update({"OPENED": 1, "CLOSED": 1})
        self.evidence = Evidence()
        self.evidence.stored["c"] = stored
        self.evidence.silence["c"] = silences()
        self.recordings = [Recording(timeline(SCENARIO), {"gaps": list(GAPS), "stalls": list(STALLS)})]

    def failures(self) -> list[str]:
        return [check.name for check in check_call(self.call, self.evidence, self.recordings) if not check.ok]


def test_a_call_that_went_as_scripted_passes_every_check() -> None:
    assert Found().failures() == []


def test_one_changed_byte_of_the_log_is_found() -> None:
    found = Found()
    found.evidence.stored["c"] = stored = Stored(records=10, last_sequence=9)
    stored.kinds.update({"OPENED": 1, "CLOSED": 1})
    for number, payload in enumerate(SCENARIO.frames()):
        stored.frame(bytes([payload[0] ^ 1]) + payload[1:] if number == 5 else payload)
    assert found.failures() == ["every frame is stored, byte for byte"]


def test_two_frames_joined_into_one_record_are_found() -> None:
    found = Found()
    stored = found.evidence.stored["c"]
    stored.frame_sizes = [[sum(size * count for size, count in stored.frame_sizes), 1]]
    assert found.failures() == ["every frame is stored, byte for byte"]


def test_a_hole_in_the_log_is_found() -> None:
    found = Found()
    found.evidence.stored["c"].holes = 1
    assert found.failures() == ["the session is whole, from OPENED to CLOSED"]


def test_one_changed_sample_of_the_recording_is_found() -> None:
    found = Found()
    payload = bytearray(found.recordings[0].payload)
    payload[100_000] ^= 1
    found.recordings = [replace(found.recordings[0], payload=bytes(payload))]
    assert found.failures() == ["the recording equals what was sent"]


def test_two_recordings_of_one_call_are_found() -> None:
    found = Found()
    found.recordings *= 2
    assert found.failures() == ["there is one recording"]


@pytest.mark.parametrize("spoilt", [GAPS[:1], [GAPS[0], {**GAPS[1], "duration_samples": 23999}], []])
def test_a_gap_that_is_missing_or_of_another_length_is_found(spoilt) -> None:
    found = Found()
    found.recordings[0].sidecar["gaps"] = spoilt
    assert found.failures() == ["the sidecar lists exactly the scripted gaps"]


@pytest.mark.parametrize("delay_ms", [849, 951])
def test_a_stall_off_by_more_than_50_ms_is_found(delay_ms: int) -> None:
    found = Found()
    found.recordings[0].sidecar["stalls"] = [{**STALLS[0], "delay_ms": delay_ms}]
    assert found.failures() == ["the stall is listed, and no sample is missing"]


def test_a_stall_at_another_place_is_found() -> None:
    found = Found()
    found.recordings[0].sidecar["stalls"] = [{**STALLS[0], "position_samples": 50_000}]
    assert found.failures() == ["the stall is listed, and no sample is missing"]


def test_a_stall_of_the_machine_itself_fails_nothing() -> None:
    found = Found()
    found.recordings[0].sidecar["stalls"] = [*STALLS, {**STALLS[0], "position_samples": 50_000, "delay_ms": 300}]
    assert found.failures() == []


def test_arrival_is_not_checked_when_the_call_was_not_in_real_time() -> None:
    found = Found()
    found.call = replace(found.call, real_time=False)
    found.recordings[0].sidecar["stalls"] = []
    assert found.failures() == []


def test_a_pause_that_is_61_ms_off_is_found_and_named() -> None:
    found = Found()
    events = found.evidence.silence["c"]
    events[2] = replace(events[2], start_samples=events[2].start_samples + 61 * 8)
    failed = [check for check in check_call(found.call, found.evidence, found.recordings) if not check.ok]
    assert [check.name for check in failed] == ["every scripted pause is found within 60 ms"]
    assert "11 of 12; not found: external" in failed[0].found


def test_a_level_call_must_be_silent_or_not_as_a_whole_on_both_sides() -> None:
    def span(kind: SilenceEventKind, channel: Channel, end: int = 24000) -> SilenceEvent:
        return SilenceEvent(
            kind=kind,
            conversation_id="c",
            session_id="s",
            channel=channel,
            start_samples=0,
            end_samples=end,
            origin=NOWHERE,
        )

    both = (Channel.EXTERNAL, Channel.INTERNAL)
    quiet = [span(SilenceEventKind.SILENCE, side) for side in both]
    loud = [span(SilenceEventKind.SPEECH, side) for side in both]
    assert check_level("x", quiet, 24000, silent=True).ok
    assert check_level("x", [], 24000, silent=False).ok
    assert not check_level("x", loud, 24000, silent=False).ok
    assert not check_level("x", quiet, 24000, silent=False).ok
    assert not check_level("x", quiet[:1], 24000, silent=True).ok
    assert not check_level("x", [*quiet, loud[0]], 24000, silent=True).ok
    assert not check_level("x", [quiet[0], span(SilenceEventKind.SILENCE, both[1], 20000)], 24000, silent=True).ok
