"""Ending clients whose brokers do not answer: within the budget, leaving no asyncio task behind."""

import asyncio
import contextlib

import pytest

from runtime.kafka import stop_quietly


class Connection:
    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class Accumulator:
    def __init__(self, waiting: asyncio.Event) -> None:
        self._waiting = waiting
        self._pending_batches: set = set()

    def fail_all(self, _error: Exception) -> None:
        self._waiting.set()


class Sender:
    def __init__(self, task: asyncio.Task) -> None:
        self._sender_task = task


class Producer:
    """Shaped like aiokafka's: a sender that first waits for others when it is cancelled, a stop that never ends."""

    def __init__(self, group: asyncio.TaskGroup, stop) -> None:
        self.delivered = asyncio.Event()
        self.sending = group.create_task(self._send(group.create_task(self.delivered.wait())))
        self.client = Connection()
        self._message_accumulator = Accumulator(self.delivered)
        self._sender = Sender(self.sending)
        self.stop = stop

    async def _send(self, delivery: asyncio.Task) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await delivery


async def hang() -> None:
    await asyncio.Event().wait()


async def cancelled_inside() -> None:
    raise asyncio.CancelledError


async def broken() -> None:
    raise ConnectionError


@pytest.mark.parametrize("stop", [hang, cancelled_inside, broken])
async def test_a_client_that_cannot_stop_is_cut_off(stop) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        producer = Producer(group, stop)
        await stop_quietly(producer, 0.01)
        assert producer.sending.done()
        assert producer.client.closed


async def test_a_client_that_stops_is_left_alone() -> None:
    async def at_once() -> None:
        producer.sending.cancel()
        producer.delivered.set()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        producer = Producer(group, at_once)
        await stop_quietly(producer)
        assert not producer.client.closed


async def test_a_client_that_never_started_is_nothing_to_stop() -> None:
    assert await stop_quietly(None) is None


async def test_our_own_cancellation_is_not_taken_for_the_client_s() -> None:
    class Client:
        stop = staticmethod(hang)

    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(stop_quietly(Client(), 60))
        await asyncio.sleep(0)
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stopping
    assert stopping.cancelled()


async def test_a_client_whose_stopping_is_cancelled_is_cut_off_first() -> None:
    async with asyncio.TaskGroup() as group:
        producer = Producer(group, hang)
        stopping = group.create_task(stop_quietly(producer, 60))
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])
        assert stopping.cancelled()
        assert producer.sending.done()
        assert producer.client.closed


async def test_a_client_that_lets_its_own_cancellation_out_is_cut_off_by_a_task_that_was_cancelled_before() -> None:
    async def start_and_stop(producer: Producer) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await stop_quietly(producer, 60)

    async with asyncio.TaskGroup() as group:
        producer = Producer(group, cancelled_inside)
        starting = group.create_task(start_and_stop(producer))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        assert producer.sending.done()
        assert producer.client.closed
