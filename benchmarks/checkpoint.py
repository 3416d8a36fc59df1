"""What a commit of the task host costs, by the partitions of one worker, against bare transactions of the same records.

A small processor runs on the task host in this process, one call in each partition, fed by a process of its own so that
each commit holds about four outputs and a state record. Each commit is timed and kept; then transactions of the same
records begin at the same moments, made with the same client and nothing around them: no group, no polls, no processor,
no offsets. `cpu_ms` is the CPU of the whole process, polls and all, divided by the commits; the lines above the last
also say what share of a core the same process uses while commits are held back.
`./dev bench checkpoint [seconds] [partitions …]`.
"""

import asyncio
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rig import Calls, broker, create_application, result
from callstream.embedded_process import GuardedProcess, last_lines
from runtime.checkpoint import BATCH_BYTES, Application, Checkpoint, Step, changelog_key
from runtime.clock import SystemClock
from runtime.config import KafkaSettings, child_environment
from runtime.kafka import NewTopic, TopicPartition, admin_client, start_producer
from runtime.partition import PartitionHost
from runtime.service import Service, run
from runtime.task import Frozen, Output
from runtime.tuning import ProcessorSettings
from runtime.worker import run_tasks
from schemas.topics import ACTIVITY, AUDIO
from tests.runtime.counting import EVERY, CountingProcessor

FRAME_MS = 20
_BATCHES_PER_COMMIT = 2
_BATCH_FRAMES = 2 * EVERY
_GROUP = CountingProcessor.group
_SETTLE_S = 0.5
_FIRST_COMMITS_S = 60.0
_AHEAD_S = 0.5
_ROOT = Path(__file__).parents[1]
_clock = SystemClock()


@dataclass(frozen=True, slots=True)
class Commit:
    """One transaction: whose it was, when it began, how long it took, what was in it."""

    tp: TopicPartition
    began_s: float
    took_s: float
    frozen: Frozen


@dataclass(frozen=True, slots=True)
class Window:
    """The commits that began and ended between two moments, and the CPU of the process meanwhile."""

    commits: Sequence[Commit]
    began_s: float
    ended_s: float
    cpu_s: float

    @property
    def core_ratio(self) -> float:
        """Share of a core that the process used."""
        return self.cpu_s / (self.ended_s - self.began_s)

    @property
    def commits_per_s(self) -> float:
        """Rate of the commits."""
        return len(self.commits) / (self.ended_s - self.began_s)

    def took_ms(self, ratio: float) -> float:
        """Return a percentile of the wall time of a commit."""
        took = sorted(commit.took_s for commit in self.commits)
        return 1000 * took[int(len(took) * ratio)]

    @property
    def cpu_ms(self) -> float:
        """CPU of the whole process for each commit."""
        return 1000 * self.core_ratio / self.commits_per_s

    def line(self, name: str) -> str:
        """Return the window in one line."""
        return (
            f"  {name}: {self.commits_per_s:.1f} commits/s, wall p50 {self.took_ms(0.5):.1f} ms, "
            f"p99 {self.took_ms(0.99):.1f} ms, CPU {self.cpu_ms:.2f} ms per commit, {self.core_ratio:.1%} of a core"
        )


def cpu_s() -> float:
    """Return the CPU seconds this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def window(commits: list[Commit], began_s: float, ended_s: float) -> Window:
    """Wait for both moments; return what happened between them."""
    await asyncio.sleep(began_s - _clock.monotonic_s())
    used_s, began_s = cpu_s(), _clock.monotonic_s()
    await asyncio.sleep(ended_s - _clock.monotonic_s())
    used_s, ended_s = cpu_s() - used_s, _clock.monotonic_s()
    inside = [one for one in commits if one.began_s >= began_s and one.began_s + one.took_s <= ended_s]
    return Window(inside, began_s, ended_s, used_s)


# --- the input ------------------------------------------------------------------------------------------------------


def input_topic(partitions: int) -> str:
    """Return the topic that is read with this many partitions."""
    return f"bench.p{partitions}"


async def create_input(kafka: KafkaSettings, partitions: int) -> None:
    """Create the input."""
    topic = NewTopic(input_topic(partitions), partitions, 1, topic_configs=dict(AUDIO.broker_config()))
    async with admin_client(kafka, "bench") as admin:
        await admin.create_topics([topic])


async def feed(kafka: KafkaSettings, partitions: int, period_s: float) -> None:
    """Append a few frames to each partition in every period, the partitions evenly spread, until killed."""
    producer = await start_producer(kafka, client_id="feed", max_batch_size=BATCH_BYTES)
    calls = Calls(partitions, FRAME_MS)
    due_s, number = _clock.monotonic_s(), 0
    while True:
        for call in range(partitions):
            # what comes late is not made up for: a burst later on would be another load
            due_s = max(due_s + period_s / partitions, _clock.monotonic_s())
            await asyncio.sleep(due_s - _clock.monotonic_s())
            batch = producer.create_batch()
            for frame in range(number * _BATCH_FRAMES, (number + 1) * _BATCH_FRAMES):
                value = calls.audio(call, frame, _clock.wall_s())
                batch.append(key=calls.keys[call], value=value, timestamp=None, headers=[])
            await producer.send_batch(batch, input_topic(partitions), partition=call)
        number += 1


@contextmanager
def fed(kafka: KafkaSettings, partitions: int, period_s: float) -> Iterator[None]:
    """Feed the input from a process of its own."""
    with tempfile.TemporaryDirectory(prefix="callstream-bench-") as folder:
        log = Path(folder) / "feed.log"
        command = [sys.executable, "-m", "benchmarks.checkpoint", "feed", kafka.bootstrap_servers]
        command += [str(partitions), str(period_s)]
        process = GuardedProcess(command, _ROOT, log, environment=child_environment({}))
        try:
            yield
            if process.exit_code() is not None:
                message = f"the feed ended: {last_lines(log)}"
                raise RuntimeError(message)
        finally:
            process.kill()


# --- the task host --------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """Times and keeps every commit of this process, and holds commits back while `held`."""

    commits: list[Commit] = field(default_factory=list)
    held: bool = False

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch during the block."""
        watch, committed, due = self, Checkpoint.commit, PartitionHost.due

        async def commit(self: Checkpoint, frozen: Frozen, deadline_s: float, before: Step = lambda _: None) -> None:
            began_s = _clock.monotonic_s()
            await committed(self, frozen, deadline_s, before)
            watch.commits.append(Commit(self._input, began_s, _clock.monotonic_s() - began_s, frozen))

        def due_unless_held(self: PartitionHost[Any], interval_s: float) -> Frozen | None:
            return None if watch.held else due(self, interval_s)

        Checkpoint.commit, PartitionHost.due = commit, due_unless_held  # type: ignore[method-assign]
        try:
            yield
        finally:
            Checkpoint.commit, PartitionHost.due = committed, due  # type: ignore[method-assign]

    async def every_partition(self, partitions: int) -> None:
        """Wait until each partition has committed: what new producers do once is no part of a commit."""
        async with asyncio.timeout(_FIRST_COMMITS_S):
            while len({commit.tp for commit in self.commits}) < partitions:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.05)
        await asyncio.sleep(_SETTLE_S)


async def host(settings: ProcessorSettings, partitions: int, seconds: float, watch: Watch) -> tuple[Window, float]:
    """Run the task host; return a window with commits, and the share of a core it uses while they are held back."""
    processor = CountingProcessor()
    processor.input_topic = input_topic(partitions)
    found: list[Window] = []

    async def start(service: Service[ProcessorSettings]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(run_tasks(service, processor, outputs=[ACTIVITY.name]))
            await watch.every_partition(partitions)
            for watch.held in (False, True):
                now_s = _clock.monotonic_s() + _SETTLE_S * watch.held
                found.append(await window(watch.commits, now_s, now_s + (seconds / 2 if watch.held else seconds)))
            watch.held = False
            service.stopping.set()

    if code := await run(_GROUP, settings, start, signals=False):
        message = f"the task host ended with {code}"
        raise RuntimeError(message)
    with_commits, without = found
    return with_commits, without.core_ratio


# --- bare transactions ----------------------------------------------------------------------------------------------


async def transaction(producer: Any, application: Application, tp: TopicPartition, frozen: Frozen) -> None:
    """Write the records of a commit in a transaction of their own."""
    await producer.begin_transaction()
    by_topic: dict[str, list[Output]] = {}
    for output in frozen.outputs:
        by_topic.setdefault(output.topic, []).append(output)
    sent = []
    for topic, outputs in by_topic.items():
        batch = producer.create_batch()
        for one in outputs:
            batch.append(key=one.key, value=one.value, timestamp=one.timestamp_ms, headers=list(one.headers))
        sent.append(await producer.send_batch(batch, application.topic(topic), partition=tp.partition))
    batch = producer.create_batch()
    batch.append(key=changelog_key(tp.topic, tp.partition), value=frozen.state_value, timestamp=None, headers=[])
    sent.append(await producer.send_batch(batch, application.changelog_topic, partition=tp.partition))
    await asyncio.gather(*sent)
    await producer.commit_transaction()


async def again(kafka: KafkaSettings, commits: list[Commit], like: Window) -> Window:
    """Begin transactions of the same records at the same moments; return the same window of them."""
    application = Application(_GROUP, kafka.topic_prefix)
    producers = {
        tp: await start_producer(
            kafka,
            client_id=f"bare-{tp.partition}",
            transactional_id=f"bare.{tp.topic}.{tp.partition}",
            transaction_timeout_ms=60_000,
            max_batch_size=BATCH_BYTES,
        )
        for tp in sorted({commit.tp for commit in commits})
    }
    shift_s = _clock.monotonic_s() + _AHEAD_S - min(commit.began_s for commit in commits)
    done: list[Commit] = []

    async def repeat(tp: TopicPartition) -> None:
        for commit in commits:
            if commit.tp == tp:
                await asyncio.sleep(max(0.0, commit.began_s + shift_s - _clock.monotonic_s()))
                began_s = _clock.monotonic_s()
                await transaction(producers[tp], application, tp, commit.frozen)
                done.append(Commit(tp, began_s, _clock.monotonic_s() - began_s, commit.frozen))

    async with asyncio.TaskGroup() as group:
        measuring = group.create_task(window(done, like.began_s + shift_s, like.ended_s + shift_s))
        for tp in producers:
            group.create_task(repeat(tp))
    for producer in producers.values():
        await producer.stop()
    return measuring.result()


async def measure(kafka: KafkaSettings, partitions: int, seconds: float) -> dict[str, float]:
    """Measure one worker with this many partitions, and print both windows."""
    kafka = kafka.model_copy(update={"topic_prefix": f"replay.p{partitions}."})
    await create_input(kafka, partitions)
    await create_application(kafka, _GROUP, [ACTIVITY], partitions)
    settings = ProcessorSettings(kafka=kafka)
    watch = Watch()
    # as the worker has it: a commit in 150 ms, or, with many partitions, 32 of them a second
    interval_s = max(settings.task_host.commit_interval_ms / 1000, partitions / 32)
    with fed(kafka, partitions, interval_s / _BATCHES_PER_COMMIT), watch.on():
        ours, idle_core_ratio = await host(settings, partitions, seconds, watch)
    bare = await again(kafka, [commit for commit in watch.commits if commit.began_s < ours.ended_s], ours)
    outputs = sum(len(commit.frozen.outputs) for commit in ours.commits) / len(ours.commits)
    state = max(len(commit.frozen.state_value) for commit in ours.commits)
    print(f"{partitions} partitions, {len(ours.commits)} commits of {outputs:.1f} outputs and {state} bytes of state")
    print(f"{ours.line('task host')}, {idle_core_ratio:.1%} with commits held back")
    print(bare.line("bare transactions"))
    return {
        f"p{partitions}_ms": ours.took_ms(0.5),
        f"p{partitions}_p99_ms": ours.took_ms(0.99),
        f"p{partitions}_ratio": ours.took_ms(0.5) / bare.took_ms(0.5),
        f"p{partitions}_cpu_ms": ours.cpu_ms,
        f"p{partitions}_cpu_ratio": ours.cpu_ms / bare.cpu_ms,
    }


async def main(seconds: float, counts: list[int]) -> None:
    """Measure each count of partitions on one broker."""
    numbers: dict[str, float] = {}
    async with broker() as kafka:
        for partitions in counts:
            numbers |= await measure(kafka, partitions, seconds)
    result("checkpoint", **numbers)


if __name__ == "__main__":
    if sys.argv[1:2] == ["feed"]:
        servers, count, period = sys.argv[2:]
        asyncio.run(feed(KafkaSettings(bootstrap_servers=servers), int(count), float(period)))
    else:
        given = sys.argv[1:]
        asyncio.run(main(float(given[0]) if given else 4.0, [int(one) for one in given[1:]] or [1, 4, 16, 64]))
