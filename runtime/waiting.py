"""Waits for what does not answer yet, and stops waiting as soon as the service stops."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from runtime.errors import Unavailable

T = TypeVar("T")
_FIRST_BOUND_S = 0.2


async def connect_with_retry(
    start: Callable[[], Awaitable[T]],
    *,
    stopping: asyncio.Event,
    on_wait: Callable[[Unavailable], None],
    cap_s: float = 5.0,
    cut: bool = True,
) -> T | None:
    """Call `start` until it answers; None when `stopping` is set first, however long `start` would still take.

    With `cut` False a call under way is let finish, and its answer is returned: whoever has deadlines of its own need
    not be cut off in the middle of connecting.
    Waits with full jitter (0 to a bound that doubles from 0.2 s up to `cap_s`) after each `Unavailable`, and tells
    `on_wait` why.
    """
    bound_s = _FIRST_BOUND_S
    while not stopping.is_set():
        answer = await (_unless(stopping, start) if cut else _answer(start))
        if not isinstance(answer, Exception):
            return answer
        if not isinstance(answer, Unavailable):
            raise answer
        on_wait(answer)
        delay_s = answer.retry_after_s or random.uniform(0, bound_s)  # noqa: S311 - jitter, no secret
        bound_s = min(cap_s, bound_s * 2)
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await stopping.wait()
    return None


async def _unless(stopping: asyncio.Event, start: Callable[[], Awaitable[T]]) -> T | Exception | None:
    """Return the answer of `start` or its error; None when `stopping` is set first, then `start` is cancelled."""
    async with asyncio.TaskGroup() as tasks:
        attempting = tasks.create_task(_answer(start))
        stopped = tasks.create_task(stopping.wait())
        await asyncio.wait({attempting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        attempting.cancel()
    return None if attempting.cancelled() else attempting.result()


async def _answer(start: Callable[[], Awaitable[T]]) -> T | Exception:
    try:
        return await start()
    except Exception as error:  # noqa: BLE001 - given back as it is, not as part of a group
        return error
