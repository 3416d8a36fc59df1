"""What schedules are run on: a broker of their own that may be killed and frozen, and the log of calls on it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from callstream.embedded_kafka import EmbeddedKafka
from runtime.config import KafkaSettings
from tests.faults.call_log import FRAMES, InputLog, Row, rows, undisturbed, write
from tests.faults.processors_under_test import processor
from tests.kafka_fixture import CACHE_DIR

TOPIC = "calls.audio"


@dataclass
class Stage:
    """A broker of our own and the log on it; `down` while the broker is."""

    broker: EmbeddedKafka
    folder: Path
    records: list[list[Row]]
    log: InputLog
    down: bool = False
    outages: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def up(self) -> int:
        """Return how many outages there have been, once the broker is up."""
        async with self.lock:
            return self.outages

    async def kill_broker(self, pause_s: float) -> None:
        """SIGKILL the broker and start it again."""
        async with self.lock:
            self.down = True
            self.outages += 1
            self.broker.kill()
            await asyncio.sleep(pause_s)
            await self.broker.start()
            self.down = False

    async def freeze_broker(self, pause_s: float) -> None:
        """Let the broker answer nobody for a while, its connections open."""
        async with self.lock:
            self.down = True
            self.outages += 1
            os.kill(self.broker.pid or 0, signal.SIGSTOP)
            try:
                await asyncio.sleep(pause_s)
            finally:
                os.kill(self.broker.pid or 0, signal.SIGCONT)
            self.down = False


@asynccontextmanager
async def stage(folder: Path, frames: int = FRAMES) -> AsyncIterator[Stage]:
    """Start a broker and write the log to it."""
    records = await asyncio.to_thread(rows, frames=frames)
    expecting = asyncio.to_thread(undisturbed, TOPIC, "silence", processor("silence", TOPIC), records)
    async with EmbeddedKafka(folder / "kafka", cache_dir=CACHE_DIR) as broker, asyncio.TaskGroup() as preparing:
        log = preparing.create_task(expecting)
        await write(KafkaSettings(bootstrap_servers=broker.bootstrap_servers), TOPIC, records)
        yield Stage(broker, folder, records, await log)
