"""The Forwarder's loop over a group, a log and a writer that a test holds in its hands; the real ones are in ring 5."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime import forwarder, forwarder_opening, watchdog
from runtime.clock import SystemClock
from runtime.config import KafkaSettings, RegistrySettings
from runtime.errors import Fenced, InvalidRecord, Unavailable
from runtime.forwarder import Forwarder
from runtime.forwarding import Received
from runtime.kafka import CommitFailedError, TopicPartition
from runtime.log import get_logger
from runtime.membership import GroupLost
from runtime.registry import Registry
from runtime.restart_limit import TooManyRestarts
from runtime.service import Service
from runtime.testing import LogRecord
from runtime.tuning import ForwarderTuning, ForwardingSettings
from schemas.codec import SchemaStore, framing
from schemas.records import BotTurn
from schemas.symbols import TurnState
from schemas.versions import newest
from tests.runtime.talking import Talking, until, utterance

STORE = SchemaStore()
TP = TopicPartition("calls.utterances", 0)


class Record(LogRecord):
    """What a consumer hands out."""

    partition = 0


class Group:
    """A group of one member over one partition; also the reader beside it and the writer."""

    def __init__(self) -> None:
        self.log: list[Record] = []
        self.position = 0
        self.paused = False
        self.pauses = 0
        self.stored: int | None = None
        self.commit_errors: list[Exception] = []
        self.poll_errors: list[Exception] = []
        self.rows: list[bytes] = []
        self.listener: Forwarder | None = None
        self.reading: asyncio.Event = asyncio.Event()
        self.reading.set()
        self.committing: asyncio.Event = asyncio.Event()
        self.committing.set()
        self.generation = 1
        self.commits = 0
        self.throws_out_in_commit = False
        self._coordinator = self

    def append(self, *texts: str, conversation: str = "c") -> None:
        for text in texts:
            self.append_value(STORE.encode(utterance(text, conversation)))

    def append_value(self, value: bytes) -> None:
        self.log.append(Record(len(self.log), 1000 + len(self.log), b"c", value))

    # --- the consumer

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0.001)
        if self.poll_errors:
            raise self.poll_errors.pop(0)
        found = [] if self.paused else self.log[self.position : self.position + max_records]
        self.position += len(found)
        return {TP: found} if found else {}

    def pause(self, *partitions: TopicPartition) -> None:
        self.pauses += bool(partitions)
        self.paused = self.paused or bool(partitions)

    def resume(self, _: TopicPartition) -> None:
        self.paused = False

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.position = offset

    def highwater(self, _: TopicPartition) -> int:
        return len(self.log)

    async def committed(self, _: TopicPartition) -> int | None:
        return self.stored

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.commits += 1
        await self.committing.wait()
        if self.commit_errors:
            raise self.commit_errors.pop(0)
        if self.throws_out_in_commit:
            self.generation = -1
        self.stored = offsets[TP]

    async def stop(self) -> None:
        pass

    # --- the reader

    async def bounds(self, tp: TopicPartition) -> tuple[int, int]:
        return 0, len(self.log) if tp == TP else 0

    async def last_before(self, _tp, first: int, offset: int) -> Record | None:
        return self.log[offset - 1] if offset > first else None

    async def offset_at(self, tp: TopicPartition, at_ms: int) -> int | None:
        return next((record.offset for record in self.log if record.timestamp >= at_ms), None) if tp == TP else None

    async def read(self, tp: TopicPartition, start: int, end: int, handle) -> None:
        await self.reading.wait()
        if tp == TP:
            await handle(self.log[start:end])

    async def close(self, *_: float) -> None:
        pass

    # --- the writer

    async def write(self, rows, check) -> int:
        check()
        if any(len(row.value) > 1_000_000 for row in rows):
            raise InvalidRecord("")
        self.rows += [row.key for row in rows]
        return 0

    # --- the group

    async def rebalance(self) -> None:
        """Take the partition away and give it back."""
        await self.listener.on_partitions_revoked({TP})
        self.listener.on_partitions_assigned({TP})


class Run:
    """A Forwarder at work: the group, the component, the service."""

    def __init__(self, group: Group, talking: Talking, service: Service) -> None:
        self.group = group
        self.talking = talking
        self.service = service

    @property
    def sent(self) -> list[str]:
        file = self.talking.sent
        return file.read_text(encoding="utf-8").split() if file.exists() else []

    async def stored(self, offset: int) -> None:
        await until(lambda: self.group.stored == offset, 10)


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    @contextlib.asynccontextmanager
    async def work(
        group: Group,
        after_send=None,
        registry: Registry | None = None,
        lookback_ms: int = 0,
        companion=None,
        **tuning,
    ) -> AsyncIterator[Run]:
        async def start_consumer(*_, listener, **__) -> Group:
            group.listener = listener
            listener.on_partitions_assigned({TP})
            return group

        async def check_counts(*_) -> bool:
            return True

        monkeypatch.setattr(forwarder, "start_consumer", start_consumer)
        monkeypatch.setattr(forwarder, "check_counts", check_counts)
        monkeypatch.setattr(forwarder, "LogReader", lambda *_: group)
        monkeypatch.setattr(forwarder, "Writer", lambda *_: group)
        values = {"commit_interval_ms": 10, "revoke_grace_s": 0.2, **tuning}
        settings = ForwardingSettings(kafka=KafkaSettings(), forwarder=ForwarderTuning(**values))
        log = get_logger("test")
        service = Service("cognigy", settings, SystemClock(), log, registry or Registry(RegistrySettings()))
        options = {} if after_send is None else {"after_send": after_send}
        talking = Talking(TP.topic, tmp_path / "sent", lookback_ms=lookback_ms, **options)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(forwarder.run_forwarder(service, talking, companion=companion))
            try:
                yield Run(group, talking, service)
            finally:
                service.stopping.set()
                await asyncio.wait([task])

    return work


async def test_a_partition_is_not_read_before_the_turns_of_its_former_owner_are_known(working) -> None:
    group = Group()
    group.reading.clear()
    group.append("one")
    async with working(group) as run:
        await until(lambda: "taken over: [0]" in str(run.service.health.failing()), 10)
        assert run.talking.planned == []
        group.reading.set()
        await run.stored(1)
        assert run.service.health.is_ready()


async def test_commits_that_stand_still_while_kafka_answers_end_the_worker(working, monkeypatch) -> None:
    async def answers(*_args) -> bool:
        return True

    async def soon(_limit_s: float, *rest) -> watchdog.Stuck:
        return await stuck_beside_kafka(0.2, *rest)

    stuck_beside_kafka = watchdog.stuck_beside_kafka
    monkeypatch.setattr(watchdog, "kafka_answers", answers)
    monkeypatch.setattr(forwarder, "stuck_beside_kafka", soon)
    monkeypatch.setattr(forwarder, "_LONGEST_SHARE_S", 0.05)
    group = Group()
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - it ends the worker while it is watched
        async with working(group) as run:
            await until(run.service.health.is_ready, 10)
            group.committing.clear()
            group.append("one")
            await asyncio.wait_for(run.service.stopping.wait(), 30)
    assert caught.group_contains(watchdog.Stuck, match=r"no progress for 0.2 s: commits; Kafka answers")
    assert run.sent == []


async def test_a_worker_that_loses_its_partitions_again_and_again_ends(working) -> None:
    group = Group()
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - it ends the worker while it is watched
        async with working(group, max_restarts=3) as run:
            for count in range(3):
                await until(run.service.health.is_ready, 10)
                group.commit_errors.append(Fenced("given to another"))
                group.append(f"text-{count}")
                await until(lambda: not group.commit_errors, 10)
                group.listener.on_partitions_assigned({TP})
            await asyncio.Event().wait()
    assert caught.group_contains(TooManyRestarts, match=r"restarted 3 times in 300 s, lastly for: given to another")


async def test_a_revoke_lets_a_job_under_way_end_commits_it_and_starts_no_other(working) -> None:
    group, under_way, go_on = Group(), asyncio.Event(), asyncio.Event()

    async def wait(text: str) -> None:
        if text == "one":
            under_way.set()
            await go_on.wait()

    group.append("one", "two")
    async with working(group, wait, revoke_grace_s=10) as run, asyncio.TaskGroup() as tasks:
        await under_way.wait()
        revoking = tasks.create_task(group.listener.on_partitions_revoked({TP}))
        await asyncio.sleep(0.02)
        go_on.set()
        await revoking
        assert (group.stored, run.sent) == (1, ["one"])
        group.listener.on_partitions_assigned({TP})
        await run.stored(2)
        assert run.sent == ["one", "two"]
        assert run.talking.begun == [0, 0]


async def test_a_job_that_does_not_end_in_its_grace_is_ended_and_its_record_is_the_next_owner_s(working) -> None:
    group, ended = Group(), []

    async def hang(text: str) -> None:
        if text == "one" and not ended:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(text)

    group.append("zero", "one", "two")
    async with working(group, hang, revoke_grace_s=0.05) as run:
        await until(lambda: "one" in run.sent, 10)
        await group.listener.on_partitions_revoked({TP})
        assert (group.stored, ended) == (1, ["one"])


async def test_a_refused_commit_drops_the_jobs_and_waits_for_another_assignment(working) -> None:
    group, cut = Group(), []

    async def hang(text: str) -> None:
        if text == "two" and not cut:
            group.commit_errors = [CommitFailedError()]
            group.append("three")
            try:
                await asyncio.Event().wait()
            finally:
                cut.append(text)

    group.append("one", "two")
    async with working(group, hang) as run:
        await until(lambda: "two" in run.sent, 10)
        group.listener._committer.ask()
        await until(lambda: cut == ["two"], 10)
        assert "without a new assignment" in str(run.service.health.failing())
        await group.rebalance()
        await run.stored(3)
        assert run.service.health.is_ready()


@pytest.mark.parametrize("moment", ["before", "meanwhile"])
async def test_a_commit_of_one_the_group_has_thrown_out_proves_nothing(working, moment: str) -> None:
    group = Group()
    group.append("one")
    async with working(group) as run:
        await run.stored(1)
        if moment == "before":
            group.generation = -1
        group.throws_out_in_commit = True
        commits = group.commits
        group.append("two")
        await until(lambda: "without a new assignment" in str(run.service.health.failing()), 10)
        assert run.sent == ["one"]
        assert group.commits - commits == (moment == "meanwhile")
        group.throws_out_in_commit, group.generation = False, 2
        await group.rebalance()
        await run.stored(2)
        assert run.sent == ["one", "two"]


async def test_a_group_begins_where_it_first_found_the_end_though_that_could_not_be_stored(
    working, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Talking, "first_start", "latest")
    monkeypatch.setattr(forwarder_opening.random, "uniform", lambda *_: 0.1)
    group = Group()
    group.append("before")
    group.commit_errors = [OSError("no coordinator")]
    async with working(group) as run:
        await until(lambda: group.commits == 1, 10)
        group.append("after")
        await run.stored(2)
        assert run.sent == ["after"]


async def test_what_was_carried_before_is_only_planned_when_it_is_looked_back_on(working) -> None:
    group = Group()
    group.append("one", "two")
    group.stored = 1
    async with working(group, lookback_ms=1000) as run:
        await run.stored(2)
        assert run.talking.planned == [(0, "one"), (0, "two")]
        assert run.sent == ["two"]


async def test_reading_pauses_at_the_bound_and_goes_on_at_half(working) -> None:
    group, go_on = Group(), asyncio.Event()
    group.append(*(f"t{number}" for number in range(20)))
    async with working(group, lambda _: go_on.wait(), max_waiting_records=4, max_records=1) as run:
        await until(lambda: group.paused and group.position == 4, 10)
        await asyncio.sleep(0.05)
        assert len(run.talking.planned) == 4
        go_on.set()
        await run.stored(20)
    assert run.sent == [f"t{number}" for number in range(20)]


async def test_a_poll_that_fails_is_tried_again(working) -> None:
    group = Group()
    group.poll_errors = [Unavailable("no broker")]
    group.append("one")
    async with working(group) as run:
        await run.stored(1)


async def test_a_partition_taken_away_while_it_is_taken_over_is_not_disturbed_by_that_later(working) -> None:
    group = Group()
    group.append("one", "two")
    group.stored = 1
    group.reading.clear()
    async with working(group, lookback_ms=1000) as run:
        await until(lambda: run.talking.begun == [0], 10)
        group.listener._held.lost(Fenced("a commit was refused"))
        group.listener.on_partitions_assigned({TP})
        await until(lambda: run.talking.begun == [0, 0], 10)
        group.reading.set()
        await run.stored(2)
        assert run.talking.planned == [(0, "one"), (0, "two")]
        await until(run.service.health.is_ready, 10)


async def test_a_consumer_whose_membership_nobody_tends_any_more_ends_the_process(working) -> None:
    group = Group()

    async def until_it_ends() -> None:
        async with working(group) as run:
            await until(run.service.health.is_ready, 10)
            group._coordination_task = asyncio.get_running_loop().create_future()
            group.poll_errors = [Unavailable("asked too early")]
            await until(lambda: group.poll_errors == [], 10)
            await until(run.service.health.is_ready, 10)
            group._coordination_task.set_result(None)
            group.poll_errors = [Unavailable("unexpected")] * 1000
            async with asyncio.timeout(30):
                await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as raised:
        await until_it_ends()
    assert raised.group_contains(GroupLost, match="stopped tending its membership")


async def test_it_is_ready_again_after_a_failed_poll_though_nothing_new_comes(working) -> None:
    group = Group()
    group.append("one")
    async with working(group) as run:
        await run.stored(1)
        await until(run.service.health.is_ready, 10)
        group.poll_errors = [Unavailable("no broker")]
        await until(lambda: group.poll_errors == [], 10)
        await until(run.service.health.is_ready, 10)
        assert group.stored == 1


async def test_an_assignment_of_nothing_says_that_kafka_answers(working) -> None:
    group = Group()
    async with working(group) as run:
        await until(run.service.health.is_ready, 10)
        await group.listener.on_partitions_revoked({TP})
        group.listener._on_answer(Unavailable("the last commit was given up"))
        group.listener.on_partitions_assigned(set())
        await until(run.service.health.is_ready, 10)


class AskedRegistry(Registry):
    """Knows one schema id, once it was asked."""

    def __init__(self) -> None:
        super().__init__(RegistrySettings())
        self.asked: list[int] = []

    @property
    def configured(self) -> bool:
        return True

    async def resolve(self, ids, store: SchemaStore) -> None:
        self.asked += sorted(ids)
        if 7 in ids:
            store.add(7, newest("utterance").text)


async def test_the_registry_is_asked_for_a_schema_before_its_record_is_planned(working) -> None:
    group, registry = Group(), AskedRegistry()
    body = STORE.encode(utterance("two"))[5:]
    group.append("one")
    group.append_value(framing(7) + body)
    group.append_value(framing(8) + body)
    group.append("three")
    async with working(group, registry=registry) as run:
        await run.stored(4)
    assert run.sent == ["one", "two", "three"]
    assert registry.asked == [7, 8]
    assert group.rows.count(b"c") == 4


async def test_a_turn_found_begun_is_not_begun_again(working) -> None:
    group = Group()
    group.append("one")
    async with working(group) as run:
        await run.stored(1)
        held = group.listener._held.get(TP)
        assert held.turns.state("one") is TurnState.ANSWERED
        group.append("one")
        await run.stored(2)
        assert run.sent == ["one"]


@pytest.mark.parametrize("error", [ZeroDivisionError, Fenced])
async def test_an_error_of_the_component_comes_out_after_what_is_finished_was_committed(working, error) -> None:
    group = Group()

    async def fail(text: str) -> None:
        if text == "two":
            raise error

    group.append("one", "two", "three")
    with pytest.raises(ExceptionGroup) as raised:
        async with working(group, fail, commit_interval_ms=60_000) as run:
            await run.stored(1)
    assert raised.group_contains(error)


class Beside:
    """A companion that holds back while it is told to, and knows its partitions."""

    topic = None

    def __init__(self) -> None:
        self.holds_back = False
        self.seen: list[str] = []
        self.hands = None

    def took(self, partition: int, hands) -> None:
        self.seen.append(f"took {partition}")
        self.hands = hands

    def gone(self, partition: int) -> None:
        self.seen.append(f"gone {partition}")


async def test_inputs_wait_while_the_companion_holds_back_and_pauses_do_not_flutter(working) -> None:
    group, beside = Group(), Beside()
    async with working(group, companion=beside) as run:
        await until(run.service.health.is_ready, 10)
        before = group.pauses
        beside.holds_back = True
        await until(lambda: group.paused, 10)
        group.append("one")
        await asyncio.sleep(0.05)
        assert (run.talking.planned, group.pauses) == ([], before + 1)
        beside.holds_back = False
        await run.stored(1)
        assert run.sent == ["one"]


async def test_the_companion_hears_what_is_taken_over_and_given_away_and_may_write_without_a_job(working) -> None:
    group, beside = Group(), Beside()
    async with working(group, companion=beside) as run:
        await until(lambda: beside.seen == ["took 0"], 10)
        record = Received("calls.utterances", 0, 7, 1000, b"c", utterance("said"))
        hands = beside.hands(record, b"c")
        rows = len(group.rows)
        await hands.write([BotTurn(conversation_id="c", session_id="s", origin=record.origin(0))])
        assert len(group.rows) == rows + 1
        await group.rebalance()
        await until(lambda: beside.seen == ["took 0", "gone 0", "took 0"], 10)
        with pytest.raises(Fenced):
            await hands.write([BotTurn(conversation_id="c", session_id="s", origin=record.origin(0))])
    assert beside.seen[-1] == "gone 0"
    assert run.sent == []
