"""A protocol over its connection, with gate, sequencer and outlet. The shell around `ingest.protocol`.

The reader's path does nothing but parse, count, enqueue and answer: it never waits for Kafka. A source that calls us
has one connection: whatever ends it (the peer, the network, a deadline, this process, an error of ours), its sessions
are closed on the topics. A source we call has one after the other, and its sessions live on over them.
"""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from ingest.identity import Lineage, uuid7
from ingest.outlet import Outlet
from ingest.pausing import Gate, PauseBook, PauseRules
from ingest.protocol import (
    AudioReceived,
    CloseConnection,
    Effect,
    Fact,
    Observation,
    Observed,
    SendBinary,
    SendText,
    SessionClosed,
    SessionOpened,
    SourceProtocol,
)
from ingest.sequencer import Encoding, Moment, Outgoing, Sequencer
from runtime.clock import Clock
from runtime.log import Logger
from runtime.metrics import (
    INGEST_BYTES,
    INGEST_DRIFT_SAMPLES,
    INGEST_DROPPED,
    INGEST_ENDED,
    INGEST_FRAMES,
    INGEST_OBSERVED,
    INGEST_PONG_SECONDS,
    INGEST_SESSIONS,
)
from runtime.supervision import ConnectionLost
from schemas.symbols import ClosedBy, Reason

SEND_DEADLINE_S = 10.0
"""How long the peer may leave an answer unread before the connection counts as lost."""
_ABNORMAL, _OUR_FAULT = 1006, 1011


class Transport(Protocol):
    """A connection that carries messages."""

    async def receive(self) -> str | bytes:
        """Return the next message. Cancelling loses none. Raises `ConnectionLost`."""

    async def send(self, message: str | bytes) -> None:
        """Send a message. Raises `ConnectionLost`."""

    async def close(self, code: int, reason: str) -> None:
        """Close the connection with this code; returns when it is closed."""


@dataclass(slots=True)
class _Account:
    """What the log line of a session says at its end."""

    opened_s: float
    conversation: str
    correlation: str | None
    frames: int = 0
    received_bytes: int = 0
    drift_samples: int = 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every connection of the process shares."""

    outlet: Outlet
    clock: Clock
    log: Logger
    encoding: Encoding
    lineage: Lineage = field(default_factory=Lineage)
    book: PauseBook = field(default_factory=PauseBook)
    rules: PauseRules = field(default_factory=PauseRules)

    def new_id(self) -> UUID:
        """Return the id of a new session."""
        return uuid7(self.clock.wall_s(), secrets.token_bytes(10))


class Session:
    """The shell of one protocol: of a connection that was accepted, or of those dialled one after the other."""

    def __init__(self, source_name: str, protocol: SourceProtocol, surroundings: Surroundings) -> None:
        self._protocol = protocol
        self._gate = Gate(surroundings.book, surroundings.rules)
        self._sequencer = Sequencer(surroundings.encoding, surroundings.new_id, surroundings.lineage)
        self._outlet = surroundings.outlet
        self._clock = surroundings.clock
        self._log = surroundings.log
        self._source = source_name
        self._frames = INGEST_FRAMES.labels(self._source)
        self._bytes = INGEST_BYTES.labels(self._source)
        self._pongs = INGEST_PONG_SECONDS.labels(self._source)
        self._accounts: dict[str, _Account] = {}
        self._scope: asyncio.Timeout | None = None
        self._drain_wanted = False

    async def run(self, transport: Transport) -> None:
        """Serve a connection until it is over."""
        lost = ConnectionLost(_ABNORMAL, "", ClosedBy.LOCAL)
        try:
            await self._serve(transport)
        except ConnectionLost as error:
            lost = error
        except Exception as error:  # noqa: BLE001 - one session's fault must not end the others
            self._log.error("a session failed", source=self._source, exc_info=error)
            lost = ConnectionLost(_OUR_FAULT, "", ClosedBy.LOCAL)
            with suppress(ConnectionLost):
                await transport.close(_OUR_FAULT, "")
        finally:
            self.take(self._protocol.disconnected(self._clock.monotonic_s(), lost.code, lost.reason, lost.closed_by))

    def drain(self) -> None:
        """Let the protocol end its sessions the way the peer expects it."""
        self._drain_wanted = True
        # a deadline that passes in this very moment ends the wait as well
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    def finish_drain(self) -> None:
        """Drain now if no connection was there to do it over."""
        if self._drain_wanted:
            self._drain_wanted = False
            self.take(self._protocol.drain(self._clock.monotonic_s()))

    def end(self, reason: Reason) -> None:
        """Close the sessions that are still open, without asking the protocol: it is of no more use."""
        self.take([SessionClosed(key, reason, closed_by=ClosedBy.LOCAL) for key in tuple(self._accounts)])

    def keep_alive(self) -> None:
        """Write ALIVE for sessions that have been quiet for long."""
        self._outlet.put(self._sequencer.keep_alive(self._now()))

    def _now(self) -> Moment:
        return Moment(self._clock.wall_s(), self._clock.monotonic_s())

    async def _serve(self, transport: Transport) -> None:
        protocol = self._protocol
        await self._do(transport, protocol.connected(self._clock.monotonic_s()))
        while not protocol.finished:
            message = await self._receive(transport)
            arrived_s = self._clock.monotonic_s()
            if isinstance(message, bytes):
                self._frames.inc()
                self._bytes.inc(len(message))
                await self._do(transport, protocol.receive_binary(message, arrived_s))
            elif message is not None:
                effects = protocol.receive_text(message, arrived_s)
                await self._do(transport, effects)
                self._measure_text(effects, arrived_s)
            elif self._drain_wanted:
                self._drain_wanted = False
                await self._do(transport, protocol.drain(arrived_s))
            else:
                await self._do(transport, protocol.timeout(arrived_s))

    def _measure_text(self, effects: list[Effect], arrived_s: float) -> None:
        """Count the audio a text carried, or how long its answer took."""
        for effect in effects:
            if isinstance(effect, AudioReceived):
                self._frames.inc()
                self._bytes.inc(len(effect.payload))
            elif isinstance(effect, SendText):
                self._pongs.observe(self._clock.monotonic_s() - arrived_s)

    async def _receive(self, transport: Transport) -> str | bytes | None:
        """Return the next message; None when the protocol's deadline has passed or a drain is wanted."""
        if self._drain_wanted:
            return None
        deadline_s = self._protocol.deadline_s()
        loop_s = asyncio.get_running_loop().time()
        when = None if deadline_s is None else loop_s + deadline_s - self._clock.monotonic_s()
        try:
            async with asyncio.timeout_at(when) as self._scope:
                return await transport.receive()
        except TimeoutError:
            return None
        finally:
            self._scope = None

    async def _do(self, transport: Transport, effects: list[Effect]) -> None:
        """Carry effects out: facts at once, then what goes to the peer, in order."""
        self.take(effects)
        for effect in effects:
            if isinstance(effect, SendText):
                await _send(transport, effect.text)
            elif isinstance(effect, SendBinary):
                await _send(transport, effect.data)
            elif isinstance(effect, CloseConnection):
                await transport.close(effect.code, effect.reason)

    def take(self, effects: Sequence[Effect]) -> None:
        """Enqueue the facts among effects, as far as they may be published, and count the rest. Never waits."""
        for effect in effects:
            if isinstance(effect, Observed):
                self._observe(effect)
            elif isinstance(effect, Fact):
                for passed in self._gate.take(effect, self._clock.monotonic_s()):
                    if isinstance(passed, AudioReceived):
                        self._take_audio(passed)
                    elif isinstance(passed, Observed):
                        self._observe(passed)
                    else:
                        self._take_fact(passed)

    def _take_fact(self, fact: Fact) -> None:
        if isinstance(fact, SessionClosed):
            self._ended(fact)
        self._outlet.put(self._sequencer.take(fact, self._now()))
        if isinstance(fact, SessionOpened):
            self._opened(fact)

    def _take_audio(self, audio: AudioReceived) -> None:
        room = self._outlet.has_room
        records: list[Outgoing] = self._sequencer.take(audio, self._now(), room=room)
        self._outlet.put(records)
        if not room:
            INGEST_DROPPED.labels("overflow").inc()
        account = self._accounts.get(audio.key)
        if account is not None:
            account.frames += 1
            account.received_bytes += len(audio.payload)

    def _observe(self, observed: Observed) -> None:
        if observed.what is Observation.DRIFT_SAMPLES:
            account = self._accounts.get(observed.key)
            if account is not None:
                INGEST_DRIFT_SAMPLES.labels(self._source).inc(abs(observed.amount - account.drift_samples))
                account.drift_samples = observed.amount
            return
        INGEST_OBSERVED.labels(self._source, observed.what.value).inc(observed.amount)
        if observed.detail:
            self._log.warning(
                "a peer broke its protocol", source=self._source, reason=observed.what.value, defect=observed.detail
            )

    def _opened(self, fact: SessionOpened) -> None:
        if fact.key in self._accounts:
            return
        INGEST_SESSIONS.labels(self._source).inc()
        self._accounts[fact.key] = _Account(
            self._clock.monotonic_s(), fact.info.conversation_id, fact.info.correlation_id
        )

    def _ended(self, fact: SessionClosed) -> None:
        account = self._accounts.pop(fact.key, None)
        if account is None:
            return
        INGEST_SESSIONS.labels(self._source).dec()
        INGEST_ENDED.labels(self._source, fact.reason.lower()).inc()
        write = self._log.info if fact.reason in (Reason.END, Reason.DRAIN) else self._log.warning
        write(
            "a session ended",
            source=self._source,
            session=self._sequencer.session_id(fact.key),
            conversation=account.conversation,
            correlation=account.correlation,
            reason=fact.reason.lower(),
            close_code=fact.code,
            seconds=round(self._clock.monotonic_s() - account.opened_s, 3),
            media_frames=account.frames,
            media_bytes=account.received_bytes,
            position_samples=fact.position_samples,
            drift_samples=account.drift_samples,
        )


async def _send(transport: Transport, message: str | bytes) -> None:
    try:
        async with asyncio.timeout(SEND_DEADLINE_S):
            await transport.send(message)
    except TimeoutError:
        raise ConnectionLost(_ABNORMAL, "", ClosedBy.TIMEOUT) from None
