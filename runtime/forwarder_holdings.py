"""The partitions a worker holds: what of them may be committed, and how they are given away."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from typing import Any, Generic, TypeVar

from runtime import metrics
from runtime.errors import Fenced
from runtime.forwarder_commits import Committer, Offsets
from runtime.forwarder_partition import Held
from runtime.kafka import TopicPartition
from runtime.lanes import Lanes
from runtime.restart_limit import RestartLimit, TooManyRestarts
from runtime.service import Service

W = TypeVar("W")
_CANCEL_S = 1.0
_PASS_S = 0.2


class Holdings(Generic[W]):
    """The partitions of the present assignment. `assignment` counts up whenever it changes."""

    def __init__(
        self,
        service: Service[Any],
        limit: RestartLimit,
        fail: Callable[[Exception], None],
        gone: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._gone = gone
        self._limit = limit
        self._fail = fail
        self.assignment = 0
        self.refused: set[TopicPartition] = set()
        """Taken away by the group, which has not said yet what we get instead."""
        self._service = service
        self._held: dict[TopicPartition, Held[W]] = {}
        self._releasing = asyncio.Lock()

    def __iter__(self) -> Iterator[Held[W]]:
        return iter(list(self._held.values()))

    def get(self, tp: TopicPartition) -> Held[W] | None:
        """Return a partition that is held, whatever its state."""
        return self._held.get(tp)

    def owns(self, held: Held[W]) -> bool:
        """Tell whether an assignment of a partition still stands, and is not being given away."""
        return self._held.get(held.tp) is held and not held.closing

    def running(self) -> list[tuple[Held[W], Lanes[Any]]]:
        """Return what was taken over and is not being given away."""
        return [(held, held.lanes) for held in self if held.lanes is not None and not held.closing]

    def take(self, partitions: Collection[Held[W]]) -> None:
        """Hold what the group assigned."""
        self.assignment += 1
        self.refused.clear()
        self._held.update({held.tp: held for held in partitions})
        metrics.FORWARD_PARTITIONS.set(len(self._held))

    # --- commits ------------------------------------------------------------------------------------------------

    def offsets(self, everything: bool) -> Offsets:
        """Return what may be committed; unless `everything` is wanted, only where it is news."""
        found = {held: held.lanes.committable for held in self if held.lanes is not None}
        return {held.tp: at for held, at in found.items() if everything or at != held.last_committed}

    def committed(self, offsets: Offsets) -> None:
        """Take note of a commit."""
        for tp, offset in offsets.items():
            held = self._held.get(tp)
            if held is not None:
                held.committed(offset)

    def lost(self, error: Fenced) -> None:
        """Drop everything: the group has given it to others. Another assignment will follow."""
        metrics.FORWARD_FENCED.inc()
        self._service.log.warning("the partitions were taken away", error=str(error))
        for held in self:
            held.cut_off()
            for task in held.busy:
                task.cancel()
            # who waits in its hands learns there that it was fenced; the others are ended
            asyncio.get_running_loop().call_later(_PASS_S, held.end_jobs)
            self.refused.add(held.tp)
            self._forget(held)
            try:
                self._limit.restarted(held.tp, error)
            except TooManyRestarts as too_many:
                self._fail(too_many)

    # --- giving away --------------------------------------------------------------------------------------------

    async def release(self, committer: Committer, grace_s: float, commit_s: float) -> None:
        """Let jobs under way end, cut off those that do not, commit, forget."""
        async with self._releasing:
            mine = list(self)
            for held in mine:
                held.closing = True
                for task in held.busy:
                    task.cancel()
            beside = {task for held in mine for task in held.busy}
            jobs = {task for held in mine for task in held.jobs}
            if jobs:
                # where the group has already given them to others, the commit tells, and ends the jobs at once
                committer.ask()
                await asyncio.wait(jobs, timeout=grace_s)
            for held in mine:
                held.cut_off()
                held.end_jobs()
            if jobs | beside:
                await asyncio.wait(jobs | beside, timeout=_CANCEL_S)
            await self._last_commit(committer, commit_s)
            # one still under way would put old offsets back once others have the partitions
            committer.give_up()
            self.assignment += 1
            for held in mine:
                self._forget(held)

    async def _last_commit(self, committer: Committer, budget_s: float) -> None:
        if not self.offsets(everything=False):
            return
        try:
            async with asyncio.timeout(budget_s):
                await committer.prove()
        except (Fenced, TimeoutError) as error:
            # nothing is lost: whoever is next does again what was not committed
            self._service.log.warning("what is finished could not be committed", error=str(error) or "no answer")

    def _forget(self, held: Held[W]) -> None:
        if self._held.get(held.tp) is held:
            del self._held[held.tp]
            self._gone(held.tp.partition)
        metrics.FORWARD_PARTITIONS.set(len(self._held))
        if held.lanes is not None:
            metrics.FORWARD_LAG_RECORDS.remove(held.tp.topic, str(held.tp.partition))

    # --- telling ------------------------------------------------------------------------------------------------

    def oldest_s(self) -> float:
        """For how long the oldest unfinished record has waited; 0 where there is none."""
        oldest = [held.lanes.oldest_at_s for held in self if held.lanes is not None]
        now_s = self._service.clock.monotonic_s()
        return max((now_s - at_s for at_s in oldest if at_s is not None), default=0.0)

    def report(self) -> None:
        """Say whether everything is taken over, and set the gauges."""
        opening = sorted(held.tp.partition for held in self if held.lanes is None)
        refused = sorted(tp.partition for tp in self.refused)
        why = f"partitions being taken over: {opening}; taken away without a new assignment yet: {refused}"
        self._service.health.ready("partitions", ok=not opening and not refused, why=why)
        lanes = [held.lanes for held in self if held.lanes is not None]
        metrics.FORWARD_WAITING.set(sum(one.waiting for one in lanes))
        metrics.FORWARD_UNCOMMITTED.set(sum(one.uncommitted for one in lanes))
        metrics.FORWARD_PAUSED.set(sum(held.paused for held in self))
