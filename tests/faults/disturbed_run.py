"""One schedule: its workers are started, disturbed in the order drawn, and left to finish; then it is judged."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

from runtime.config import KafkaSettings
from runtime.errors import CallstreamError
from runtime.kafka import KafkaError, start_admin
from schemas.topics import changelog, dead_letters
from tests.faults import orders
from tests.faults.call_log import create_outputs
from tests.faults.fleet import Fleet, Member
from tests.faults.outcome import Outcome
from tests.faults.processors_under_test import OUTPUTS
from tests.faults.progress import Progress
from tests.faults.schedule import Action, Schedule
from tests.faults.stage import Stage
from tests.faults.verdict import Verdict, compare

SETTLE_S = 90
"""Whoever has not recovered by then never will."""
OBEY_S = 8
"""Whoever works has come through a commit by then; another one is asked."""
OPEN_S = 20
"""Whoever is to open a partition waits for a process to start and a group to move."""
ACTION_S = 12
"""For how long a worker with one partition finds input while one thing is done to it,
unless that is beyond SLOWEST_US."""
LOOK_S = 0.02
CROWD = 6
FEW = 4


class DisturbedRun:
    """One schedule on one stage, under a prefix of its own."""

    def __init__(self, on: Stage, schedule: Schedule) -> None:
        self._stage = on
        self._schedule = schedule
        self._chance = random.Random(schedule.seed)
        name = f"chaos-{schedule.name}-{schedule.seed}-{random.SystemRandom().randrange(10**6)}"
        folder = on.folder / name
        folder.mkdir()
        servers = on.broker.bootstrap_servers
        self.kafka = KafkaSettings(bootstrap_servers=servers, topic_prefix=f"replay.{name}.")
        self.fleet = Fleet(self.kafka, on.log.topic, on.log.kind, schedule.timing, schedule.static, folder)
        self.progress = Progress(self.kafka, on.log.ends, lambda: on.down or not self.fleet.up())
        self.kills: Counter[str] = Counter()
        self._outages = 0

    async def run(self) -> Outcome:
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
        verdict = await self._compare(notes)
        if verdict.exact:
            await self._delete_topics()
        else:
            # read once more, so that a reader's own trouble can be told from the log's
            await self._compare(notes)
        return Outcome(
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

    async def _compare(self, notes: Path) -> Verdict:
        """Read what was committed; anew where another schedule took the broker away meanwhile."""
        while True:
            outages = await self._stage.up()
            try:
                return await compare(self.kafka, self._stage.log, notes=notes)
            except (CallstreamError, KafkaError, TimeoutError):
                if self._stage.outages == outages:
                    raise

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
        """Let the workers go on to the end, however long that takes as long as every partition gets on."""
        self.fleet.set_pace(0)
        while not self.progress.finished:
            await self._settle()

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
        limit_s = OPEN_S if step in orders.OPENING else OBEY_S
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s if len(self.fleet.members) <= FEW else 3):
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
