"""The task host with silence against a bare `getmany` drain of the same topic, in turn in the same run.

Goal: ratio ≥ 0.5 at 20-ms frames of one channel. `./dev bench drain [calls] [frames per call] [rounds]`.
"""

import asyncio
import sys

from benchmarks.draining import Subject, compare
from benchmarks.rig import STEREO, Calls, result
from processors.silence.config import SilenceSettings, tuning
from processors.silence.logic import SilenceProcessor
from schemas.topics import ACTIVITY, SILENCE

FRAME_MS = 20
_SILENCE = Subject(
    lambda settings: SilenceProcessor(tuning(settings)), SilenceSettings, outputs=[SILENCE.name, ACTIVITY.name]
)


async def main(calls: int, frames_per_call: int, rounds: int) -> None:
    """Compare with one channel, and with two interleaved ones, which are twice the audio."""
    mono = await compare(_SILENCE, Calls(calls, FRAME_MS, 1), frames_per_call, rounds)
    stereo = await compare(_SILENCE, Calls(calls, FRAME_MS, STEREO), frames_per_call, rounds)
    result(
        "drain",
        ratio=round(mono.ratio, 3),
        frames_per_s=round(mono.frames_per_s),
        bare_frames_per_s=round(mono.bare_frames_per_s),
        stereo_ratio=round(stereo.ratio, 3),
        stereo_frames_per_s=round(stereo.frames_per_s),
    )


if __name__ == "__main__":
    numbers = [int(value) for value in sys.argv[1:]]
    asyncio.run(main(*(numbers + [500, 600, 3][len(numbers) :])))
