"""Polls of a consumer that lives, that waits for a broker, and whose background work has died."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import (  # noqa: TID251 - what a poll raises
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    NoOffsetForPartitionError,
    UnknownError,
)

from runtime.errors import ConfigError, Unavailable
from runtime.kafka import KafkaError, TopicPartition
from runtime.membership import GroupLost, poll

TP = TopicPartition("calls.audio", 0)


class Consumer:
    """Answers polls as told; its background tasks are futures."""

    def __init__(self, answer) -> None:
        loop = asyncio.get_running_loop()
        self.answer = answer
        self._coordinator = SimpleNamespace(_coordination_task=loop.create_future(), generation=1)
        self._fetcher = SimpleNamespace(_fetch_task=loop.create_future())

    async def getmany(self, *, timeout_ms: int, max_records: int):
        await asyncio.sleep(0)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


async def polled(consumer: Consumer):
    return await poll(consumer, 1, 10)


async def test_a_living_consumer_returns_its_records() -> None:
    assert await polled(Consumer({TP: [1]})) == {TP: [1]}


async def test_a_group_that_never_committed_returns_nothing() -> None:
    assert await polled(Consumer(NoOffsetForPartitionError())) == {}


async def test_a_broker_that_does_not_answer_is_waited_for() -> None:
    with pytest.raises(Unavailable):
        await polled(Consumer(KafkaConnectionError()))


async def test_what_an_operator_must_do_stays_that() -> None:
    with pytest.raises(ConfigError, match="refused"):
        await polled(Consumer(GroupAuthorizationFailedError("silence")))


async def test_an_error_the_coordination_did_not_expect_is_no_outage() -> None:
    with pytest.raises(GroupLost, match="did not expect"):
        await polled(Consumer(KafkaError("UnknownError: FENCED_INSTANCE_ID")))


@pytest.mark.parametrize("part", ["coordination", "fetching"])
async def test_a_dead_background_task_is_noticed_at_the_next_poll(part: str) -> None:
    consumer = Consumer({})
    dead = consumer._coordinator._coordination_task if part == "coordination" else consumer._fetcher._fetch_task
    dead.set_result(None)
    with pytest.raises(GroupLost, match="has stopped"):
        await polled(consumer)


async def test_the_result_of_a_cancelled_coordination_is_not_our_own_cancellation() -> None:
    consumer = Consumer(asyncio.CancelledError())

    async def die() -> None:
        consumer._coordinator._coordination_task.cancel()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(die())
        with pytest.raises(GroupLost, match="tending its membership"):
            await polled(consumer)


async def test_our_own_cancellation_stays_one() -> None:
    consumer = Consumer({})

    async def hang(**_options) -> None:
        await asyncio.Event().wait()

    consumer.getmany = hang
    async with asyncio.TaskGroup() as tasks:
        polling = tasks.create_task(polled(consumer))
        await asyncio.sleep(0)
        polling.cancel()
    assert polling.cancelled()


def test_the_broker_s_refusal_of_a_record_is_another_class() -> None:
    assert type(UnknownError()) is not KafkaError
