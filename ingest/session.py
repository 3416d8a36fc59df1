"""One connection: one socket, one protocol, its sequencer and the outlet. The shell around `ingest.protocol`.

The reader's path does nothing but parse, count, enqueue and answer: it never waits for Kafka. Whatever ends the
connection (the peer, the network, a deadline, this process, an error of ours), its sessions are closed on the topics.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from ingest.outlet import Outlet
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
from ingest.sequencer import Moment, Outgoing, Sequencer
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
    """What every connection of a source shares."""

    outlet: Outlet
    clock: Clock
    log: Logger
    source_name: str


class Session:
    """The shell of one connection."""

    def __init__(
        self,
        transport: Transport,
        protocol: SourceProtocol,
        sequencer: Sequencer,
        surroundings: Surroundings,
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        self._sequencer = sequencer
        self._outlet = surroundings.outlet
        self._clock = surroundings.clock
        self._log = surroundings.log
        self._source = surroundings.source_name
        self._frames = INGEST_FRAMES.labels(self._source)
        self._bytes = INGEST_BYTES.labels(self._source)
        self._pongs = INGEST_PONG_SECONDS.labels(self._source)
        self._accounts: dict[str, _Account] = {}
        self._scope: asyncio.Timeout | None = None
        self._drain_wanted = False

    async def run(self) -> None:
        """Serve the connection until it is over."""
        lost = ConnectionLost(_ABNORMAL, "", ClosedBy.LOCAL)
        try:
            await self._serve()
        except ConnectionLost as error:
            lost = error
        except Exception as error:  # noqa: BLE001 - one session's fault must not end the others
            self._log.error("a session failed", source=self._source, exc_info=error)
            lost = ConnectionLost(_OUR_FAULT, "", ClosedBy.LOCAL)
            with suppress(ConnectionLost):
                await self._transport.close(_OUR_FAULT, "")
        finally:
            self._take(self._protocol.disconnected(self._clock.monotonic_s(), lost.code, lost.reason, lost.closed_by))

    def drain(self) -> None:
        """Let the protocol end its sessions the way the peer expects it."""
        self._drain_wanted = True
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    def keep_alive(self) -> None:
        """Write ALIVE for sessions that have been quiet for long."""
        self._outlet.put(self._sequencer.keep_alive(self._now()))

    def _now(self) -> Moment:
        return Moment(self._clock.wall_s(), self._clock.monotonic_s())

    async def _serve(self) -> None:
        protocol = self._protocol
        await self._do(protocol.connected(self._clock.monotonic_s()))
        while not protocol.finished:
            message = await self._receive()
            arrived_s = self._clock.monotonic_s()
            if isinstance(message, bytes):
                self._frames.inc()
                self._bytes.inc(len(message))
                await self._do(protocol.receive_binary(message, arrived_s))
            elif message is not None:
                await self._do(protocol.receive_text(message, arrived_s))
                self._pongs.observe(self._clock.monotonic_s() - arrived_s)
            elif self._drain_wanted:
                self._drain_wanted = False
                await self._do(protocol.drain(arrived_s))
            else:
                await self._do(protocol.timeout(arrived_s))

    async def _receive(self) -> str | bytes | None:
        """Return the next message; None when the protocol's deadline has passed or a drain is wanted."""
        if self._drain_wanted:
            return None
        deadline_s = self._protocol.deadline_s()
        loop_s = asyncio.get_running_loop().time()
        when = None if deadline_s is None else loop_s + deadline_s - self._clock.monotonic_s()
        try:
            async with asyncio.timeout_at(when) as self._scope:
                return await self._transport.receive()
        except TimeoutError:
            return None
        finally:
            self._scope = None

    async def _do(self, effects: list[Effect]) -> None:
        """Carry effects out: facts at once, then what goes to the peer, in order."""
        self._take(effects)
        for effect in effects:
            if isinstance(effect, SendText):
                await self._send(effect.text)
            elif isinstance(effect, SendBinary):
                await self._send(effect.data)
            elif isinstance(effect, CloseConnection):
                await self._transport.close(effect.code, effect.reason)

    async def _send(self, message: str | bytes) -> None:
        try:
            async with asyncio.timeout(SEND_DEADLINE_S):
                await self._transport.send(message)
        except TimeoutError:
            raise ConnectionLost(_ABNORMAL, "", ClosedBy.TIMEOUT) from None

    def _take(self, effects: list[Effect]) -> None:
        """Enqueue the facts among effects and count the rest. Never waits."""
        for effect in effects:
            if isinstance(effect, AudioReceived):
                self._take_audio(effect)
            elif isinstance(effect, Observed):
                self._observe(effect)
            elif isinstance(effect, Fact):
                if isinstance(effect, SessionClosed):
                    self._ended(effect)
                self._outlet.put(self._sequencer.take(effect, self._now()))
                if isinstance(effect, SessionOpened):
                    self._opened(effect)

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
