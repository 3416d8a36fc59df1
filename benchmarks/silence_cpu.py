"""The whole silence service on one core: fetch, decode, detect, events, windows, commit; on the embedded broker.

Stereo calls of 20-ms frames, all advancing together. `channel_frames_per_s` counts 20 ms of one channel, by the clock,
best of the rounds; `by_cpu` by the processor time the service used, whoever else works on the machine. `ratio` is
against a bare drain of the same topic in the same round, the median. Goal: 200,000 a core, 2,000 stereo calls in real
time. The same with the level detector shows what the voice detector costs.
`./dev bench silence_cpu [calls] [frames per call] [rounds]`.
"""

import asyncio
import sys

from benchmarks.draining import Subject, compare
from benchmarks.rig import STEREO, Calls, result
from processors.silence.config import SilenceSettings, tuning
from processors.silence.logic import SilenceProcessor
from schemas.topics import ACTIVITY, SILENCE

FRAME_MS = 20
_OUTPUTS = [SILENCE.name, ACTIVITY.name]


def _subject(detector: str) -> Subject:
    return Subject(
        lambda settings: SilenceProcessor(tuning(settings.model_copy(update={"detector": detector}))),
        SilenceSettings,
        outputs=_OUTPUTS,
    )


async def main(calls: int, frames_per_call: int, rounds: int) -> None:
    """Drain the same kind of topic with either detector."""
    voice = await compare(_subject("voice"), Calls(calls, FRAME_MS, STEREO), frames_per_call, rounds)
    level = await compare(_subject("level"), Calls(calls, FRAME_MS, STEREO), frames_per_call, rounds)
    result(
        "silence_cpu",
        channel_frames_per_s=round(voice.best_frames_per_s * STEREO),
        ratio=round(voice.ratio, 3),
        by_cpu=round(voice.best_frames_per_cpu_s * STEREO),
        level_channel_frames_per_s=round(level.best_frames_per_s * STEREO),
        level_ratio=round(level.ratio, 3),
        level_by_cpu=round(level.best_frames_per_cpu_s * STEREO),
    )


if __name__ == "__main__":
    numbers = [int(value) for value in sys.argv[1:]]
    asyncio.run(main(*(numbers + [1000, 200, 3][len(numbers) :])))
