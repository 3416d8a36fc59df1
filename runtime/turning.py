"""Turns the loop of a group's member until its service stops, with what watches it beside it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


async def turn_until_stopped(
    turn: Callable[[], Awaitable[None]],
    stopping: asyncio.Event,
    last_turn_s: float,
    watch: Coroutine[Any, Any, None],
    group: asyncio.TaskGroup,
) -> None:
    """Call `turn` again and again until `stopping` is set; raises what it raises.

    A poll ignores its timeout during a rebalance or an outage, so the turn under way may go on for `last_turn_s` only.
    `watch` runs beside it in `group` and is cancelled at the end.
    """

    async def limit_last_turn() -> None:
        await stopping.wait()
        limit.reschedule(asyncio.get_running_loop().time() + last_turn_s)

    try:
        async with asyncio.timeout(None) as limit:
            beside = [group.create_task(limit_last_turn()), group.create_task(watch)]
            try:
                while not stopping.is_set():
                    await turn()
            finally:
                for task in beside:
                    task.cancel()
    except TimeoutError:
        if not stopping.is_set():
            raise
