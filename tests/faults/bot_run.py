"""One run: callers speak, workers carry it to a bot that fails now and then, and everything is killed and frozen."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from callstream.embedded_kafka import EmbeddedKafka
from callstream.embedded_process import last_lines
from callstream.topics_command import apply_catalogue
from processors.cognigy.messages import turn_id
from runtime.clock import SystemClock
from runtime.config import KafkaSettings
from runtime.forwarder_writer import Row, Writer
from runtime.kafka import Partitioner, admin_client
from schemas.codec import SchemaStore
from schemas.records import BotTurn, Record, TurnEntry, Utterance
from schemas.symbols import TurnState
from schemas.topics import BOT, UTTERANCES
from tests.faults.bot_ends import BotEnd, BridgeEnd, RestEnd
from tests.faults.bot_history import INPUT, TOPICS, TURNS, History
from tests.faults.bot_verdict import FINAL, Verdict, Wanted, judge
from tests.faults.bot_worker import SESSION_MS, Worker
from tests.faults.tail import Tail
from tests.kafka_fixture import CACHE_DIR
from tests.processors.cognigy.turns import utterance

PARTITIONS = 4
STORE = SchemaStore()
READY_S = 90
END_S = 300
LEAVE_S = 60
_TOLD = 3
"""Of inputs without an end, the histories told when a run fails."""
KINDS = ("kill", "freeze", "leave", "join", "broker", "bot")


@dataclass(frozen=True)
class Plan:
    """How much is said, for how long, and what is done meanwhile."""

    seed: int
    conversations: int
    turns: int
    seconds: float
    workers: int = 2
    resend: bool = False
    """What may have been sent is sent again: then the bot takes some inputs twice, and the verdict must say so."""
    transport: Literal["rest", "bridge"] = "rest"
    actions: tuple[str, ...] = KINDS
    pause_s: tuple[float, float] = (3.0, 8.0)

    @property
    def inputs(self) -> int:
        return self.conversations * self.turns


@dataclass
class BotRun:
    """One plan on a broker of its own."""

    plan: Plan
    folder: Path
    say: Callable[[str], None] = lambda _: None
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.plan.seed)
        self._wanted: list[Wanted] = []
        self._results: dict[str, TurnState] = {}
        self._rows: list[BotTurn] = []
        self._ended: set[str] = set()
        self._workers: list[Worker] = []
        self._started = 0
        self._history = History()

    async def run(self) -> Verdict:
        """Let it all happen; return what became of every input. Raises when the workers get stuck."""
        bot: BotEnd = BridgeEnd(self._dice) if self.plan.transport == "bridge" else RestEnd(self._dice)
        async with EmbeddedKafka(self.folder / "kafka", cache_dir=CACHE_DIR) as broker:
            await bot.start()
            self._broker, self._bot = broker, bot
            self._kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
            await apply_catalogue(self._kafka, PARTITIONS, None, force=False)
            try:
                await self._live()
            finally:
                for worker in self._workers:
                    worker.process.kill()
                await bot.stop()
        return judge(self._wanted, bot.taken(), self._results, self._rows)

    async def _live(self) -> None:
        for _ in range(self.plan.workers):
            self._start()
        # a group that has never begun begins where the log ends: what was said before that is not for it
        await self._until(self._begun, READY_S, "the group has begun in every partition")
        tail = Tail(self._kafka, TOPICS, PARTITIONS, self._take)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(tail.run())
            feeding = group.create_task(self._feed())
            while not feeding.done():
                await asyncio.sleep(self._dice.uniform(*self.plan.pause_s))
                if not feeding.done():
                    await self._act(self._dice.choice(self.plan.actions))
            await self._until(self._finished, END_S, "every input has its result and its end")
            reading.cancel()
        for worker in self._workers:
            await worker.process.stop(LEAVE_S)

    def _begun(self) -> bool:
        up = all(worker.up for worker in self._workers)
        return up and set().union(*(worker.took for worker in self._workers)) == set(range(PARTITIONS))

    def _finished(self) -> bool:
        self._ended = {row.turn_id for row in self._rows}
        return all(self._has_ended(one) for one in self._wanted)

    def _has_ended(self, one: Wanted) -> bool:
        return self._results.get(one.turn_id) in FINAL and one.turn_id in self._ended

    # --- the callers and the bot --------------------------------------------------------------------------------

    async def _feed(self) -> None:
        """Let all callers speak in turn, spread over the time of the plan."""
        writer = Writer(self._kafka, "chaos-callers", lambda _: None)
        partitioner = Partitioner(PARTITIONS)
        clock = SystemClock()
        names = [f"call-{number}" for number in range(self.plan.conversations)]
        pause_s = self.plan.seconds / self.plan.turns / 20
        for number in range(self.plan.turns):
            self._dice.shuffle(names)
            for part in range(20):
                rows = []
                for name in names[part::20]:
                    now_us = round(clock.wall_s() * 1e6)
                    one: Utterance = utterance(
                        f"{name}/{number}", counter=number, conversation=name, occurred_at_us=now_us
                    )
                    self._wanted.append(Wanted(turn_id(one.utterance_id), name, number))
                    key = name.encode()
                    rows.append(Row(UTTERANCES.name, partitioner.partition(key), key, STORE.encode(one)))
                if rows:
                    await writer.write(rows, lambda: None)
                await asyncio.sleep(pause_s)
        await writer.close(5)

    def _take(self, record: Any) -> None:
        self._history.take(record)
        if record.topic == TURNS and (record.key or b"").endswith(b"/result"):
            entry = STORE.decode(record.value, TurnEntry)
            self._results[entry.turn_id] = entry.state
        elif record.topic == BOT.name:
            row: Record = STORE.decode(record.value, BotTurn)
            if isinstance(row, BotTurn) and row.kind == "TURN_END":
                self._rows.append(row)

    # --- what is done to them -----------------------------------------------------------------------------------

    def _start(self) -> None:
        self._workers.append(Worker(self._kafka, self._bot, self.folder, self._started, resend=self.plan.resend))
        self._started += 1

    async def _act(self, kind: str) -> None:
        self.done[kind] += 1
        self.say(f"{kind}: {len(self._wanted)} of {self.plan.inputs} said, {len(self._results)} ended")
        # who still starts dies of any signal, and is no use to kill
        await self._until(lambda: any(worker.up for worker in self._workers), READY_S, "a worker is up")
        up = [worker for worker in self._workers if worker.up]
        victim = self._dice.choice(up)
        if kind == "kill":
            victim.process.kill()
            self._workers.remove(victim)
            self._start()
        elif kind == "freeze":
            victim.freeze()
            await asyncio.sleep(SESSION_MS / 1000 + self._dice.uniform(0.5, 2))
            victim.thaw()
        elif kind == "leave" and len(up) > 1:
            self._workers.remove(victim)
            await victim.process.stop(LEAVE_S)
            if victim.process.exit_code() != 0:
                message = f"a worker ended with {victim.process.exit_code()}: {last_lines(victim.log)}"
                raise AssertionError(message)
        elif kind == "join" and len(self._workers) <= self.plan.workers:
            self._start()
        elif kind == "broker":
            self._broker.kill()
            await asyncio.sleep(self._dice.uniform(0.2, 2))
            await self._broker.start()
        elif kind == "bot":
            await self._bot.stop()
            await asyncio.sleep(self._dice.uniform(0.5, 3))
            await self._bot.start()
        self._check()

    def _check(self) -> None:
        for worker in self._workers:
            if worker.process.exit_code() is not None:
                message = f"a worker ended with {worker.process.exit_code()}: {last_lines(worker.log)}"
                raise AssertionError(message)

    async def _until(self, condition: Callable[[], bool], limit_s: float, what: str) -> None:
        try:
            async with asyncio.timeout(limit_s):
                while not condition():
                    self._check()
                    await asyncio.sleep(0.2)
        except TimeoutError:
            message = f"it never came about that {what}: {len(self._results)} of {len(self._wanted)} results"
            raise AssertionError("\n".join([message, *await self._told()])) from None

    async def _told(self) -> list[str]:
        """Return the histories of inputs without an end, and where the group stands."""
        async with admin_client(self._kafka, "chaos-look") as admin:
            committed = await admin.list_consumer_group_offsets("cognigy")
        stand = [f"group at {tp.partition}: {at.offset}" for tp, at in sorted(committed.items())]
        stand.append(f"done: {dict(self.done)}; {self._history.written(INPUT)} inputs are on their topic")
        logs = [(log.name, log.read_text(errors="replace")) for log in sorted(self.folder.glob("worker-*.log"))]
        taken = Counter(self._bot.taken())
        return [
            self._history.of(one, logs, [f"the bot took it {taken[one.turn_id]} times", *stand])
            for one in self._wanted
            if not self._has_ended(one)
        ][:_TOLD]
