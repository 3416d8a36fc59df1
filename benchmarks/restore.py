"""How long the partitions of a killed worker stand still: from SIGKILL of their owner to their next committed output.

Pairs of silence processes share four partitions of live calls, each pair as an application of its own. One of a pair
is killed at a random moment between its heartbeats; the clock stops when a read_committed reader holds the first record
that its partitions got afterwards. Three kinds of pairs:

    default   session timeout 10 s, heartbeat 3 s: the settings of a fresh installation, of the demo and of compose
    short     session timeout 1.5 s, heartbeat 0.3 s: the same path with little waiting in it
    static    default times, a static name: the killed worker is started again under its name at once

The limit is the session timeout and 5 s; static workers have no limit but should be faster than a session timeout.
`./dev bench restore [kills of each pair]`.
"""

import asyncio
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rig import PARTITIONS, Calls, broker, create_application, result
from callstream.demo.services import ServiceProcess, free_port
from runtime.clock import SystemClock
from runtime.config import KafkaSettings
from runtime.http import HttpClient
from runtime.kafka import AIOKafkaConsumer, TopicPartition, start_consumer, start_producer, stop_quietly
from schemas.topics import ACTIVITY, AUDIO, SILENCE

FRAME_MS = 200
CALLS = 16
_PAIRS = 3
_SHORT_KILLS = 2
_GRACE_S = 5.0
_READY_S = 60.0
_NEXT_OUTPUT_S = 60.0
_LAST_WORDS_S = 0.3
_POLL_S = 0.01
_clock = SystemClock()


@dataclass(frozen=True, slots=True)
class Kind:
    """How the workers of a pair keep their place in the group."""

    name: str
    session_ms: int
    heartbeat_ms: int
    static: bool = False

    @property
    def limit_s(self) -> float:
        """How long a partition may stand still."""
        return self.session_ms / 1000 + _GRACE_S


DEFAULT = Kind("default", 10_000, 3_000)
SHORT = Kind("short", 1_500, 300)
STATIC = Kind("static", 10_000, 3_000, static=True)


@dataclass
class Outputs:
    """What a pair has committed: by partition the newest offset, and when each record was seen."""

    consumer: AIOKafkaConsumer
    positions: AIOKafkaConsumer
    topic: str
    seen: dict[int, list[tuple[int, float]]] = field(default_factory=lambda: {n: [] for n in range(PARTITIONS)})

    @classmethod
    async def of(cls, kafka: KafkaSettings) -> "Outputs":
        """Start to read."""
        topic = kafka.topic_prefix + ACTIVITY.name
        consumer = await start_consumer(
            kafka, client_id="reader", auto_offset_reset="earliest", fetch_max_wait_ms=20, metadata_max_age_ms=1000
        )
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        positions = await start_consumer(kafka, client_id="ends", isolation_level="read_uncommitted")
        return cls(consumer, positions, topic)

    async def read(self) -> None:
        """Note every record, until cancelled."""
        try:
            while True:
                for tp, records in (await self.consumer.getmany(timeout_ms=20)).items():
                    now_s = _clock.monotonic_s()
                    self.seen[tp.partition] += [(record.offset, now_s) for record in records]
        finally:
            await stop_quietly(self.consumer)
            await stop_quietly(self.positions)

    async def ends(self) -> dict[int, int]:
        """Return the offsets behind everything that was written, committed or not."""
        ends = await self.positions.end_offsets([TopicPartition(self.topic, number) for number in range(PARTITIONS)])
        return {tp.partition: offset for tp, offset in ends.items()}

    async def first_since(self, partition: int, offset: int) -> float:
        """Wait for a committed record at an offset or behind it; return when the first one was seen."""
        async with asyncio.timeout(_NEXT_OUTPUT_S):
            while True:
                for found, seen_s in self.seen[partition]:
                    if found >= offset:
                        return seen_s
                await asyncio.sleep(_POLL_S)


async def feed(kafka: KafkaSettings) -> None:
    """Append each call's frames when they are due, until cancelled."""
    producer = await start_producer(kafka, client_id="feed")
    calls = Calls(CALLS, FRAME_MS)
    try:
        began_s, number = _clock.monotonic_s(), 0
        while True:
            for call, key in enumerate(calls.keys):
                now_s = _clock.wall_s()
                value = calls.audio(call, number, now_s) if number else calls.opened(call, now_s)
                await producer.send(AUDIO.name, key=key, value=value, partition=calls.partitions[call])
            number += 1
            await asyncio.sleep(max(0.0, began_s + number * FRAME_MS / 1000 - _clock.monotonic_s()))
    finally:
        await stop_quietly(producer)


class Pair:
    """Two workers of one application, one of which is killed and replaced again and again."""

    def __init__(self, kafka: KafkaSettings, kind: Kind, number: int, folder: Path, http: HttpClient) -> None:
        self.kind = kind
        self.samples_s: list[float] = []
        self._name = f"{kind.name}{number}"
        self._kafka = kafka.model_copy(update={"topic_prefix": f"replay.{self._name}."})
        self._folder = folder
        self._http = http
        self._chance = random.Random(self._name)
        self._started = 0

    def _start(self, instance: str) -> tuple[str, ServiceProcess]:
        self._started += 1
        settings = {
            "SESSION_TIMEOUT_MS": str(self.kind.session_ms),
            "HEARTBEAT_INTERVAL_MS": str(self.kind.heartbeat_ms),
            **({"GROUP_INSTANCE_ID": instance} if self.kind.static else {}),
        }
        process = ServiceProcess(
            module="processors.silence",
            variables={
                "KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap_servers,
                "TOPIC_PREFIX": self._kafka.topic_prefix,
                **{f"SILENCE_TASK_HOST_{name}": value for name, value in settings.items()},
            },
            admin_port=free_port(),
            log=self._folder / f"{self._name}-{self._started}.log",
            folder=self._folder,
        )
        process.start()
        return instance, process

    async def create_topics(self) -> None:
        """Create what the pair writes."""
        await create_application(self._kafka, "silence", [SILENCE, ACTIVITY], PARTITIONS)

    async def run(self, kills: int) -> None:
        """Start both, then kill the older one `kills` times."""
        outputs = await Outputs.of(self._kafka)
        workers = [self._start("a"), self._start("b")]
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(outputs.read())
            for _ in range(kills):
                await self._settled(outputs, workers)
                instance, victim = workers.pop(0)
                began_s = _clock.monotonic_s()
                _kill(victim)
                if self.kind.static:
                    workers.append(self._start(instance))
                await self._measure(outputs, owned(victim.log), began_s)
                if not self.kind.static:
                    workers.append(self._start(instance))
            for _, worker in workers:
                _kill(worker)
            reader.cancel()

    async def _settled(self, outputs: Outputs, workers: Sequence[tuple[str, ServiceProcess]]) -> None:
        """Wait until both work, each partition moves, and then for a random part of a heartbeat."""
        for _, worker in workers:
            await worker.until_ready(self._http, _READY_S)
        async with asyncio.timeout(_READY_S):
            while sum(len(owned(one.log)) for _, one in workers) != PARTITIONS:  # noqa: ASYNC110 - another process's log
                await asyncio.sleep(_POLL_S)
        for partition, offset in (await outputs.ends()).items():
            await outputs.first_since(partition, offset)
        await asyncio.sleep(self._chance.uniform(0, self.kind.heartbeat_ms / 1000))

    async def _measure(self, outputs: Outputs, orphans: Sequence[int], began_s: float) -> None:
        # what the victim had already sent may still arrive; nobody can follow it so soon
        await asyncio.sleep(_LAST_WORDS_S)
        ends = await outputs.ends()
        took_s = [await outputs.first_since(partition, ends[partition]) - began_s for partition in orphans]
        self.samples_s += took_s
        listed = ", ".join(f"{partition}: {took:.2f} s" for partition, took in zip(orphans, took_s, strict=True))
        print(f"{self._name}: SIGKILL of the owner of {listed}")


def _kill(worker: ServiceProcess) -> None:
    if worker.process is not None:
        worker.process.kill()


def owned(log: Path) -> list[int]:
    """Return the partitions of the last assignment a worker logged."""
    found: list[int] = []
    for line in log.read_text(errors="replace").splitlines():
        if '"partitions assigned"' in line:
            entry: dict[str, Any] = json.loads(line)
            found = sorted(entry["partitions"])
    return found


async def main(kills: int) -> None:
    """Kill the workers of pairs without names, some at a time; then, alone, those of a pair with names."""
    with tempfile.TemporaryDirectory(prefix="callstream-bench-") as name:
        async with AsyncExitStack() as stack:
            kafka = await stack.enter_async_context(broker())
            http = await stack.enter_async_context(HttpClient("admin", timeout_s=2.0, any_status=True))
            folder = Path(name)
            default = [Pair(kafka, DEFAULT, number, folder, http) for number in range(_PAIRS)]
            short, static = Pair(kafka, SHORT, 0, folder, http), Pair(kafka, STATIC, 0, folder, http)
            for pair in (*default, short, static):
                await pair.create_topics()
            async with asyncio.TaskGroup() as group:
                feeding = group.create_task(feed(kafka))
                async with asyncio.TaskGroup() as at_once:
                    for pair in default:
                        at_once.create_task(pair.run(kills))
                    at_once.create_task(short.run(_SHORT_KILLS * kills))
                await static.run(kills)
                feeding.cancel()
    numbers: dict[str, float] = {}
    for prefix, pairs in (("", default), ("short_", [short]), ("static_", [static])):
        samples_s = [sample for pair in pairs for sample in pair.samples_s]
        numbers[f"{prefix}p50_s"] = statistics.median(samples_s)
        numbers[f"{prefix}max_s"] = max(samples_s)
        if not pairs[0].kind.static:
            numbers[f"{prefix}limit_ratio"] = max(samples_s) / pairs[0].kind.limit_s
    result("restore", **numbers, kills=kills * (_PAIRS + _SHORT_KILLS + 1))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 4))
