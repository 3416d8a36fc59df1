"""Commits and proofs: one at a time, shared, and only what started after it was asked for proves anything."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from runtime import forwarder_commits
from runtime.clock import ManualClock
from runtime.errors import Fenced, Unavailable
from runtime.forwarder_commits import Committer
from runtime.kafka import CommitFailedError, TopicPartition
from tests.runtime.talking import until

TP = TopicPartition("input", 0)


class Group:
    """The broker's side: `gate` holds a commit in flight, `errors` are its next answers."""

    def __init__(self) -> None:
        self.offset = 1
        self.kept: int | None = None
        self.held = True
        self.started: list[int] = []
        self.errors: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.pass_one = False
        self.lost: list[Fenced] = []
        self.answers: list[Unavailable | None] = []

    async def commit(self, offsets) -> None:
        self.started.append(offsets[TP])
        await self.gate.wait()
        if self.pass_one:
            self.pass_one = False
            self.gate.clear()
        if self.errors:
            raise self.errors.pop(0)

    def offsets(self, everything: bool) -> dict[TopicPartition, int]:
        return {TP: self.offset} if self.held and (everything or self.offset != self.kept) else {}

    def committed(self, offsets) -> None:
        self.kept = offsets[TP]


@contextlib.asynccontextmanager
async def committing(group: Group, interval_s: float = 60) -> AsyncIterator[Committer]:
    committer = Committer(
        commit=group.commit,
        offsets=group.offsets,
        committed=group.committed,
        lost=group.lost.append,
        on_answer=group.answers.append,
        clock=ManualClock(),
        interval_s=interval_s,
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(committer.run())
        yield committer
        running.cancel()


@pytest.mark.parametrize("errors", [[], [OSError("it is lost")]], ids=["stored", "lost"])
async def test_a_commit_that_was_under_way_proves_nothing(
    errors: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarder_commits, "_LONGEST_PAUSE_S", 0.01)
    group = Group()
    async with committing(group) as committer, asyncio.TaskGroup() as tasks:
        group.gate.clear()
        committer.ask()
        await until(lambda: len(group.started) == 1)
        proof = tasks.create_task(committer.prove())
        await asyncio.sleep(0)
        # the gate lets one commit through, and the next one waits at it
        group.errors = list(errors)
        group.pass_one = True
        group.gate.set()
        await until(lambda: len(group.started) == 2)
        assert len(group.answers) == 1
        assert not proof.done()
        group.gate.set()
        await proof
    assert len(group.started) == 2


async def test_all_who_ask_while_a_commit_is_under_way_share_the_next() -> None:
    group = Group()
    async with committing(group) as committer, asyncio.TaskGroup() as tasks:
        group.gate.clear()
        first = tasks.create_task(committer.prove())
        await until(lambda: len(group.started) == 1)
        others = [tasks.create_task(committer.prove()) for _ in range(20)]
        await asyncio.sleep(0)
        group.gate.set()
        await asyncio.wait({first, *others})
    assert group.started == [1, 1]


async def test_a_refusal_is_told_to_all_who_ask_and_to_the_holder() -> None:
    group = Group()
    group.errors = [CommitFailedError()]
    async with committing(group) as committer:
        results = await asyncio.gather(committer.prove(), committer.prove(), return_exceptions=True)
    assert [type(result) for result in results] == [Fenced, Fenced]
    assert len(group.lost) == 1


async def test_who_asks_waits_for_as_long_as_kafka_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_commits, "_LONGEST_PAUSE_S", 0.01)
    group = Group()
    group.errors = [OSError(), OSError(), OSError()]
    async with committing(group) as committer:
        await committer.prove()
    assert len(group.started) == 4
    assert [type(answer) for answer in group.answers] == [Unavailable, Unavailable, Unavailable, type(None)]


async def test_now_and_then_only_what_is_news_is_committed() -> None:
    group = Group()
    async with committing(group, interval_s=0.01):
        await until(lambda: group.kept == 1)
        await asyncio.sleep(0.05)
        assert group.started == [1]
        group.offset = 2
        await until(lambda: group.kept == 2)
    assert group.started == [1, 2]


async def test_nothing_is_proved_when_nothing_is_held() -> None:
    group = Group()
    group.held = False
    async with committing(group) as committer:
        with pytest.raises(Fenced):
            await committer.prove()
    assert group.started == []


async def test_a_commit_under_way_can_be_given_up() -> None:
    group = Group()
    async with committing(group) as committer:
        group.gate.clear()
        committer.ask()
        await until(lambda: len(group.started) == 1)
        committer.give_up()
        await until(lambda: group.answers != [])
    assert isinstance(group.answers[0], Unavailable)
    assert group.kept is None


async def test_between_two_attempts_there_is_nothing_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_commits.random, "uniform", lambda *_: 0.1)
    group = Group()
    group.errors = [OSError()]
    async with committing(group) as committer, asyncio.TaskGroup() as tasks:
        proof = tasks.create_task(committer.prove())
        await until(lambda: group.answers != [])
        committer.give_up()
        await proof
    assert group.kept == 1


async def test_a_commit_asked_for_while_nothing_is_held_is_made_once_something_is() -> None:
    group = Group()
    group.held, group.kept = False, group.offset
    async with committing(group, interval_s=0.01) as committer:
        committer.ask()
        await asyncio.sleep(0.05)
        assert group.started == []
        group.held = True
        await until(lambda: group.answers != [], 10)
        await asyncio.sleep(0.05)
    assert group.started == [1]
