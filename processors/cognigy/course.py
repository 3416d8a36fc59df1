"""The course of one turn: its records, numbered and written in the order in which things happen, until its end."""

import asyncio
from collections.abc import Callable, Sequence

from processors.cognigy.events import BotEvent
from processors.cognigy.logic import End, Turn, letter
from processors.cognigy.report import BotRecord, Rows, entry, marks
from processors.cognigy.rules import Rules
from runtime.clock import Clock
from runtime.errors import Fenced, InvalidRecord
from runtime.forwarding import Hands
from runtime.metrics import COGNIGY_MARKED, COGNIGY_RECORD_SECONDS, COGNIGY_TURNS
from schemas.symbols import BotTransport, TurnState


class Course:
    """One turn under way. `worker` names this process on the turns topic."""

    def __init__(  # noqa: PLR0913 - what a turn needs from the component
        self,
        turn: Turn,
        hands: Hands,
        rules: Rules,
        transport: BotTransport,
        clock: Clock,
        *,
        worker: str,
        retaken: bool,
    ) -> None:
        self.turn = turn
        self.hands = hands
        self.retaken = retaken
        self._clock = clock
        self._worker = worker
        self._rows = Rows(turn, rules, transport, retaken)
        self._one_at_a_time = asyncio.Lock()
        self._said = False
        self._over = False

    async def announce(self, attempt: int) -> None:
        """Clear the input for sending; see `Hands.announce`."""
        await self.hands.announce(entry(self.turn, TurnState.SENDING, attempt, self._worker, self._clock.wall_s()))

    async def take(self, events: Sequence[BotEvent], end: End) -> None:
        """Write what the bot said; more may follow."""
        self._said = True
        async with self._one_at_a_time:
            now_s = self._clock.wall_s()
            await self._write(self._rows.of(events, end, now_s), lambda: self._rows.refused(end, now_s))

    async def tell_unavailable(self) -> None:
        """Write that the bot cannot be had."""
        async with self._one_at_a_time:
            await self._write(self._rows.unavailable(self._clock.wall_s()), tuple)

    async def mark_slow(self, attempts: int) -> None:
        """Write that the answer takes long, unless the bot has begun to speak or the turn is over."""
        try:
            async with self._one_at_a_time:
                if not (self._said or self._over):
                    state = TurnState.SENDING if attempts else TurnState.RECEIVED
                    end = End(state, attempts=attempts, retaken=self.retaken)
                    await self._write(self._rows.slow(end, self._clock.wall_s()), tuple)
        except Fenced:
            # whoever carries the turn meets the same
            return

    async def close(self, events: Sequence[BotEvent], end: End) -> None:
        """Write what came last and the end, leave a letter where it was not answered, and conclude.

        Records that Kafka refuses keep no turn from its end: in their place stands an ERROR.
        """
        self._over = True
        came_s = self._clock.monotonic_s()
        async with self._one_at_a_time:
            now_s = self._clock.wall_s()
            rows = self._rows
            written = [*rows.of(events, end, now_s), *rows.closing(end, now_s)]
            await self._write(written, lambda: [*rows.refused(end, now_s), *rows.closing(end, now_s)])
        COGNIGY_RECORD_SECONDS.observe(self._clock.monotonic_s() - came_s)
        left = letter(end)
        if left is not None:
            await self.hands.bury(left)
        await self.hands.conclude(entry(self.turn, end.state, end.attempts, self._worker, now_s))
        COGNIGY_TURNS.labels(end.state).inc()
        for mark in marks(written):
            COGNIGY_MARKED.labels(mark).inc()

    async def _write(self, rows: Sequence[BotRecord], instead: Callable[[], Sequence[BotRecord]]) -> None:
        """Write records, or where Kafka refuses them, what says so; the turn goes on where it refuses that too."""
        if await self._stored(rows):
            return
        COGNIGY_MARKED.labels("not_stored").inc()
        await self._stored(instead())

    async def _stored(self, rows: Sequence[BotRecord]) -> bool:
        try:
            if rows:
                await self.hands.write(rows)
        except InvalidRecord:
            return False
        return True
