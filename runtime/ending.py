"""Ends Kafka clients, also those whose brokers do not answer.

An orderly end sends what waits and leaves the group, and for both a broker must answer. When none does, the client's
background work is ended instead: left alone it would go on for ever, and finish its sending once a broker is back.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import suppress
from typing import Any

_CUT_S = 0.5


async def stop_quietly(client: Any, budget_s: float = 5.0) -> None:
    """Stop a consumer or producer within a budget; one that cannot stop is cut off, its asyncio tasks ended.

    Cut off at once, too, when whoever stops it is cancelled: nobody else knows the client, and left alone it would stay
    connected for ever. None, for a client that was never started, is nothing to stop.
    """
    if client is None:
        return
    ended = False
    try:
        ended = await _ended(client.stop(), budget_s)
    finally:
        if not ended:
            for step in _cuts(client):
                await _ended(step, _CUT_S)
        _hear(_promises(client))


async def _ended(step: Coroutine[Any, Any, Any], budget_s: float) -> bool:
    """Await one step; False when it failed or took too long. Only our own cancellation comes out, none before."""
    task = asyncio.current_task()
    cancelled_before = task.cancelling() if task is not None else 0
    try:
        async with asyncio.timeout(budget_s):
            await step
    except asyncio.CancelledError:
        # a client that awaits a task it cancelled itself lets that out as if we had been cancelled
        if task is not None and task.cancelling() > cancelled_before:
            raise
        return False
    except Exception:  # noqa: BLE001 - whatever it is, the client must end
        return False
    return True


def _cuts(client: Any) -> Iterator[Coroutine[Any, Any, Any]]:
    """Yield what ends the tasks and connections of an aiokafka client, by private names: there is no public way."""
    accumulator = getattr(client, "_message_accumulator", None)
    if accumulator is not None:
        with suppress(Exception):
            promises = _promises(client)
            _fail_waiting(accumulator)
            _hear(promises)
    connection = getattr(client, "client", None) or getattr(client, "_client", None)
    if connection is not None:
        yield connection.close()
    coordinator = getattr(client, "_coordinator", None)
    fetcher = getattr(client, "_fetcher", None)
    for owner, name in (
        (getattr(client, "_sender", None), "_sender_task"),
        (coordinator, "_coordination_task"),
        (coordinator, "_heartbeat_task"),
        (coordinator, "_commit_refresh_task"),
        (coordinator, "_reset_committed_task"),
        (fetcher, "_fetch_task"),
        (connection, "_sync_task"),
    ):
        task = getattr(owner, name, None)
        if task is not None:
            yield _end(task)
    for task in list(getattr(fetcher, "_pending_tasks", ())):
        yield _end(task)


class _Forgiving(set[Any]):
    """A set that does not mind being told to remove what it does not hold."""

    remove = set.discard


def _fail_waiting(accumulator: Any) -> None:
    """Wake everybody who waits for records to be acknowledged."""
    # a batch leaves those under way when it fails, and again when its request ends
    accumulator._pending_batches = _Forgiving(accumulator._pending_batches)  # noqa: SLF001
    accumulator.fail_all(ConnectionError("the producer was cut off"))


def _hear(promises: "Iterable[asyncio.Future[Any]]") -> None:
    """Take note of errors: whoever waits for one has it, and where nobody waits, nobody need hear of it."""
    for future in promises:
        if future.done() and not future.cancelled():
            future.exception()


def _promises(client: Any) -> list["asyncio.Future[Any]"]:
    """Return what a producer still promises, to us or to itself: the end of its transaction and of each batch."""
    accumulator = getattr(client, "_message_accumulator", None)
    waiting = getattr(accumulator, "_batches", {}).values()
    batches = [*(batch for queue in waiting for batch in queue), *getattr(accumulator, "_pending_batches", ())]
    found = [getattr(getattr(client, "_txn_manager", None), "_transaction_waiter", None)]
    for batch in batches:
        found += [batch.future, batch._drain_waiter]  # noqa: SLF001
    return [future for future in found if future is not None]


async def _end(task: "asyncio.Task[Any]") -> None:
    """Cancel until it ends: a cancelled task of aiokafka may first wait for others, and pass the next cancel on."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.02)
    if not task.cancelled():
        task.exception()
