"""A broker and a store ten times slower than before, for a while, under a feed they cannot carry meanwhile.

`python -m tests.faults.back_pressure --minutes 3` prints what each worker did, and last
`RESULT back_pressure rss_mb=… cpu_ratio=… rebalances=… catch_up_ratio=…`; exit code 1 when one is beyond its limit.

The task host's way to the broker is a proxy: slow, each answer takes ten times as long as the broker took, and a
connection carries a tenth of the bytes a second. The sink host's store takes its time for each record, slow ten times
as much. Both read the same topic. Processor time is the kernel's account of the worker over the time waited: other
load on the machine lengthens the wait and not the account, so it can only hide, not cause, a failure; lag is counted in
records, and has gone when it is below what comes in a second. `catch_up_ratio` is the time until then over the pause.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from audio.frames import FrameEncoder
from callstream.embedded_kafka import EmbeddedKafka
from callstream.embedded_process import GuardedProcess, last_lines
from runtime.config import KafkaSettings, child_environment
from runtime.kafka import (
    AIOKafkaConsumer,
    NewTopic,
    TopicPartition,
    start_admin,
    start_consumer,
    start_producer,
)
from schemas.codec import SchemaStore
from schemas.records import AudioFrame
from schemas.symbols import Codec
from schemas.topics import dead_letters
from tests.faults.back_pressure_worker import SINK
from tests.faults.call_log import create_outputs
from tests.faults.processors_under_test import OUTPUTS
from tests.faults.proxy import Proxy, proxy_to
from tests.kafka_fixture import CACHE_DIR

ROOT = Path(__file__).parents[2]
PARTITIONS = 2
SESSIONS = 20
FRAMES_PER_S = 2_000
LINK_BYTES_PER_S = 2_500_000
SLOWNESS = 10
LEAST_LAG_RATIO = 0.2
"""Less of the feed left lying, and the pause was none."""
RSS_LIMIT_MB = 300
CPU_LIMIT_RATIO = 0.2
CATCH_UP_LIMIT_RATIO = 2.0
SETTLE_S = 60
STOP_S = 40
LOOK_S = 0.1


@dataclass
class Measured:
    """What one worker did."""

    rss_mb: float
    cpu_ratio: float
    rebalances: int
    lag_ratio: float
    """Records behind at the end of the pause, of those that came in it."""
    catch_up_ratio: float

    def complaints(self) -> list[str]:
        """What is beyond its limit."""
        found = {
            "memory": self.rss_mb >= RSS_LIMIT_MB,
            "processor time while waiting": self.cpu_ratio >= CPU_LIMIT_RATIO,
            "a rebalance": self.rebalances > 0,
            "the pause was none": self.lag_ratio < LEAST_LAG_RATIO,
            "lag that stays": self.catch_up_ratio > CATCH_UP_LIMIT_RATIO,
        }
        return [what for what, bad in found.items() if bad]


@dataclass
class Subject:
    """A worker process and how far it has come."""

    name: str
    process: GuardedProcess
    log: Path
    assigned: str
    """What it logs for each assignment."""
    position: Callable[[], Awaitable[int]]

    def cpu_s(self) -> float:
        """Processor time it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_rss_mb(self) -> float:
        """The most memory it ever held."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0

    def rebalances(self) -> int:
        """Assignments beyond the first."""
        return self.log.read_text().count(self.assigned) - 1


@dataclass
class Feed:
    """Frames that come in evenly, whoever reads them."""

    kafka: KafkaSettings
    topic: str
    sent: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Write FRAMES_PER_S frames a second until told to stop."""
        loop, encode = asyncio.get_running_loop(), FrameEncoder(SchemaStore()).encode
        producer = await start_producer(self.kafka, client_id="feed", max_batch_size=256 * 1024)
        started_s = loop.time()
        while not self.stop.is_set():
            due = int((loop.time() - started_s) * FRAMES_PER_S)
            batches = [producer.create_batch() for _ in range(PARTITIONS)]
            while self.sent < due:
                session, sequence = self.sent % SESSIONS, self.sent // SESSIONS
                value = encode(
                    AudioFrame(
                        session_id=bytes([session + 1]) * 16,
                        codec=Codec.PCMU,
                        sequence=sequence,
                        sample_rate_hz=8000,
                        duration_samples=160,
                        position_samples=160 * sequence,
                        captured_at_s=1e9,
                        payload=bytes(160),
                    )
                )
                if batches[session % PARTITIONS].append(timestamp=None, key=b"%d" % session, value=value) is None:
                    break
                self.sent += 1
            for partition, batch in enumerate(batches):
                if batch.record_count():
                    await producer.send_batch(batch, self.topic, partition=partition)
            await asyncio.sleep(0.05)
        await producer.stop()


async def measured(kafka: str, folder: Path, pause_s: float) -> dict[str, Measured]:
    """Run both workers, slow broker and store down for `pause_s`, and say what they did."""
    unique = uuid.uuid4().hex[:12]
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{unique}.")
    topic = f"input.{unique}"
    await _create(settings, topic)
    feed = Feed(settings, topic)
    async with proxy_to(kafka) as proxy, asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.run())
        try:
            async with _subjects(settings, topic, proxy, folder) as subjects:
                return await _paused(subjects, proxy, folder / "slow", feed, pause_s)
        finally:
            feed.stop.set()


async def _create(settings: KafkaSettings, topic: str) -> None:
    await create_outputs(settings, OUTPUTS["silence"], PARTITIONS)
    admin = await start_admin(settings, client_id="test")
    letters = settings.topic_prefix + dead_letters(SINK).name
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1), NewTopic(letters, PARTITIONS, 1)])
    await admin.close()


@asynccontextmanager
async def _subjects(settings: KafkaSettings, topic: str, proxy: Proxy, folder: Path) -> AsyncIterator[list[Subject]]:
    group = f"{settings.topic_prefix}silence"
    reader: AIOKafkaConsumer = await start_consumer(settings, client_id="lag", group_id=group)
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]

    async def committed() -> int:
        return sum([await reader.committed(tp) or 0 for tp in partitions])

    async def stored() -> int:
        marks = folder / "marks"
        return sum(json.loads(marks.read_text()).values()) if marks.exists() else 0

    started: list[GuardedProcess] = []

    def start(role: str, bootstrap: str, assigned: str, position: Callable[[], Awaitable[int]]) -> Subject:
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "TOPIC_PREFIX": settings.topic_prefix,
            "PYTHONPATH": str(ROOT),
            "SILENCE_ADMIN_PORT": "0",
            "RECORDING_SYNC_ADMIN_PORT": "0",
        }
        command = [sys.executable, "-m", "tests.faults.back_pressure_worker", role, topic, str(folder)]
        log = folder / f"{role}.log"
        started.append(GuardedProcess(command, folder, log, environment=child_environment(variables)))
        return Subject(role, started[-1], log, assigned, position)

    try:
        subjects = [
            start("task", proxy.bootstrap, '"partitions assigned"', committed),
            start("sink", settings.bootstrap_servers, '"partitions taken over"', stored),
        ]
        yield subjects
        proxy.heal()
        for subject in subjects:
            await subject.process.stop(STOP_S)
            if subject.process.exit_code() != 0:
                raise AssertionError(last_lines(subject.log))
            if subject.rebalances():
                print(*last_lines(subject.log, 40).splitlines(), sep="\n")  # noqa: T201 - to see what cost the place
    finally:
        for process in started:
            process.kill()
        await reader.stop()


async def _paused(subjects: list[Subject], proxy: Proxy, slow: Path, feed: Feed, pause_s: float) -> dict[str, Measured]:
    loop = asyncio.get_running_loop()
    proxy.bytes_per_s = LINK_BYTES_PER_S
    for subject in subjects:
        await _at_work(subject)
        await _caught_up(subject, feed)
    proxy.slowness, proxy.bytes_per_s = float(SLOWNESS), LINK_BYTES_PER_S / SLOWNESS
    slow.touch()  # noqa: ASYNC240
    cpu_s = [subject.cpu_s() for subject in subjects]
    began_s, sent = loop.time(), feed.sent
    await asyncio.sleep(pause_s)
    took_s = loop.time() - began_s
    cpu_ratios = [(subject.cpu_s() - before) / took_s for subject, before in zip(subjects, cpu_s, strict=True)]
    lags = [(feed.sent - await subject.position()) / (feed.sent - sent) for subject in subjects]
    proxy.slowness, proxy.bytes_per_s = 1.0, LINK_BYTES_PER_S
    slow.unlink()  # noqa: ASYNC240
    healed_s = loop.time()
    async with asyncio.TaskGroup() as tasks:
        catching_up = [tasks.create_task(_caught_up(subject, feed, 3 * took_s)) for subject in subjects]
    return {
        subject.name: Measured(
            rss_mb=subject.peak_rss_mb(),
            cpu_ratio=cpu_ratio,
            rebalances=subject.rebalances(),
            lag_ratio=lag,
            catch_up_ratio=(caught_up.result() - healed_s) / took_s,
        )
        for subject, cpu_ratio, lag, caught_up in zip(subjects, cpu_ratios, lags, catching_up, strict=True)
    }


async def _at_work(subject: Subject) -> None:
    """Wait until a worker has kept its first records: what its start cost is no part of the wait."""
    async with asyncio.timeout(SETTLE_S):
        while not await subject.position():
            _check_alive(subject)
            await asyncio.sleep(LOOK_S)


async def _caught_up(subject: Subject, feed: Feed, within_s: float = 0.0) -> float:
    """Return when less lies between feed and worker than comes in a second."""
    async with asyncio.timeout(max(SETTLE_S, within_s)):
        while feed.sent - await subject.position() >= FRAMES_PER_S:
            _check_alive(subject)
            await asyncio.sleep(LOOK_S)
    return asyncio.get_running_loop().time()


def _check_alive(subject: Subject) -> None:
    if subject.process.exit_code() is not None:
        raise AssertionError(last_lines(subject.log))


def result(found: dict[str, Measured]) -> str:
    """The line that ends the report: the worst of all workers."""
    worst = {
        "rss_mb": f"{max(one.rss_mb for one in found.values()):.0f}",
        "cpu_ratio": f"{max(one.cpu_ratio for one in found.values()):.3f}",
        "rebalances": str(sum(one.rebalances for one in found.values())),
        "catch_up_ratio": f"{max(one.catch_up_ratio for one in found.values()):.2f}",
    }
    return "RESULT back_pressure " + " ".join(f"{name}={value}" for name, value in worst.items())


async def _main(minutes: float) -> int:
    with tempfile.TemporaryDirectory(prefix="back-pressure-") as name:
        folder = Path(name)
        async with EmbeddedKafka(folder / "kafka", cache_dir=CACHE_DIR, report=print) as broker:
            found = await measured(broker.bootstrap_servers, folder, 60 * minutes)
    for who, one in found.items():
        print(who, one, *one.complaints())  # noqa: T201
    print(result(found))  # noqa: T201
    return 1 if any(one.complaints() for one in found.values()) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.back_pressure", description="Slow broker, slow store."
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="how long they are slow")
    sys.exit(asyncio.run(_main(parser.parse_args().minutes)))
