"""Notices work that stands still although nothing outside makes it wait.

Time is counted in the watchdog's own turns, not by a clock: a process that was frozen as a whole wakes with one turn
more, and goes on. While what the work needs does not answer, nothing is counted; a suspicion is checked by asking.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping

from runtime.config import KafkaSettings
from runtime.errors import CallstreamError, ConfigError, Unavailable
from runtime.kafka import partition_counts

_TURNS = 20
_LONGEST_TURN_S = 5.0
_ANSWER_S = 5.0

Pending = Callable[[], Mapping[str, Hashable]]
"""Returns what must move on by itself: a name, and what changes whenever it does. What may wait is left out."""


class Stuck(CallstreamError):
    """Something stood still for longer than it may: the process drains and ends with 1."""


class Watchdog:
    """Watches `pending`, and asks `answers` before it says that something is stuck."""

    def __init__(self, limit_s: float, pending: Pending, answers: Callable[[], Awaitable[bool]]) -> None:
        self._limit_s = limit_s
        self._turn_s = min(_LONGEST_TURN_S, limit_s / _TURNS)
        self._pending = pending
        self._answers = answers
        self._seen: dict[str, tuple[Hashable, int]] = {}

    async def stuck(self) -> Stuck:
        """Return once something stood still for the limit, while all it needs answered."""
        while True:
            await asyncio.sleep(self._turn_s)
            longest = self._count()
            if longest * 2 * self._turn_s < self._limit_s:
                continue
            if not await self._answers():
                self._seen.clear()
            elif longest * self._turn_s >= self._limit_s:
                names = sorted(name for name, (_, turns) in self._seen.items() if turns == longest)
                return Stuck(f"no progress for {self._limit_s:g} s: {', '.join(names)}; Kafka answers")

    def _count(self) -> int:
        """Take one turn; return for how many turns the one that stands longest has stood."""
        before, self._seen = self._seen, {}
        for name, token in self._pending().items():
            known, turns = before.get(name, (token, -1))
            self._seen[name] = (token, turns + 1 if known == token else 0)
        return max((turns for _, turns in self._seen.values()), default=0)


async def stuck_beside_kafka(
    limit_s: float, pending: Pending, kafka: KafkaSettings, topic: str, client_id: str
) -> Stuck:
    """Return once something stood still for the limit while Kafka told about a topic to a client of its own."""
    return await Watchdog(limit_s, pending, lambda: kafka_answers(kafka, topic, client_id)).stuck()


async def kafka_answers(kafka: KafkaSettings, topic: str, client_id: str) -> bool:
    """Ask Kafka about a topic, by a client of its own; False when it does not answer soon."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            return topic in await partition_counts(kafka, [topic], client_id)
    except (Unavailable, ConfigError, TimeoutError):
        return False
