"""What a step of the detector costs per 20-ms frame, by the streams stepped together: `./dev bench silence.cost`.

The best of many steps counts: neighbours on the machine only ever add.
"""

import numpy as np

from audio.vad import FRAME_SAMPLES, VadState, VoiceDetector
from benchmarks.rig import result
from runtime.clock import SystemClock

STREAMS = (1, 16, 80, 512)
_ROUNDS = 200


def cost_us(streams: int, rounds: int = _ROUNDS) -> float:
    """Return µs per frame of a step of this many streams, their state gathered and put back."""
    chance = np.random.default_rng(1)
    clock = SystemClock()
    detector, state = VoiceDetector(), VadState.new(streams)
    rows = chance.permutation(streams)
    samples = np.rint(chance.standard_normal((8, streams, FRAME_SAMPLES)) * 1000).astype(np.int16)
    best = float("inf")
    for number in range(rounds):
        begin = clock.monotonic_s()
        detector.step(state, rows, samples[number % len(samples)])
        best = min(best, clock.monotonic_s() - begin)
    return best * 1e6 / streams


def main() -> None:
    """Measure and print."""
    costs = {f"us_{streams}": cost_us(streams) for streams in STREAMS}
    result("silence_detector_cpu", **costs, frames_per_s=1e6 / costs["us_512"])


if __name__ == "__main__":
    main()
