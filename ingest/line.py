"""A line: one connection to a source we call, over its lives, with the calls it carries.

A life is any number of connections, one after the other, and the sessions live on over them: it ends when no call is
left, when no connection could be had within the budget, when the peer refuses what time will not change, or with this
process. After a spent budget the line rests, then a new life begins, with new sessions that go on from the old ones.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TypeVar

from ingest.dial import Dial, DialledSource
from ingest.protocol import Call, Effect, Ended, EventReceived, GiveUp
from ingest.session import Session, Surroundings
from runtime.connection import Connection
from runtime.errors import ConfigError
from runtime.metrics import INGEST_CONNECTIONS, INGEST_OWNED, WEBSOCKET_GIVEN_UP
from runtime.supervision import GivenUp
from runtime.websocket import Dialer
from schemas.symbols import CallEventKind, Reason

T = TypeVar("T")

_NORMAL, _GOING_AWAY = 1000, 1001


class _Refused(Exception):
    """The peer refused, in a message, what time will not change."""

    def __init__(self, why: GiveUp, attempt: int) -> None:
        super().__init__(why.message)
        self.attempt = attempt


class Line:
    """One connection that is to be up for as long as there are calls for it.

    `make_dialer` may raise `ConfigError`, and so does making the line then. `over` is told each call that the protocol
    has ended for good; a call that is unfollowed is not told.
    """

    def __init__(  # noqa: PLR0913 - what it is, what it carries, and where
        self,
        source: DialledSource,
        name: str,
        first: Call,
        surroundings: Surroundings,
        *,
        make_dialer: Callable[[Dial], Dialer],
        over: Callable[[str], None],
    ) -> None:
        self._source = source
        self._name = name
        self._calls = {first.conversation_id: first}
        self._left: set[str] = set()
        self._tell_over = over
        self._surroundings = surroundings
        self._log = surroundings.log.bind(source=source.name, connection=name)
        self._clock = surroundings.clock
        self._draining = False
        self._ended = False
        self._whole: asyncio.Timeout | None = None
        self._wait: asyncio.Timeout | None = None
        self._open = INGEST_CONNECTIONS.labels(source.name)
        self._owned = INGEST_OWNED.labels(source.name)
        self._dial = source.dial(name, [first])
        self._dialer = make_dialer(self._dial)
        self._protocol = self._dial.new_protocol()
        self._session = self._new_session()

    @property
    def calls(self) -> Mapping[str, Call]:
        """The calls it carries, by conversation id."""
        return MappingProxyType(self._calls)

    def room(self, conversation_id: str) -> bool:
        """Tell whether it takes one more call.

        The peer knows no way to unsubscribe, so what was left on this connection still counts, but for itself.
        """
        if self._draining or self._ended or self._protocol.finished:
            return False
        return len(self._left.union(self._calls) - {conversation_id}) < self._source.calls_per_connection

    def follow(self, call: Call) -> None:
        """Carry one more call, at once where there is a connection."""
        self._calls[call.conversation_id] = call
        self._left.discard(call.conversation_id)
        self._session.command(partial(self._protocol.follow, call))

    def unfollow(self, conversation_id: str, ended: Ended) -> None:
        """End a call; with the last one the line."""
        if self._calls.pop(conversation_id, None) is None:
            return
        if self._session.serving:
            self._left.add(conversation_id)
        self._session.command(partial(self._protocol.unfollow, conversation_id, ended))
        if self._protocol.finished:
            self._stop_waiting()

    async def run(self) -> None:
        """Keep the connection up until no call is left, or until drained."""
        self._owned.inc()
        try:
            async with asyncio.timeout(None) as self._whole:
                await self._live()
                while not (self._draining or self._ended or self._protocol.finished):
                    await self._while_wanted(asyncio.sleep(self._dial.rest_s))
                    await self._live()
        except TimeoutError:
            self._log.warning("a peer did not close in time", budget_s=self._dial.policy.close_timeout_s)
        finally:
            self._whole = None
            self._owned.dec()

    def drain(self) -> None:
        """End the sessions the way the peer expects it, within the close timeout, and the connection after that."""
        if self._draining:
            return
        self._draining = True
        self._session.drain()
        if self._whole is not None:
            self._whole.reschedule(asyncio.get_running_loop().time() + self._dial.policy.close_timeout_s)
        self._stop_waiting()

    def keep_alive(self) -> None:
        """Let quiet sessions write ALIVE."""
        self._session.keep_alive()

    def _new_session(self) -> Session:
        return Session(self._source.name, self._protocol, self._surroundings, self._over)

    def _over(self, conversation_id: str) -> None:
        if self._calls.pop(conversation_id, None) is not None:
            self._tell_over(conversation_id)

    def _stop_waiting(self) -> None:
        """End a dial, or the rest after a spent budget."""
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def _live(self) -> None:
        """Go through one life. Its sessions are closed at its end, whatever that was."""
        reason = None
        try:
            try:
                await self._keep_up()
            except (GivenUp, ConfigError, _Refused) as error:
                reason = Reason.BUDGET_SPENT
                self._session.take(_told(self._protocol.gave_up(self._clock.monotonic_s()), self._report(error)))
        except Exception as error:  # noqa: BLE001 - one line's fault must not end the others
            reason = Reason.OTHER
            self._log.error("a source we call failed", seconds=self._dial.rest_s, exc_info=error)
            self._session.end(reason)
            self._begin_anew()
        finally:
            self._session.end(reason or (Reason.DRAIN if self._draining else Reason.OTHER))

    def _begin_anew(self) -> None:
        """Take another machine for the calls that are left."""
        calls = tuple(self._calls.values())
        self._ended = not calls
        if calls:
            self._protocol = self._source.dial(self._name, calls).new_protocol()
            self._session = self._new_session()

    async def _keep_up(self) -> None:
        """Dial and serve while there are calls. Raises `GivenUp`, `ConfigError` and `_Refused`."""
        while not (self._draining or self._protocol.finished):
            connection = await self._while_wanted(self._dialer.connect())
            if connection is not None:
                await self._serve(connection)
        self._session.finish_drain()
        self._ended = True
        self._log.info("a connection is no longer wanted", cause="drain" if self._draining else "no call is left")

    async def _serve(self, connection: Connection) -> None:
        self._open.inc()
        self._log.info("a connection is open", attempt=connection.attempt)
        self._left.clear()
        try:
            self._protocol.use_token(connection.token if self._dial.wants_token else None)
            await self._session.run(connection, connection.attempt)
        finally:
            self._open.dec()
            await connection.close(_GOING_AWAY if self._draining else _NORMAL, "")
        if self._session.token_refused and connection.token is not None:
            self._dialer.invalidate(connection.token)
        if self._session.given_up is not None:
            self._dialer.begin_anew()
            raise _Refused(self._session.given_up, connection.attempt)

    async def _while_wanted(self, waiting: Awaitable[T]) -> T | None:
        """Wait for something; None where a drain or the end of the last call came first."""
        try:
            async with asyncio.timeout(None) as self._wait:
                return await waiting
        except TimeoutError:
            if self._draining or self._protocol.finished:
                return None
            raise
        finally:
            self._wait = None

    def _report(self, error: GivenUp | ConfigError | _Refused) -> tuple[int, int, str]:
        """Say that no connection can be had, and for how long none is tried; return status, tries and the words."""
        status, attempt = None, self._dialer.attempt
        if isinstance(error, ConfigError):
            cause = "configuration"
            self._log.error("the configuration is bad", mistakes=error.mistakes)
        elif isinstance(error, GivenUp):
            cause, status = error.reason, error.status
        else:
            cause, attempt = "refused in a message", error.attempt
            WEBSOCKET_GIVEN_UP.labels(self._source.name, "message").inc()
        self._log.error(
            "a source cannot be reached; its sessions end, and it is tried again after a rest",
            cause=cause,
            attempt=attempt,
            status=status,
            error=str(error),
            seconds=self._dial.rest_s,
        )
        return -1 if status is None else status, attempt, str(error)


def _told(effects: list[Effect], why: tuple[int, int, str]) -> list[Effect]:
    """Put the status, the tries and the words into the events that say so, where the machine did not."""
    code, attempt, message = why
    return [
        replace(effect, event=replace(effect.event, code=code, attempt=attempt, message=message))
        if isinstance(effect, EventReceived)
        and effect.event.kind is CallEventKind.RECONNECT_EXHAUSTED
        and effect.event.message is None
        else effect
        for effect in effects
    ]
