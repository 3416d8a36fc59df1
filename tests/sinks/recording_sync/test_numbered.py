import random

import pytest

from schemas.symbols import Channels, FrameKind, Source
from tests.sinks.recording_sync.calls import RATE, SAMPLES, START_MS, Call, record, sound

PACKETS = 200
FIRST = 65_450


def numbered(call: Call, index: int, arrival: int, **fields) -> None:
    """Write the packet `index` as the one that came at place `arrival`."""
    place = {"position_samples": index * SAMPLES, "duration_samples": SAMPLES, "payload": sound(index), **fields}
    call.put(
        FrameKind.AUDIO,
        at_ms=START_MS + arrival * 20 + 20,
        source=Source.CAPTURE,
        channels=Channels.EXTERNAL_INTERNAL,
        sample_rate_hz=RATE,
        stream=7,
        source_sequence=(FIRST + index) % 65_536,
        source_sequence_bits=16,
        source_timestamp=index * SAMPLES,
        source_timestamp_bits=32,
        source_clock_hz=RATE,
        **place,
    )


def arriving(seed: int) -> list[int]:
    """The first one first; others out of order, some far, across the wrap of the numbers too; some twice."""
    dice = random.Random(seed)
    order = sorted(range(1, PACKETS), key=lambda index: index + dice.choice((0, 0, 0, 2.5, 60)))
    return [0, *(index for index in order for _ in range(1 + (dice.random() < 0.05)))]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_numbered_packets_in_any_order_make_the_recording_they_make_in_order(seed, tmp_path):
    log = []
    call = Call(log).open()
    for arrival, index in enumerate(arriving(seed)):
        numbered(call, index, arrival)
    call.put(FrameKind.CLOSED, position_samples=PACKETS * SAMPLES)
    desk = await record(tmp_path, log)
    assert desk.samples() == b"".join(sound(index) for index in range(PACKETS))
    assert desk.sidecar()["gaps"] == []


async def test_what_never_came_is_the_only_gap(tmp_path):
    log = []
    call = Call(log).open()
    for arrival, index in enumerate(index for index in arriving(4) if index not in (50, 51)):
        numbered(call, index, arrival)
    call.put(FrameKind.CLOSED, position_samples=PACKETS * SAMPLES)
    desk = await record(tmp_path, log)
    lost = [("lost", 50 * SAMPLES, 2 * SAMPLES)]
    assert [(g["reason"], g["start_samples"], g["duration_samples"]) for g in desk.sidecar()["gaps"]] == lost
    kept = [sound(index) if index not in (50, 51) else b"\xff" * 2 * SAMPLES for index in range(PACKETS)]
    assert desk.samples() == b"".join(kept)


async def test_a_packet_from_before_the_first_one_is_left_out(tmp_path):
    log = []
    call = Call(log).open()
    numbered(call, 0, 0)
    numbered(call, 65_535 - FIRST, 1, position_samples=-1)
    numbered(call, 1, 2)
    call.put(FrameKind.CLOSED, position_samples=2 * SAMPLES)
    desk = await record(tmp_path, log)
    assert desk.samples() == sound(0) + sound(1)
    assert desk.sidecar()["left_out"] == {"before_start": 1}
