"""Ends Kafka clients, also those whose brokers do not answer.

An orderly end sends what waits and leaves the group, and for both a broker must answer. When none does, the client's
background work is ended instead: left alone it would go on for ever, and finish its sending once a broker is back.
"""

import asyncio
from contextlib import suppress
from typing import Any

_ABANDON_S = 1.0


async def stop_quietly(client: Any, budget_s: float = 5.0) -> None:
    """Stop a consumer or producer within a budget; one that cannot stop is cut off, its asyncio tasks ended."""
    try:
        async with asyncio.timeout(budget_s):
            await client.stop()
    except Exception:  # noqa: BLE001 - whatever it is, the client must end
        with suppress(Exception):
            async with asyncio.timeout(_ABANDON_S):
                await _abandon(client)


async def _abandon(client: Any) -> None:
    """End the tasks and connections of an aiokafka client, by its private names: there is no public way."""
    accumulator = getattr(client, "_message_accumulator", None)
    if accumulator is not None:
        # wakes everybody who waits for records to be acknowledged
        accumulator.fail_all(ConnectionError("the producer was cut off"))
    connection = getattr(client, "client", None) or getattr(client, "_client", None)
    if connection is not None:
        await connection.close()
    coordinator = getattr(client, "_coordinator", None)
    fetcher = getattr(client, "_fetcher", None)
    for owner, name in (
        (getattr(client, "_sender", None), "_sender_task"),
        (coordinator, "_coordination_task"),
        (coordinator, "_heartbeat_task"),
        (coordinator, "_commit_refresh_task"),
        (fetcher, "_fetch_task"),
    ):
        task = getattr(owner, name, None)
        if task is not None:
            await _end(task)
    for task in list(getattr(fetcher, "_pending_tasks", ())):
        await _end(task)


async def _end(task: "asyncio.Task[Any]") -> None:
    """Cancel until it ends: a cancelled task of aiokafka may first wait for others, and pass the next cancel on."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.02)
    if not task.cancelled():
        task.exception()
