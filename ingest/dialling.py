"""The connections we open: each source we call says which, and each is kept up on its own.

A line is one of them over its lives. A life is any number of connections, one after the other, and the sessions live on
over them: it ends when nothing more will come, when no connection could be had within the budget, or with this process.
After a spent budget the line rests, then a new life begins, with new sessions that go on from the old ones. Whatever
happens to one line, the others and the sources that call us go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ingest.connecting import ConnectionSettings
from ingest.protocol import Call, DialledProtocol
from ingest.session import Session, Surroundings
from runtime.connection import Connection
from runtime.errors import ConfigError
from runtime.metrics import INGEST_CONNECTIONS, INGEST_OWNED
from runtime.oauth import TokenSource
from runtime.supervision import GivenUp, Policy
from runtime.websocket import Dialer
from schemas.symbols import Reason

T = TypeVar("T")

_NORMAL, _GOING_AWAY = 1000, 1001


@dataclass(frozen=True, slots=True)
class Dial:
    """One connection to open and to keep.

    `connection` names it in the log. `new_protocol` makes its machine, which lives on over losses and spent budgets; a
    new one is made only where the old one failed, which is our fault. `bearer`: the token stands in the header of the
    handshake; `wants_token`: the machine is given it before each connection, whether or not it stands there too.
    """

    source_name: str
    connection: str
    url: str
    policy: Policy
    new_protocol: Callable[[], DialledProtocol]
    rest_s: float = 60.0
    bearer: bool = True
    wants_token: bool = False


@dataclass(frozen=True, slots=True)
class DialledSource:
    """A source we call. Its session keys are conversation ids.

    `dial` returns the connection for the first calls of a line, at most `calls_per_connection`, under a name for the
    log. `listed` are the calls that the source's own settings name. `refuse` says why a call cannot be followed, None
    where it can.
    """

    name: str
    calls_per_connection: int
    dial: Callable[[str, Sequence[Call]], Dial]
    listed: Sequence[Call]
    refuse: Callable[[Call], str | None]

    def dials(self) -> list[Dial]:
        """Return the connections for the calls of its own settings."""
        size = self.calls_per_connection
        shares = [self.listed[start : start + size] for start in range(0, len(self.listed), size)]
        return [self.dial(f"{number} of {len(shares)}", share) for number, share in enumerate(shares, 1)]


def policy_of(own: ConnectionSettings) -> Policy:
    """Return how the connections of a source are kept, as its settings say."""
    return Policy(
        attempts=own.attempts,
        first_delay_s=own.first_delay_s,
        longest_delay_s=own.longest_delay_s,
        open_timeout_s=own.open_timeout_s,
        ping_interval_s=own.ping_interval_s or None,
        pong_timeout_s=own.pong_timeout_s,
        close_timeout_s=own.close_timeout_s,
        inactivity_s=own.inactivity_s or None,
        stable_s=own.stable_s,
        max_message_bytes=own.max_message_bytes,
    )


class Line:
    """One connection that is to be up, over all its lives."""

    def __init__(self, dial: Dial, dialer: Dialer, surroundings: Surroundings) -> None:
        self._dial = dial
        self._dialer = dialer
        self._surroundings = surroundings
        self._log = surroundings.log.bind(source=dial.source_name, connection=dial.connection)
        self._clock = surroundings.clock
        self._draining = False
        self._over = False
        self._whole: asyncio.Timeout | None = None
        self._wait: asyncio.Timeout | None = None
        self._open = INGEST_CONNECTIONS.labels(dial.source_name)
        self._owned = INGEST_OWNED.labels(dial.source_name)
        self._protocol = dial.new_protocol()
        self._session = Session(dial.source_name, self._protocol, surroundings)

    async def run(self) -> None:
        """Keep the connection up until nothing more will come over it, or until drained."""
        self._owned.inc()
        try:
            async with asyncio.timeout(None) as self._whole:
                await self._live()
                while not (self._draining or self._over):
                    await self._unless_drained(asyncio.sleep(self._dial.rest_s))
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
        now_s = asyncio.get_running_loop().time()
        self._session.drain()
        if self._whole is not None:
            self._whole.reschedule(now_s + self._dial.policy.close_timeout_s)
        if self._wait is not None:
            self._wait.reschedule(now_s)

    def keep_alive(self) -> None:
        """Let quiet sessions write ALIVE."""
        self._session.keep_alive()

    async def _live(self) -> None:
        """Go through one life. Its sessions are closed at its end, whatever that was."""
        reason = None
        try:
            try:
                await self._keep_up()
            except (GivenUp, ConfigError) as error:
                reason = Reason.BUDGET_SPENT
                self._report(error)
                self._session.take(self._protocol.gave_up(self._clock.monotonic_s()))
        except Exception as error:  # noqa: BLE001 - one line's fault must not end the others
            reason = Reason.OTHER
            self._log.error("a source we call failed", seconds=self._dial.rest_s, exc_info=error)
            self._session.end(reason)
            self._protocol = self._dial.new_protocol()
            self._session = Session(self._dial.source_name, self._protocol, self._surroundings)
        finally:
            self._session.end(reason or (Reason.DRAIN if self._draining else Reason.OTHER))

    async def _keep_up(self) -> None:
        """Dial and serve until nothing more will come, or until drained. Raises `GivenUp` and `ConfigError`."""
        while not (self._draining or self._protocol.finished):
            connection = await self._unless_drained(self._dialer.connect())
            if connection is not None:
                await self._serve(connection)
        self._session.finish_drain()
        self._over = True
        self._log.info("a connection is no longer wanted", cause="drain" if self._draining else "all sessions ended")

    async def _serve(self, connection: Connection) -> None:
        self._open.inc()
        self._log.info("a connection is open", attempt=self._dialer.attempt)
        try:
            await self._session.run(connection)
        finally:
            self._open.dec()
            await connection.close(_GOING_AWAY if self._draining else _NORMAL, "")

    async def _unless_drained(self, waiting: Awaitable[T]) -> T | None:
        """Wait for something; None where a drain came first."""
        try:
            async with asyncio.timeout(None) as self._wait:
                return await waiting
        except TimeoutError:
            if self._draining:
                return None
            raise
        finally:
            self._wait = None

    def _report(self, error: GivenUp | ConfigError) -> None:
        """Say that no connection can be had, and for how long none is tried."""
        if isinstance(error, ConfigError):
            cause, attempts, status = "configuration", self._dialer.attempt, None
            self._log.error("the configuration is bad", mistakes=error.mistakes)
        else:
            cause, attempts, status = error.reason, error.attempts, error.status
        self._log.error(
            "a source cannot be reached; its sessions end, and it is tried again after a rest",
            cause=cause,
            attempt=attempts,
            status=status,
            seconds=self._dial.rest_s,
        )


class Dialling:
    """All lines of the process. `token` gives the bearer token of every dial; one OAuth client serves them all.

    Making it raises `ConfigError` for what cannot be dialled.
    """

    def __init__(self, dials: Iterable[Dial], surroundings: Surroundings, token: TokenSource | None) -> None:
        self._lines = [
            Line(dial, Dialer(dial.source_name, dial.url, dial.policy, surroundings.clock, token=token), surroundings)
            for dial in dials
        ]

    async def run(self) -> None:
        """Keep all lines up until they are drained, or until nothing more will come over any of them."""
        async with asyncio.TaskGroup() as tasks:
            for line in self._lines:
                tasks.create_task(line.run())

    def drain(self) -> None:
        """End all sessions the way their peers expect it; `run` returns within twice the longest close timeout."""
        for line in self._lines:
            line.drain()

    def keep_alive(self) -> None:
        """Let quiet sessions write ALIVE."""
        for line in self._lines:
            line.keep_alive()
