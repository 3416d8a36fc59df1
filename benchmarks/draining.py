"""A processor on its task host against a bare `getmany` drain of the same topic, in turn in the same run."""

import asyncio
import resource
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.rig import PARTITIONS, Calls, broker, fill
from callstream.topics_command import apply_catalogue
from runtime.clock import SystemClock
from runtime.config import KafkaSettings
from runtime.kafka import TopicPartition, start_consumer
from runtime.processor import Batch, Emit, Processor
from runtime.service import Service, run
from runtime.tuning import ProcessorSettings
from runtime.worker import run_tasks
from schemas.topics import AUDIO

_POLL_RECORDS = 2000
_clock = SystemClock()


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a processor, the settings it runs with, and its output topics."""

    new: Callable[[Any], Processor[Any]]
    settings: Callable[..., ProcessorSettings]
    outputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Medians:
    """Over the rounds: bare seconds ÷ host seconds, and records a second of either.

    The best of the rounds too: records a second of the host, by the clock and by the processor time of this process.
    """

    ratio: float
    frames_per_s: float
    bare_frames_per_s: float
    best_frames_per_s: float
    best_frames_per_cpu_s: float


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


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def host(subject: Subject, kafka: KafkaSettings, total: int, name: str) -> tuple[float, float]:
    """Return the seconds in which the task host processes and commits everything, as another application.

    By the clock, and of processor time.
    """
    kafka = kafka.model_copy(update={"topic_prefix": f"replay.{name}."})
    await apply_catalogue(kafka, PARTITIONS, None, force=False)
    settings = subject.settings(kafka=kafka)
    processor: Any = subject.new(settings)
    seen, began_s, committed_s, began_cpu_s, committed_cpu_s = 0, 0.0, 0.0, 0.0, 0.0
    finished = asyncio.Event()
    measured = processor.process

    def process(batch: Batch, state: Any, emit: Emit) -> None:
        nonlocal seen, began_s, began_cpu_s
        if not began_s:
            began_s, began_cpu_s = _clock.monotonic_s(), _cpu_s()
        measured(batch, state, emit)
        seen += len(batch.frames)
        if seen >= total:
            finished.set()

    def before_step(step: str) -> None:
        nonlocal committed_s, committed_cpu_s
        if step == "commit":
            committed_s, committed_cpu_s = _clock.monotonic_s(), _cpu_s()

    async def start(service: Service[ProcessorSettings]) -> None:
        async with asyncio.TaskGroup() as group:
            work = run_tasks(service, processor, outputs=subject.outputs, before_step=before_step)
            group.create_task(work)
            await finished.wait()
            service.stopping.set()

    processor.process = process
    code = await run(processor.group, settings, start, signals=False)
    if code or seen != total:
        message = f"the task host ended with {code} after {seen} of {total} records"
        raise RuntimeError(message)
    return committed_s - began_s, committed_cpu_s - began_cpu_s


async def compare(subject: Subject, calls: Calls, frames_per_call: int, rounds: int) -> Medians:
    """Fill a topic, drain it in turn, and print each round."""
    async with broker() as kafka:
        total = await fill(kafka, AUDIO.name, calls.log(frames_per_call))
        print(f"{total} records of {calls.what}, {PARTITIONS} partitions")
        ratios, hosts, bares, by_cpu = [], [], [], []
        for number in range(rounds):
            bare_s = await bare(kafka, total)
            host_s, cpu_s = await host(subject, kafka, total, f"drain{number}")
            bares.append(total / bare_s)
            hosts.append(total / host_s)
            by_cpu.append(total / cpu_s)
            ratios.append(bare_s / host_s)
            print(f"round {number}: bare {bares[-1]:.0f}/s, host {hosts[-1]:.0f}/s, ratio {ratios[-1]:.3f}")
    return Medians(
        statistics.median(ratios), statistics.median(hosts), statistics.median(bares), max(hosts), max(by_cpu)
    )
