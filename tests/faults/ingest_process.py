"""Ingest as a process of its own with a spool, beside a broker that can be killed."""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callstream.demo.services import ServiceProcess, free_port
from callstream.embedded_kafka import EmbeddedKafka
from callstream.embedded_process import last_lines
from runtime.config import KafkaSettings
from runtime.errors import Unavailable
from runtime.http import HttpClient
from runtime.kafka import NewTopic, TopicPartition, admin_client, start_consumer
from schemas import topics
from tests.faults.ingest_calls import KEY, SECRET

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
SETTLE_S = 60.0
LOOK_S = 0.05
STOP_S = 60.0


async def until(condition: Callable[[], object], seconds: float = SETTLE_S) -> None:
    """Wait until a condition holds. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(LOOK_S)


@dataclass
class IngestProcess:
    """One ingest after the other with the same port and the same spool."""

    name: str
    kafka: KafkaSettings
    http: HttpClient
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    peak_spool_bytes: int = 0
    peak_rss_mb: float = 0.0
    _service: ServiceProcess | None = None
    _starts: int = 0

    @property
    def url(self) -> str:
        """Where calls reach it."""
        return f"ws://127.0.0.1:{self.port}/audiohook/outage"

    @property
    def _running(self) -> ServiceProcess:
        assert self._service is not None, "it was not started"
        return self._service

    @property
    def spool(self) -> Path:
        """Its folder for what Kafka does not take."""
        return self.folder / f"{self.name}-spool"

    async def start(self) -> None:
        """Start and return when it listens."""
        keys, key = self.folder / "keys.json", self.folder / "spool.key"
        keys.write_text(json.dumps({KEY: SECRET}))
        key.write_text("5a" * 32)
        self._starts += 1
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "TOPIC_PREFIX": self.kafka.topic_prefix,
            "PYTHONPATH": str(ROOT),
            "INGEST_AUDIOHOOK_PORT": str(self.port),
            "INGEST_AUDIOHOOK_KEYS_FILE": str(keys),
            "INGEST_SPOOL_FOLDER": str(self.spool),
            "INGEST_SPOOL_KEY_FILE": str(key),
        }
        log = self.folder / f"{self.name}-{self._starts}.log"
        self._service = ServiceProcess("ingest", variables | self.variables, free_port(), log, self.folder)
        self._service.start()
        await until(lambda: self._check() and b'"listening"' in log.read_bytes())

    def _check(self) -> bool:
        self._running.check_running()
        return True

    async def until_ready(self) -> None:
        """Wait until it says that records flow."""
        await self._running.until_ready(self.http, SETTLE_S)

    async def is_ready(self) -> bool:
        """Ask whether it wants new calls; one that has ended does not."""
        return bool((await self._readyz()).get("ready"))

    async def until_recovered(self) -> None:
        """Wait until it has stored what an earlier one left."""
        async with asyncio.timeout(SETTLE_S):
            while (await self._readyz()).get("facts", {}).get("recovering") != 0:
                await asyncio.sleep(LOOK_S)

    async def _readyz(self) -> dict[str, Any]:
        """Return what it says of itself; nothing while it says nothing."""
        try:
            answer = await self.http.request("GET", f"http://127.0.0.1:{self._running.admin_port}/readyz")
        except Unavailable:
            return {}
        found: dict[str, Any] = answer.json()
        return found

    def kill(self) -> None:
        """End it as a crash would."""
        self.look()
        if self._service is not None and self._service.process is not None:
            self._service.process.kill()

    async def stop(self) -> int | None:
        """Ask it to end, as an operator would; return its exit code."""
        self.look()
        return await self._running.stop(STOP_S)

    def spool_bytes(self) -> int:
        """What waits on disk now."""
        size = 0
        for path in self.spool.glob("segment-*.spool"):
            with suppress(FileNotFoundError):
                size += path.stat().st_size
        return size

    def left(self) -> set[str]:
        """Names of the files in its spool's folder, the lock apart."""
        return {path.name for path in self.spool.iterdir()} - {"lock"}

    def look(self) -> None:
        """Keep the most disk and memory it was seen with."""
        self.peak_spool_bytes = max(self.peak_spool_bytes, self.spool_bytes())
        process = None if self._service is None else self._service.process
        if process is not None and process.exit_code() is None:
            with suppress(FileNotFoundError):
                found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
                self.peak_rss_mb = max(self.peak_rss_mb, int(found[1]) / 1024 if found else 0.0)

    def drifts(self) -> list[int]:
        """Return how far the positions of each session that has ended were apart at its end, in samples."""
        found = []
        for path in sorted(self.folder.glob(f"{self.name}-*.log")):
            lines = (json.loads(line) for line in path.read_bytes().splitlines() if line.startswith(b"{"))
            found += [line["drift_samples"] for line in lines if line["message"] == "a session ended"]
        return found

    def says(self) -> str:
        """Return the end of its log."""
        return last_lines(self._running.log)


@dataclass
class Stage:
    """A broker that can be killed, and the ingest processes beside it."""

    broker: EmbeddedKafka
    kafka: KafkaSettings
    http: HttpClient
    folder: Path
    processes: list[IngestProcess] = field(default_factory=list)

    def ingest(self, name: str, **variables: str) -> IngestProcess:
        """Return a process to be started."""
        self.processes.append(IngestProcess(name, self.kafka, self.http, self.folder, variables))
        return self.processes[-1]

    async def stored(self) -> int:
        """Return how many records calls.audio has had."""
        topic = self.kafka.topic_prefix + topics.AUDIO.name
        consumer = await start_consumer(self.kafka, client_id="outage")
        try:
            ends = await consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
            return sum(ends.values())
        finally:
            await consumer.stop()

    async def until_stored(self, records: int) -> None:
        """Wait until calls.audio has had so many."""
        async with asyncio.timeout(SETTLE_S):
            while await self.stored() < records:
                await asyncio.sleep(LOOK_S)

    async def watch(self) -> None:
        """Keep looking at the processes until cancelled."""
        while True:
            for process in self.processes:
                process.look()
            await asyncio.sleep(2 * LOOK_S)


@asynccontextmanager
async def stage(broker: EmbeddedKafka, folder: Path) -> AsyncIterator[Stage]:
    """Yield a stage with topics of its own; its processes are gone afterwards. The broker is started unless it runs."""
    with suppress(RuntimeError):
        await broker.start()
    async with HttpClient("admin", timeout_s=5.0, any_status=True) as http:
        prefix = f"replay.{uuid.uuid4().hex[:12]}."
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix)
        needed = (topics.AUDIO, topics.EVENTS, topics.SUBSCRIPTIONS, topics.dead_letters("ingest"))
        async with admin_client(kafka, "outage") as admin:
            await admin.create_topics(
                [NewTopic(prefix + topic.name, PARTITIONS, 1, topic_configs=topic.broker_config()) for topic in needed]
            )
        built = Stage(broker, kafka, http, folder)
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(built.watch())
                try:
                    yield built
                finally:
                    watching.cancel()
        finally:
            for process in built.processes:
                process.kill()
