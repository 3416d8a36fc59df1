"""How fast inputs may leave this process."""

import asyncio

from aiolimiter import AsyncLimiter


class Pace:
    """A leaky bucket: a burst at once, then so many a second, first come, first served."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._limiter = AsyncLimiter(burst, burst / rate_per_s)

    async def wait(self, longest_s: float) -> bool:
        """Wait for a turn to leave. Return False, having used nothing up, where that would take longer."""
        if longest_s <= 0:
            return False
        try:
            async with asyncio.timeout(longest_s):
                await self._limiter.acquire()
        except TimeoutError:
            return False
        return True
