"""The worker processes of one run: started, told to die, frozen, thawed, asked to leave. None outlives the driver."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from callstream.embedded_process import GuardedProcess, last_lines
from runtime.config import KafkaSettings, child_environment
from tests.faults import orders
from tests.faults.schedule import Timing

ROOT = Path(__file__).parents[2]
LEAVE_S = 60
"""Longer than the drain budget: a worker that needs it ends by itself, with 1."""
PACE_US = 1_500
POLL_RECORDS = 5
SLOWEST_US = 20_000
"""Longer, and a worker would be silent for too much of its session timeout: it waits for a poll of them at once."""
_MEGABYTE = 1024


@dataclass
class Member:
    """One worker process; `instance` is its static name, if it has one."""

    name: str
    instance: str
    orders: Path
    log: Path
    process: GuardedProcess
    started_s: float
    took_s: float = 0.0
    """From its start until it was seen to be up."""
    frozen: bool = False
    may_end: bool = False
    """It shares its static name with another one: the group makes one of them end with a fault."""
    first_rss_mb: float = 0.0
    last_rss_mb: float = 0.0

    @property
    def running(self) -> bool:
        return self.process.exit_code() is None

    @property
    def up(self) -> bool:
        """It runs, is not frozen, and has got through its imports."""
        if not self.took_s and "the service starts" in self.log.read_text(errors="replace"):
            self.took_s = asyncio.get_running_loop().time() - self.started_s
        return self.running and not self.frozen and self.took_s > 0

    @property
    def stopped(self) -> bool:
        """The kernel says that it stands still."""
        try:
            return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    def measure(self) -> None:
        """Note the resident memory."""
        try:
            text = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return
        if found := re.search(r"VmRSS:\s+(\d+) kB", text):
            self.last_rss_mb = int(found[1]) / _MEGABYTE
            self.first_rss_mb = self.first_rss_mb or self.last_rss_mb


@dataclass
class Fleet:
    """All workers of one application. They work at one pace, which can be changed."""

    kafka: KafkaSettings
    topic: str
    kind: str
    timing: Timing
    static: bool
    folder: Path
    module: str = "tests.faults.chaos_worker"
    members: list[Member] = field(default_factory=list)
    ended: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.set_pace(PACE_US)

    def set_pace(self, pace_us: float) -> None:
        """Say how long each record takes at least; 0: as fast as they can."""
        draft = self.folder / "pace.draft"
        draft.write_text(str(round(min(pace_us, SLOWEST_US))))
        draft.rename(self.folder / "pace")

    def start(self, instance: str = "") -> Member:
        """Start a worker; a static one under the name of the one it replaces."""
        number = len(self.members) + len(self.ended)
        name = f"worker-{number}"
        instance = instance or (f"static-{number}" if self.static else "")
        order, log = self.folder / f"{name}.order", self.folder / f"{name}.log"
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "TOPIC_PREFIX": self.kafka.topic_prefix,
            "PYTHONPATH": str(ROOT),
            "SILENCE_ADMIN_PORT": "0",
            "SILENCE_TASK_HOST_MAX_RECORDS": str(POLL_RECORDS),
            "SILENCE_TASK_HOST_COMMIT_INTERVAL_MS": "150",
            "SILENCE_TASK_HOST_HEARTBEAT_INTERVAL_MS": "300",
            "SILENCE_TASK_HOST_SESSION_TIMEOUT_MS": str(self.timing.session_ms),
            "SILENCE_TASK_HOST_TRANSACTION_TIMEOUT_MS": str(self.timing.transaction_ms),
            **({"SILENCE_TASK_HOST_GROUP_INSTANCE_ID": instance} if instance else {}),
        }
        command = [sys.executable, "-m", self.module, self.topic, self.kind, str(order), str(self.folder / "pace")]
        process = GuardedProcess(command, self.folder, log, environment=child_environment(variables))
        member = Member(name, instance, order, log, process, asyncio.get_running_loop().time())
        self.members.append(member)
        return member

    def up(self) -> list[Member]:
        return [member for member in self.members if member.up]

    def deserters(self) -> list[str]:
        """Workers that ended although nobody told them to, with the end of their logs."""
        return [
            f"{member.name} ended with {member.process.exit_code()}: {last_lines(member.log, 5)}"
            for member in self.members
            if not member.running and not member.may_end and not orders.carried_out(member.orders).exists()
        ]

    def kill(self, member: Member) -> None:
        """SIGKILL, or take note that it obeyed an order to die."""
        member.process.kill()
        self.members.remove(member)
        self.ended.append(member)

    @staticmethod
    def freeze(member: Member) -> None:
        os.kill(member.process.pid, signal.SIGSTOP)
        member.frozen = True

    @staticmethod
    def thaw(member: Member) -> None:
        member.frozen = False
        os.kill(member.process.pid, signal.SIGCONT)

    async def leave(self, member: Member) -> None:
        """SIGTERM; whoever does not drain in time or ends with an error fails the run."""
        self.members.remove(member)
        self.ended.append(member)
        await member.process.stop(LEAVE_S)
        if (code := member.process.exit_code()) != 0:
            message = f"{member.name} ended with {code} after SIGTERM:\n{last_lines(member.log)}"
            raise AssertionError(message)

    async def leave_all(self) -> None:
        async with asyncio.TaskGroup() as leaving:
            for member in list(self.members):
                leaving.create_task(self.leave(member))

    def end(self) -> None:
        """Kill what is left."""
        for member in self.members:
            member.process.kill()

    @property
    def start_s(self) -> float:
        """How long the slowest process took to start: what else the machine had to do at its busiest."""
        return max(member.took_s for member in (*self.members, *self.ended))

    def logs(self) -> Iterator[str]:
        for member in (*self.members, *self.ended):
            yield member.log.read_text(errors="replace")

    def count(self, event: str) -> int:
        """How often the workers logged an event."""
        return sum(text.count(f'"{event}"') for text in self.logs())
