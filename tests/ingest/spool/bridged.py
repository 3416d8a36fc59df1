"""An outlet whose records go over a spool in a folder of the test, and the files it leaves."""

import asyncio
import threading
from contextlib import asynccontextmanager
from pathlib import Path

from ingest.outlet import Outlet, OutletLimits
from ingest.spool.bridge import Bridge, Pace
from ingest.spool.folder import Folder
from ingest.spool.sealing import AesGcm
from ingest.spool.segments import Whole, scan
from ingest.spool.spool import Spool
from runtime.clock import ManualClock
from runtime.log import get_logger
from tests.ingest.test_outlet import AUDIO, COUNTS, EVENTS, Broker, Reports

SEAL = AesGcm(bytes(32))


class FaultyFolder(Folder):
    """A folder whose disk can be made to fail, and to take its time: a write goes on when `gate` is open."""

    failing = False

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.gate = threading.Event()
        self.gate.set()
        self.begun = 0

    def append(self, drafts):
        self.begun += 1
        self.gate.wait(10)
        if self.failing:
            raise OSError(28, "No space left on device")
        return super().append(drafts)


class Bridged:
    """An outlet on a fake broker with a manual clock. `age` makes what waits old enough for the disk."""

    def __init__(self, path: Path, broker: Broker | None = None, *, max_bytes: int = 2**26, segment_bytes: int = 2**14):
        self.broker = broker or Broker()
        self.clock = ManualClock()
        self.folder = FaultyFolder(path, SEAL, max_bytes=max_bytes, segment_bytes=segment_bytes)
        self.spool = Spool(self.folder, max_bytes, get_logger("ingest"))
        self.bridge = Bridge(self.spool, self.clock, Pace(1, 0.02, 4096), list(COUNTS))
        self.outlet = Outlet(
            self.broker.connect, Reports(), self.clock, limits=OutletLimits(linger_ms=1, max_buffer_bytes=2**20)
        )
        self.outlet.use(self.bridge)

    @asynccontextmanager
    async def running(self, budget_s: float = 10):
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.outlet.run())
            try:
                yield self
            finally:
                self.outlet.close(budget_s)
                await asyncio.wait({running})
                await self.spool.close()

    def age(self) -> None:
        self.clock.advance(2)

    @property
    def spooling(self) -> int:
        return sum(lane.spooling for lane in self.outlet._all_lanes())


def left(path: Path) -> list[tuple[int, int, bytes]]:
    """What stands in a folder's segments: topic, partition, value of each record, in order."""
    found = []
    for segment in sorted(path.glob("segment-*.spool")):
        for part in scan(segment.read_bytes(), SEAL):
            assert isinstance(part, Whole), part
            found += [(part.header.topic, part.header.partition, record.value) for record in part.records]
    return found


__all__ = ["AUDIO", "EVENTS", "SEAL", "Bridged", "Broker", "left"]
