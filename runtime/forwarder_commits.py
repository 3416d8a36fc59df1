"""Commits what is finished: now and then, and at once for whoever must know that the partition is still ours.

One commit is in flight at a time. A proof is a commit that started after it was asked for; all who ask while one is in
flight share the next. The group checks each commit against our membership, so a success says that until then nobody
else was given our partitions.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress

from runtime import metrics
from runtime.clock import Clock
from runtime.errors import Fenced, Unavailable
from runtime.kafka import TopicPartition, translated

ANSWER_S = 15.0
"""How long one commit may take."""
_LONGEST_PAUSE_S = 1.0
Offsets = Mapping[TopicPartition, int]


class Committer:
    """Commits for one member of a group.

    `commit` sends offsets; `offsets` returns those of every partition held, with True also unchanged ones; `committed`
    hears of a success, `lost` that the group refused, `on_answer` whether Kafka answers.
    """

    def __init__(  # noqa: PLR0913 - what a commit needs from its worker
        self,
        *,
        commit: Callable[[Offsets], Awaitable[None]],
        offsets: Callable[[bool], Offsets],
        committed: Callable[[Offsets], None],
        lost: Callable[[Fenced], None],
        on_answer: Callable[[Unavailable | None], None],
        clock: Clock,
        interval_s: float,
    ) -> None:
        self._commit = commit
        self._offsets = offsets
        self._committed = committed
        self._lost = lost
        self._on_answer = on_answer
        self._clock = clock
        self._interval_s = interval_s
        self._wake = asyncio.Event()
        self._asking: list[asyncio.Future[None]] = []
        self._limit: asyncio.Timeout | None = None
        self._everything = False
        self._commits = 0

    def pending(self) -> dict[str, Hashable]:
        """Return what must move on by itself: commits, while there is one to make. See `Watchdog`."""
        return {"commits": self._commits} if self._asking or self._limit or self._offsets(False) else {}

    async def prove(self) -> None:
        """Return once a commit that started after this call has succeeded. Raises `Fenced`."""
        proof: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.append(proof)
        self._wake.set()
        await proof

    def ask(self) -> None:
        """Let a commit of everything start soon, whether it is needed or not."""
        self._everything = True
        self._wake.set()

    def give_up(self) -> None:
        """End the commit under way: after the partitions are gone it would only put old offsets back."""
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Commit until cancelled. Raises what neither time nor the group heals."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._wake.wait()
            self._wake.clear()
            await self._once()

    async def _once(self) -> None:
        asking, self._asking = self._asking, []
        offsets = self._offsets(bool(asking) or self._everything)
        if not offsets:
            _tell(asking, Fenced("no partition is held any more") if asking else None)
            return
        self._everything = False
        started_s = self._clock.monotonic_s()
        try:
            await self._bounded(offsets)
        except Fenced as refused:
            self._lost(refused)
            _tell(asking, refused)
        except Unavailable as error:
            self._on_answer(error)
            self._asking = asking + self._asking
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311 - jitter, no secret
            if self._asking:
                self._wake.set()
        else:
            self._on_answer(None)
            metrics.FORWARD_COMMIT_SECONDS.observe(self._clock.monotonic_s() - started_s)
            self._commits += 1
            self._committed(offsets)
            _tell(asking, None)

    async def _bounded(self, offsets: Offsets) -> None:
        try:
            with translated():
                async with asyncio.timeout(ANSWER_S) as self._limit:
                    await self._commit(offsets)
        finally:
            # a limit that has ended cannot be moved any more
            self._limit = None


def _tell(asking: list["asyncio.Future[None]"], error: Exception | None) -> None:
    for proof in asking:
        if proof.done():
            continue
        if error is None:
            proof.set_result(None)
        else:
            proof.set_exception(error)
