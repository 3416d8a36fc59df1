"""The only reader of time in this package: the event loop's monotonic seconds, and the epoch for signatures."""

import asyncio
import time  # noqa: TID251 - owns time for the simulator


def now_s() -> float:
    """Seconds of the running loop's monotonic clock."""
    return asyncio.get_running_loop().time()


def epoch_s() -> int:
    """Whole seconds since 1970, as `created` and `expires` of a signature count them."""
    return int(time.time())
