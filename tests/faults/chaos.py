"""Disturbs the task host as a schedule says and compares what it committed with the undisturbed run.

`python -m tests.faults.chaos --minutes 60 --seed N` runs one schedule after the other, seeds from N on. The last line
is `RESULT chaos runs=… lost=… repeated=… orphaned_s_max=…`; exit code 1 when anything was lost, repeated or wrong.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from callstream.embedded_kafka import EmbeddedKafka
from runtime.config import KafkaSettings
from runtime.kafka import start_admin
from schemas.topics import changelog, dead_letters
from tests.faults import orders
from tests.faults.call_log import FRAMES, InputLog, create_outputs, rows, undisturbed, write
from tests.faults.call_log import Row as Record
from tests.faults.fleet import Fleet, Member
from tests.faults.processors_under_test import OUTPUTS, processor
from tests.faults.progress import Progress
from tests.faults.schedule import Action, Schedule, draw
from tests.faults.verdict import Verdict, compare
from tests.faults.veteran import veteran
from tests.kafka_fixture import CACHE_DIR

TOPIC = "calls.audio"
SETTLE_S = 90
"""Whoever has not recovered by then never will."""
END_S = 180
OBEY_S = 20
ACTION_S = 6
"""For how long a worker with one partition finds input while one thing is done to it."""
LOOK_S = 0.02
CROWD = 6
FEW = 4
GROWTH_MB = 50
"""In half an hour."""
GRACE_S = 5.0
"""How much longer than the session timeout a partition may be without a task."""
START_S = 1.5
"""How long a process takes to start where the machine has nothing else to do."""


@dataclass
class Stage:
    """A broker of our own and the log on it; `down` while the broker is."""

    broker: EmbeddedKafka
    folder: Path
    records: list[list[Record]]
    log: InputLog
    down: bool = False
    outages: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

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


@dataclass(frozen=True)
class Row:
    """What came of one schedule."""

    schedule: Schedule
    verdict: Verdict
    kills: Counter[str]
    outages: int
    rebalances: int
    orphaned_s: float
    start_s: float
    growth_mb: float
    duration_s: float

    @property
    def bound_s(self) -> float:
        """How long a partition may be without a task; longer where the machine is slowed down by others."""
        return self.schedule.timing.session_ms / 1000 + GRACE_S * max(1.0, self.start_s / START_S)

    @property
    def good(self) -> bool:
        return self.verdict.exact and self.orphaned_s <= self.bound_s

    def line(self) -> str:
        kills = " ".join(
            f"{step}:{self.kills[step]}" for step in (*orders.OPENING, *orders.STEPS, "any") if self.kills[step]
        )
        verdict = self.verdict
        return (
            f"{self.schedule.name:<13}{self.schedule.seed:>6}  {kills:<62}{self.outages:>7}{self.rebalances:>7}"
            f"{self.orphaned_s:>11.1f}{self.start_s:>8.1f}{self.growth_mb:>6.0f}{verdict.lost:>6}{verdict.repeated:>9}"
            f"{verdict.disordered + verdict.wrong_states:>7}{self.duration_s:>6.0f}"
        )


HEADER = (
    f"{'schedule':<13}{'seed':>6}  {'kills by step':<62}{'broker':>7}{'moves':>7}"
    f"{'orphaned_s':>11}{'start_s':>8}{'MB+':>6}{'lost':>6}{'repeated':>9}{'wrong':>7}{'s':>6}"
)


class Run:
    """One schedule on one stage, under a prefix of its own."""

    def __init__(self, on: Stage, schedule: Schedule, *, module: str = "tests.faults.chaos_worker") -> None:
        self._stage = on
        self._schedule = schedule
        self._chance = random.Random(schedule.seed)
        name = f"chaos-{schedule.name}-{schedule.seed}-{random.SystemRandom().randrange(10**6)}"
        folder = on.folder / name
        folder.mkdir()
        servers = on.broker.bootstrap_servers
        self.kafka = KafkaSettings(bootstrap_servers=servers, topic_prefix=f"replay.{name}.")
        self.fleet = Fleet(self.kafka, on.log.topic, on.log.kind, schedule.timing, schedule.static, folder, module)
        self.progress = Progress(self.kafka, on.log.ends, lambda: on.down or not self.fleet.up())
        self.kills: Counter[str] = Counter()
        self._outages = 0

    async def run(self) -> Row:
        """Start the workers, disturb them, let them finish, compare. Raises when one gets stuck or ends by itself."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        await self._create_topics()
        try:
            async with asyncio.TaskGroup() as watching:
                watchers = [
                    watching.create_task(self.progress.read()),
                    watching.create_task(self.progress.watch()),
                    watching.create_task(self._measure()),
                ]
                try:
                    await self._disturb()
                    await self._finish()
                finally:
                    for watcher in watchers:
                        watcher.cancel()
            await self.fleet.leave_all()
        finally:
            self.fleet.end()
        notes = self.fleet.folder / "surplus.txt"
        verdict = await compare(self.kafka, self._stage.log, notes=notes)
        if verdict.exact:
            await self._delete_topics()
        else:
            # read once more, so that a reader's own trouble can be told from the log's
            await compare(self.kafka, self._stage.log, notes=notes)
        return Row(
            self._schedule,
            verdict,
            self.kills,
            self._outages,
            self.fleet.count("partitions assigned"),
            self.progress.orphaned_s,
            self.fleet.start_s,
            max(member.last_rss_mb - member.first_rss_mb for member in self.fleet.ended),
            loop.time() - start_s,
        )

    async def _create_topics(self) -> None:
        async with self._stage.lock:
            await create_outputs(self.kafka, OUTPUTS[self._stage.log.kind])

    async def _delete_topics(self) -> None:
        names = [*OUTPUTS[self._stage.log.kind], changelog("silence").name, dead_letters("silence").name]
        with suppress(Exception):
            admin = await start_admin(self.kafka, client_id="faults")
            await admin.delete_topics([self.kafka.topic_prefix + name for name in names])
            await admin.close()

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(5)
            for member in self.fleet.up():
                member.measure()

    async def _disturb(self) -> None:
        for _ in range(self._schedule.members):
            self.fleet.start()
        await self._settle()
        actions = {
            "kill": self._kill,
            "zombie": self._zombie,
            "zombie-in-commit": self._zombie,
            "zombie-while-opening": self._zombie,
            "kill-while-opening": self._kill_while_opening,
            "stall": self._stall,
            "join": self._join,
            "leave": self._leave,
            "rolling": self._rolling,
            "two-in-a-row": self._two_in_a_row,
            "crowd": self._crowd,
            "broker-in-commit": self._kill_broker_in_commit,
            "outage": self._outage,
            "broker-hangs": self._freeze_broker,
            "twin": self._twin,
            "kill-in-commit": self._kill_in_commit,
        }
        for number, action in enumerate(self._schedule.actions):
            self._pace(len(self._schedule.actions) - number)
            try:
                await actions[action.kind](action)
                await self._settle()
            except Exception as error:
                error.add_note(f"while {action} of {self._schedule} in {self.fleet.folder}")
                raise

    def _pace(self, actions_left: int) -> None:
        """Slow the workers down so that the input lasts: nobody dies in a commit without any."""
        self.fleet.set_pace(1e6 * ACTION_S * actions_left / max(1, self.progress.least_left))

    async def _finish(self) -> None:
        self.fleet.set_pace(0)
        async with asyncio.timeout(END_S):
            while not self.progress.finished:
                self._check_deserters()
                await asyncio.sleep(LOOK_S)

    async def _settle(self) -> None:
        """Wait until every partition has gone on."""
        try:
            await self.progress.all_move(SETTLE_S)
        finally:
            self._check_deserters()

    def _check_deserters(self) -> None:
        if deserters := self.fleet.deserters():
            raise AssertionError("\n".join(deserters))

    async def _some_up(self, more_than: int = 0) -> list[Member]:
        """Workers that are up, once there are more than so many."""
        async with asyncio.timeout(SETTLE_S):
            while len(up := self.fleet.up()) <= more_than:
                self._check_deserters()
                await asyncio.sleep(LOOK_S)
        return up

    async def _moment(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, 0.5))

    # --- what is done to the workers ----------------------------------------------------------------------------

    async def _obeyed(self, action: str, step: str) -> Member:
        """Have some worker stop at a step; one that does not get there is relieved of the order.

        Partitions are opened when somebody joins.
        """
        async with asyncio.timeout(SETTLE_S):
            while True:
                member = self._chance.choice(await self._some_up())
                if step in orders.OPENING:
                    self.fleet.start()
                if await self._obeys(member, action, step):
                    return member

    async def _obeys(self, member: Member, action: str, step: str) -> bool:
        done = orders.carried_out(member.orders)
        done.unlink(missing_ok=True)
        orders.give(member.orders, action, step)
        with suppress(TimeoutError):
            async with asyncio.timeout(OBEY_S if len(self.fleet.members) <= FEW else 3):
                while not done.exists():
                    await asyncio.sleep(LOOK_S)
        if not done.exists() and orders.withdraw(member.orders):
            return False
        while member.running and not member.stopped:
            await asyncio.sleep(LOOK_S)
        return True

    async def _kill_in_commit(self, action: Action) -> None:
        await self._moment()
        self._replace(await self._obeyed("kill", action.step))
        self.kills[action.step] += 1

    async def _kill_while_opening(self, action: Action) -> None:
        self._replace(await self._obeyed("kill", action.step))
        self.kills[action.step] += 1

    async def _kill(self, _: Action) -> None:
        await self._moment()
        self._replace(self._chance.choice(await self._some_up()))
        self.kills["any"] += 1

    def _replace(self, member: Member) -> None:
        self.fleet.kill(member)
        self.progress.fault()
        self.fleet.start(member.instance)

    async def _zombie(self, action: Action) -> None:
        """Freeze a worker until the others have its partitions, then let it go on."""
        await self._some_up(more_than=1)
        if action.step:
            zombie = await self._obeyed("freeze", action.step)
            zombie.frozen = True
        else:
            await self._moment()
            zombie = self._chance.choice(self.fleet.up())
            self.fleet.freeze(zombie)
        self.progress.fault()
        await self._settle()
        await self._moment()
        self.fleet.thaw(zombie)

    async def _stall(self, action: Action) -> None:
        """Freeze a worker with an open transaction until the broker has ended that, but not the membership."""
        timing = self._schedule.timing
        stalled = await self._obeyed("freeze", action.step)
        stalled.frozen = True
        self.progress.fault()
        await asyncio.sleep(self._chance.uniform(timing.transaction_ms / 1000 + 1.5, timing.session_ms / 1000 - 3))
        self.fleet.thaw(stalled)

    async def _join(self, _: Action) -> None:
        self.fleet.start()
        await self._some_up(more_than=len(self.fleet.members) - 1)

    async def _leave(self, _: Action) -> None:
        up = await self._some_up(more_than=1)
        await self.fleet.leave(self._chance.choice(up))

    async def _rolling(self, _: Action) -> None:
        for member in list(self.fleet.members):
            await self.fleet.leave(member)
            self.fleet.start(member.instance)
            await self._settle()

    async def _twin(self, _: Action) -> None:
        """A static member is taken for dead and replaced under its name, comes back, and is ended at last.

        Two of one name take turns until the group's coordinator refuses one, which ends it: its supervisor's turn.
        """
        twin = self._chance.choice(await self._some_up(more_than=1))
        self.fleet.freeze(twin)
        self.progress.fault()
        other = self.fleet.start(twin.instance)
        await self._settle()
        twin.may_end = other.may_end = True
        self.fleet.thaw(twin)
        await asyncio.sleep(self._chance.uniform(1, 4))
        self.kills["any"] += 1
        self.progress.fault()
        self.fleet.kill(twin)
        await asyncio.sleep(1)
        if other.running:
            other.may_end = False
        else:
            self.fleet.kill(other)
            self.fleet.start(other.instance)

    async def _two_in_a_row(self, _: Action) -> None:
        up = await self._some_up(more_than=1)
        self.fleet.start()
        self.fleet.start()
        await self._some_up(more_than=len(up))
        await self.fleet.leave(self._chance.choice(up))

    async def _crowd(self, _: Action) -> None:
        """More workers than partitions, then few again."""
        while len(self.fleet.members) < CROWD:
            self.fleet.start()
        up = await self._some_up(more_than=CROWD - 1)
        await self._settle()
        async with asyncio.TaskGroup() as leaving:
            for member in self._chance.sample(up, 3):
                leaving.create_task(self.fleet.leave(member))

    async def _kill_broker_in_commit(self, action: Action) -> None:
        """The broker dies while a commit is under way, so that its outcome is open."""
        member = await self._obeyed("freeze", action.step)
        member.frozen = True
        pause_s = self._chance.uniform(0, 2)
        async with asyncio.TaskGroup() as together:
            together.create_task(self._stage.kill_broker(pause_s))
            await asyncio.sleep(self._chance.uniform(0.1, pause_s + 2))
            self.fleet.thaw(member)
        self._outages += 1

    async def _outage(self, _: Action) -> None:
        """The broker is gone for longer than memberships last, and a worker dies and is replaced meanwhile."""
        pause_s = self._schedule.timing.session_ms / 1000 + self._chance.uniform(0, 2)
        async with asyncio.TaskGroup() as together:
            together.create_task(self._stage.kill_broker(pause_s))
            await asyncio.sleep(pause_s / 2)
            self._replace(self._chance.choice(await self._some_up()))
            self.kills["any"] += 1
        self._outages += 1

    async def _freeze_broker(self, _: Action) -> None:
        await self._stage.freeze_broker(self._schedule.timing.session_ms / 1000 + self._chance.uniform(0, 2))
        self._outages += 1


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def run_all(
    on: Stage, schedules: Sequence[Schedule], at_once: int = 1, report: Callable[[str], None] = say
) -> tuple[list[Row], list[Exception]]:
    """Run schedules, `at_once` side by side, and report a line for each; one that fails does not end the others."""
    limit = asyncio.Semaphore(at_once)
    failures: list[Exception] = []
    found: list[Row] = []

    async def one(schedule: Schedule) -> None:
        async with limit:
            try:
                row = await Run(on, schedule).run()
            except Exception as error:  # noqa: BLE001 - whatever it is, the table shows it
                report(f"{schedule.name:<13}{schedule.seed:>6}  FAILED: {' '.join(map(str, leaves(error)))}")
                failures.append(error)
            else:
                report(row.line())
                found.append(row)

    async with asyncio.TaskGroup() as running:
        for schedule in schedules:
            running.create_task(one(schedule))
    return found, failures


def leaves(error: BaseException) -> list[str]:
    """What went wrong, with the notes on where."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]


def result(found: Sequence[Row], failed: int = 0) -> str:
    """The last line of a run by hand."""
    return (
        f"RESULT chaos runs={len(found) + failed} failed={failed} lost={sum(row.verdict.lost for row in found)} "
        f"repeated={sum(row.verdict.repeated for row in found)} "
        f"wrong={sum(row.verdict.disordered + row.verdict.wrong_states for row in found)} "
        f"kills={sum(row.kills.total() for row in found)} outages={sum(row.outages for row in found)} "
        f"orphaned_s_max={max((row.orphaned_s for row in found), default=-1):.1f}"
    )


async def _by_hand(minutes: float, seed: int, runs: int, folder: Path) -> bool:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + minutes * 60
    found: list[Row] = []
    failed = 0
    async with stage(folder) as on:
        say(HEADER)
        async with veteran(on.broker.bootstrap_servers, on.records, folder) as old:
            while loop.time() < end_s and (not runs or len(found) + failed < runs):
                good, bad = await run_all(on, [draw(seed + len(found) + failed)])
                found += good
                failed += len(bad)
    say(
        f"the worker nobody touched: {old.member.first_rss_mb:.0f} MB when warm, {old.member.last_rss_mb:.0f} MB after "
        f"{old.seconds / 60:.0f} more minutes and {old.fed} records"
    )
    say(f"{result(found, failed)} grown_mb={old.growth_mb:.1f}")
    return not failed and all(row.good for row in found) and old.growth_mb <= GROWTH_MB * max(1.0, minutes / 30)


def main() -> None:
    parser = argparse.ArgumentParser(prog="chaos", description="Disturb the task host and compare what it committed.")
    parser.add_argument("--minutes", type=float, default=60, help="start no new schedule after this time")
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule; the others follow")
    parser.add_argument("--runs", type=int, default=0, help="end after so many schedules")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    say(f"logs in {folder}")
    good = asyncio.run(_by_hand(arguments.minutes, arguments.seed, arguments.runs, folder))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
