"""The task host with silence against a bare `getmany` drain of the same topic, in turn in the same run.

Goal: ratio ≥ 0.5 at 20-ms frames of one channel. `./dev bench drain [calls] [frames per call] [rounds]`.
"""

import asyncio
import statistics
import sys
from typing import Any

from benchmarks.rig import PARTITIONS, STEREO, Calls, broker, fill, result
from callstream.topics_command import apply_catalogue
from processors.silence.config import SilenceSettings, tuning
from processors.silence.logic import SilenceProcessor
from runtime.clock import SystemClock
from runtime.config import KafkaSettings
from runtime.kafka import TopicPartition, start_consumer
from runtime.processor import Batch, Emit
from runtime.service import Service, run
from runtime.worker import run_tasks
from schemas.topics import ACTIVITY, AUDIO, SILENCE

FRAME_MS = 20
_POLL_RECORDS = 2000
_clock = SystemClock()


async def bare(kafka: KafkaSettings, total: int) -> float:
    """Return the seconds in which a plain consumer reads everything."""
    consumer = await start_consumer(kafka, client_id="bare", auto_offset_reset="earliest")
    partitions = [TopicPartition(AUDIO.name, number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    for tp in partitions:
        consumer.seek(tp, 0)
    began_s = _clock.monotonic_s()
    seen = 0
    while seen < total:
        for records in (await consumer.getmany(timeout_ms=100, max_records=_POLL_RECORDS)).values():
            seen += len(records)
    seconds = _clock.monotonic_s() - began_s
    await consumer.stop()
    return seconds


async def host(kafka: KafkaSettings, total: int, name: str) -> float:
    """Return the seconds in which the task host processes and commits everything, as another application."""
    kafka = kafka.model_copy(update={"topic_prefix": f"replay.{name}."})
    await apply_catalogue(kafka, PARTITIONS, None, force=False)
    settings = SilenceSettings(kafka=kafka)
    seen, began_s, committed_s = 0, 0.0, 0.0
    finished = asyncio.Event()

    class Counting(SilenceProcessor):
        def process(self, batch: Batch, state: Any, emit: Emit) -> None:
            nonlocal seen, began_s
            began_s = began_s or _clock.monotonic_s()
            super().process(batch, state, emit)
            seen += len(batch.frames)
            if seen >= total:
                finished.set()

    def before_step(step: str) -> None:
        nonlocal committed_s
        if step == "commit":
            committed_s = _clock.monotonic_s()

    async def start(service: Service[SilenceSettings]) -> None:
        async with asyncio.TaskGroup() as group:
            work = run_tasks(
                service, Counting(tuning(settings)), outputs=[SILENCE.name, ACTIVITY.name], before_step=before_step
            )
            group.create_task(work)
            await finished.wait()
            service.stopping.set()

    code = await run("silence", settings, start, signals=False)
    if code or seen != total:
        message = f"the task host ended with {code} after {seen} of {total} records"
        raise RuntimeError(message)
    return committed_s - began_s


async def compare(channels: int, calls: int, frames_per_call: int, rounds: int) -> tuple[float, float, float]:
    """Fill a topic, drain it in turn, print each round; return the medians of ratio, host and bare records a second."""
    async with broker() as kafka:
        total = await fill(kafka, AUDIO.name, Calls(calls, FRAME_MS, channels).log(frames_per_call))
        print(f"{total} records of {calls} calls, {channels} channels, {FRAME_MS}-ms frames, {PARTITIONS} partitions")
        ratios, hosts, bares = [], [], []
        for number in range(rounds):
            bare_s = await bare(kafka, total)
            host_s = await host(kafka, total, f"drain{number}")
            bares.append(total / bare_s)
            hosts.append(total / host_s)
            ratios.append(bare_s / host_s)
            print(f"round {number}: bare {bares[-1]:.0f}/s, host {hosts[-1]:.0f}/s, ratio {ratios[-1]:.3f}")
    return statistics.median(ratios), statistics.median(hosts), statistics.median(bares)


async def main(calls: int, frames_per_call: int, rounds: int) -> None:
    """Compare with one channel, and with two interleaved ones, which are twice the audio."""
    ratio, frames_per_s, bare_frames_per_s = await compare(1, calls, frames_per_call, rounds)
    stereo_ratio, stereo_frames_per_s, _ = await compare(STEREO, calls, frames_per_call, rounds)
    result(
        "drain",
        ratio=round(ratio, 3),
        frames_per_s=round(frames_per_s),
        bare_frames_per_s=round(bare_frames_per_s),
        stereo_ratio=round(stereo_ratio, 3),
        stereo_frames_per_s=round(stereo_frames_per_s),
    )


if __name__ == "__main__":
    numbers = [int(value) for value in sys.argv[1:]]
    asyncio.run(main(*(numbers + [500, 600, 3][len(numbers) :])))
