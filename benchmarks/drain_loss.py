"""The task host with loss against a bare `getmany` drain of the same topic, in turn in the same run.

Numbered 20-ms packets of one channel, the costlier kind, and frames without numbers.
`./dev bench drain_loss [calls] [frames per call] [rounds]`.
"""

import asyncio
import sys

from benchmarks.draining import Subject, compare
from benchmarks.rig import Calls, result
from processors.loss.config import LossSettings, tuning
from processors.loss.logic import LossProcessor
from schemas.topics import LOSS

FRAME_MS = 20
_LOSS = Subject(lambda settings: LossProcessor(tuning(settings)), LossSettings, outputs=[LOSS.name])


async def main(calls: int, frames_per_call: int, rounds: int) -> None:
    """Compare with numbered packets, and with frames that have no numbers."""
    numbered = await compare(_LOSS, Calls(calls, FRAME_MS, 1, numbered=True), frames_per_call, rounds)
    plain = await compare(_LOSS, Calls(calls, FRAME_MS, 1), frames_per_call, rounds)
    result(
        "drain_loss",
        ratio=round(numbered.ratio, 3),
        frames_per_s=round(numbered.frames_per_s),
        bare_frames_per_s=round(numbered.bare_frames_per_s),
        unnumbered_ratio=round(plain.ratio, 3),
        unnumbered_frames_per_s=round(plain.frames_per_s),
    )


if __name__ == "__main__":
    numbers = [int(value) for value in sys.argv[1:]]
    asyncio.run(main(*(numbers + [500, 600, 3][len(numbers) :])))
