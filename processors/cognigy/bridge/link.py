"""The socket of one call: dialled, kept, dialled again, and closed, by one task. Inputs and audio go out over it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from processors.cognigy.bridge.messages import Failure, Message, Reading, read, user_input
from processors.cognigy.bridge.protocol import Exchange, Limits, Told
from processors.cognigy.events import BotEvent, BotInput, Ended, Outcome, Verdict
from runtime.clock import Clock
from runtime.connection import Connection
from runtime.errors import ConfigError
from runtime.log import Logger
from runtime.metrics import COGNIGY_AUDIO, COGNIGY_BRIDGE_MESSAGES
from runtime.supervision import ConnectionLost, GivenUp
from runtime.websocket import Dialer

Unasked = Callable[[Sequence[BotEvent], BotInput | None], None]
"""Hears what belongs to no input under way, with the input it answers late, None for what answers none."""

_UNAUTHORIZED = 401
_MOST_CHUNKS = 100
_GOING_AWAY = 1001


class Link:
    """One call's way to the bot. `run` is its task: cancelling it closes the socket."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it needs from the transport
        self,
        dialer: Dialer,
        reading: Reading,
        limits: Limits,
        unasked: Unasked,
        clock: Clock,
        log: Logger,
        *,
        rest_s: float,
        max_age_s: float,
    ) -> None:
        self._dialer = dialer
        self._reading = reading
        self._exchange = Exchange(limits)
        self._unasked = unasked
        self._clock = clock
        self._log = log
        self._rest_s = rest_s
        self._max_age_s = max_age_s
        self._connection: Connection | None = None
        self._changed = asyncio.Condition()
        self._wanted = asyncio.Event()
        self._why_not: str | None = None
        """Why there will be no connection, while the socket rests."""
        self._told: asyncio.Queue[Told | None] = asyncio.Queue()
        self._chunks: deque[tuple[str, int]] = deque()
        self._has_chunks = asyncio.Event()

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        try:
            while True:
                try:
                    connection = await self._dialer.connect()
                except (GivenUp, ConfigError) as error:
                    await self._rest(str(error))
                    continue
                await self._set(connection, None)
                await self._converse(connection)
                await self._set(None, None)
        finally:
            connection_ = self._connection
            self._connection = None
            self._told.put_nowait(None)
            if connection_ is not None:
                await connection_.close()

    async def send(self, said: BotInput) -> AsyncGenerator[tuple[BotEvent, ...], None]:
        """See `BotClient.send`; one at a time."""
        connection = await self._ready(said.left_s)
        if connection is None:
            why = self._why_not or "no connection within the time the input is of use"
            yield (Ended(Verdict(Outcome.UNSENT, "unreachable", why)),)
            return
        self._pass_on_leftovers()
        self._exchange.begin(said, self._clock.monotonic_s())
        try:
            await connection.send(user_input(said))
        except ConnectionLost:
            self._exchange.end()
            # some of it may have left
            yield (Ended(self._exchange.lost()),)
            return
        try:
            async with aclosing(self._answer()) as coming:
                async for events in coming:
                    yield events
        finally:
            self._exchange.end()

    def offer(self, chunk: str, captured_at_us: int) -> None:
        """Send a piece of the caller's voice, if that is possible before it is of no use; the oldest are dropped."""
        if self._connection is None:
            COGNIGY_AUDIO.labels("no connection").inc()
            return
        self._chunks.append((chunk, captured_at_us))
        while len(self._chunks) > _MOST_CHUNKS:
            self._chunks.popleft()
            COGNIGY_AUDIO.labels("stale").inc()
        self._has_chunks.set()

    # --- one input ----------------------------------------------------------------------------------------------

    async def _ready(self, left_s: float) -> Connection | None:
        """Return a connection that can take an input now, None where there is none in time."""
        self._wanted.set()
        if self._exchange.wants_new_connection and self._connection is not None:
            old = self._connection
            await old.close(_GOING_AWAY)
            await self._wait(left_s, lambda: self._connection is not old)
        self._why_not = None
        await self._wait(left_s, lambda: self._connection is not None or self._why_not is not None)
        connection = self._connection
        return connection if connection is not None and connection.lost is None else None

    def _pass_on_leftovers(self) -> None:
        """Let nothing that came in the moment the last input ended be taken for an answer to the next."""
        while not self._told.empty():
            told = self._told.get_nowait()
            if told is not None and told.events:
                self._unasked(told.events, told.said)

    async def _wait(self, left_s: float, condition: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(left_s), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return

    async def _answer(self) -> AsyncGenerator[tuple[BotEvent, ...], None]:
        while True:
            try:
                async with asyncio.timeout(max(0.0, self._exchange.due_s() - self._clock.monotonic_s())):
                    told = await self._told.get()
            except TimeoutError:
                yield (Ended(self._exchange.expired()),)
                return
            if told is None:
                yield (Ended(self._exchange.lost()),)
                return
            if told.ended is not None:
                yield (*told.events, Ended(told.ended))
                return
            yield told.events

    # --- the connection -----------------------------------------------------------------------------------------

    async def _rest(self, why: str) -> None:
        """Let the peer alone for a while, or until an input comes."""
        self._wanted.clear()
        await self._set(None, why)
        try:
            async with asyncio.timeout(self._rest_s):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _set(self, connection: Connection | None, why_not: str | None) -> None:
        async with self._changed:
            if connection is not None:
                self._exchange.connected()
            elif self._connection is not None:
                self._told.put_nowait(None)
            self._connection, self._why_not = connection, why_not
            self._chunks.clear()
            self._changed.notify_all()

    async def _converse(self, connection: Connection) -> None:
        """Read until the connection is over, and send audio beside."""
        async with asyncio.TaskGroup() as both:
            speaking = both.create_task(self._speak(connection))
            try:
                while True:
                    self._take(read(await connection.receive(), self._reading), connection)
            except ConnectionLost:
                speaking.cancel()

    def _take(self, message: Message, connection: Connection) -> None:
        repeats = self._exchange.repeats
        told = self._exchange.take(message, self._clock.monotonic_s())
        COGNIGY_BRIDGE_MESSAGES.labels("repeat" if self._exchange.repeats > repeats else message.kind).inc()
        if isinstance(message.event, Failure):
            self._log.warning("the bot's side reports an error", peer="bridge", status=message.event.code)
            if message.event.code == _UNAUTHORIZED and connection.token is not None:
                self._dialer.invalidate(connection.token)
        if told is None:
            return
        if told.is_current:
            self._told.put_nowait(told)
        else:
            self._unasked(told.events, told.said)

    async def _speak(self, connection: Connection) -> None:
        """Send chunks in order; what has waited too long for the peer is dropped."""
        while True:
            while self._chunks:
                chunk, captured_at_us = self._chunks.popleft()
                if self._clock.wall_s() - captured_at_us / 1e6 > self._max_age_s:
                    COGNIGY_AUDIO.labels("stale").inc()
                    continue
                try:
                    await connection.send(chunk)
                except ConnectionLost:
                    return
                COGNIGY_AUDIO.labels("sent").inc()
            self._has_chunks.clear()
            await self._has_chunks.wait()
