"""What counts as standing still: time without progress, while all that is needed answers."""

import asyncio

import pytest

from runtime.config import KafkaSettings
from runtime.watchdog import Stuck, Watchdog, kafka_answers

LIMIT_S = 0.2


class Work:
    """Things that move on or not, and a Kafka that answers or not."""

    def __init__(self, **tokens: int) -> None:
        self.tokens = tokens
        self.answering = True
        self.asked = 0
        self.looked = 0
        self.moving: set[str] = set()

    def pending(self) -> dict[str, int]:
        self.looked += 1
        for name in self.moving:
            self.tokens[name] += 1
        return dict(self.tokens)

    async def answers(self) -> bool:
        self.asked += 1
        return self.answering

    def watchdog(self) -> Watchdog:
        return Watchdog(LIMIT_S, self.pending, self.answers)

    async def verdict(self, turns: int) -> Stuck | None:
        """What is said within so many looks; None when nothing is."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self.watchdog().stuck())
            while self.looked < turns and not watching.done():
                await asyncio.sleep(0.001)
            watching.cancel()
            await asyncio.wait([watching])
        return None if watching.cancelled() else watching.result()


async def test_what_stands_for_the_limit_is_stuck_and_named() -> None:
    work = Work(polls=0, commits=0)
    work.moving = {"polls"}
    assert "no progress for 0.2 s: commits" in str(await work.verdict(100))


async def test_what_moves_or_is_not_pending_is_not_stuck() -> None:
    work = Work(polls=0)
    work.moving = {"polls"}
    assert await work.verdict(60) is None
    assert work.asked == 0
    assert await Work().verdict(60) is None


async def test_while_kafka_does_not_answer_nothing_is_stuck_and_afterwards_the_limit_counts_anew() -> None:
    work = Work(polls=0)
    work.answering = False
    assert await work.verdict(60) is None
    assert work.asked > 2
    work.answering, work.looked = True, 0
    assert await work.verdict(100) is not None
    assert work.looked >= 20


async def test_a_broker_that_is_not_there_does_not_answer() -> None:
    assert not await kafka_answers(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "calls.audio", "test")


@pytest.mark.parametrize("limit_s", [0.1, 120, 3600])
def test_a_frozen_process_wakes_with_one_turn_more_not_with_a_verdict(limit_s: float) -> None:
    watchdog = Watchdog(limit_s, lambda: {"polls": 0}, lambda: None)
    assert watchdog._turn_s * 2 < limit_s
    assert [watchdog._count(), watchdog._count()] == [0, 1]
