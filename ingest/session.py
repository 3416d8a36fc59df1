"""A protocol over its connection, with gate, sequencer and outlet. The shell around `ingest.protocol`.

The reader's path does nothing but parse, count, enqueue and answer: it never waits for Kafka. A source that calls us
has one connection: whatever ends it (the peer, the network, a deadline, this process, an error of ours), its sessions
are closed on the topics. A source we call has one after the other, and its sessions live on over them. Commands from
outside (a call more, one less, the end) act on the protocol at once, and what they say to the peer follows in order.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from uuid import UUID

from ingest.identity import Lineage, uuid7
from ingest.intake import Intake
from ingest.ledger import Ledger
from ingest.link import numbered
from ingest.outlet import Outlet
from ingest.pausing import Gate, PauseBook, PauseRules
from ingest.pressure import Pressure
from ingest.protocol import (
    AudioReceived,
    CloseConnection,
    Effect,
    Fact,
    GiveUp,
    Observed,
    PausableProtocol,
    SendBinary,
    SendText,
    SessionClosed,
    SourceProtocol,
)
from ingest.roll import Roll
from ingest.sequencer import Encoding, Sequencer
from ingest.withheld import SETTLE_S, Witness
from runtime.clock import Clock
from runtime.log import Logger
from runtime.metrics import (
    INGEST_BYTES,
    INGEST_FRAMES,
    INGEST_PONG_SECONDS,
)
from runtime.supervision import ConnectionLost
from schemas.symbols import ClosedBy, Reason

SEND_DEADLINE_S = 10.0
"""How long the peer may leave an answer unread before the connection counts as lost."""
_ABNORMAL, _OUR_FAULT = 1006, 1011
_FOR_THE_PEER = (SendText, SendBinary, CloseConnection)


class Transport(Protocol):
    """A connection that carries messages."""

    async def receive(self) -> str | bytes:
        """Return the next message. Cancelling loses none. Raises `ConnectionLost`."""

    async def send(self, message: str | bytes) -> None:
        """Send a message. Raises `ConnectionLost`."""

    async def close(self, code: int, reason: str) -> None:
        """Close the connection with this code; returns when it is closed."""


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
    roll: Roll = field(default_factory=Roll)
    pressure: Pressure = field(default_factory=Pressure)
    witness: Witness = field(default_factory=Witness)

    def new_id(self) -> UUID:
        """Return the id of a new session."""
        return uuid7(self.clock.wall_s(), secrets.token_bytes(10))


class Session:
    """The shell of one protocol: of a connection that was accepted, or of those dialled one after the other.

    `over` is told the keys of the sessions that the protocol has ended for good.
    """

    def __init__(
        self,
        source_name: str,
        protocol: SourceProtocol,
        surroundings: Surroundings,
        over: Callable[[str], None] | None = None,
    ) -> None:
        self._protocol = protocol
        self._pausable = protocol if isinstance(protocol, PausableProtocol) else None
        self._intake = Intake(
            Gate(surroundings.book, surroundings.rules),
            Sequencer(surroundings.encoding, surroundings.new_id, surroundings.lineage, surroundings.roll),
            surroundings.outlet,
            Ledger(source_name, surroundings.clock, surroundings.log),
            surroundings.clock,
        )
        self._pressure = surroundings.pressure
        self._witness = surroundings.witness
        self._waits_for: str | None = None
        self._clock = surroundings.clock
        self._log = surroundings.log
        self._source = source_name
        self._over = over
        self._frames = INGEST_FRAMES.labels(self._source)
        self._bytes = INGEST_BYTES.labels(self._source)
        self._pongs = INGEST_PONG_SECONDS.labels(self._source)
        self._serving = False
        self._waiting: deque[Effect] = deque()
        self._fault: Exception | None = None
        self._woken = False
        self._scope: asyncio.Timeout | None = None
        self._deadline_s: float | None = None
        self._drain_wanted = False
        self._given_up: GiveUp | None = None
        self._token_refused = False

    @property
    def serving(self) -> bool:
        """True while there is a connection."""
        return self._serving

    @property
    def given_up(self) -> GiveUp | None:
        """Why the protocol gave up the last connection; None where it did not."""
        return self._given_up

    @property
    def token_refused(self) -> bool:
        """True where the peer refused the token of the last connection in a message."""
        return self._token_refused

    async def run(self, transport: Transport, attempt: int = -1) -> None:
        """Serve a connection until it is over. `attempt`: which try in a row led to it, where we dialled it."""
        lost = ConnectionLost(_ABNORMAL, "", ClosedBy.LOCAL)
        self._serving, self._given_up, self._token_refused = True, None, False
        self._pressure.join(self._press)
        try:
            await self._serve(transport, attempt)
        except ConnectionLost as error:
            # without the frames it came through, one of which is this: only the collector would free them
            lost = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - one session's fault must not end the others
            self._failed(error)
            lost = ConnectionLost(_OUR_FAULT, "", ClosedBy.LOCAL)
            with suppress(ConnectionLost):
                await transport.close(_OUR_FAULT, "")
        finally:
            self._pressure.leave(self._press)
            self._wait_for(None)
            self._serving, self._woken, self._fault = False, False, None
            self._waiting.clear()
            self.take(self._protocol.disconnected(self._clock.monotonic_s(), lost.code, lost.reason, lost.closed_by))

    def command(self, act: Callable[[float], list[Effect]]) -> None:
        """Let the protocol do something at this time, whatever its connection does.

        Its facts are taken at once; what it says to the peer is sent as soon as that can be, and not without a
        connection. A fault ends the connection, as one in what the peer sent does.
        """
        try:
            effects = act(self._clock.monotonic_s())
            self.take(effects)
        except Exception as error:  # noqa: BLE001 - one session's fault must not end the others
            if not self._serving:
                self._failed(error)
            self._fault = error if self._serving else None
        else:
            if self._serving:
                self._waiting += effects
        self._wake()

    def hear(self, data: bytes) -> bool:
        """Take a message of audio at once, without a turn of the task that runs; False where it must be received.

        For transports, while `receive` waits and nothing that came before is unread: so the order stays.
        """
        if self._scope is None or self._woken:
            return False
        self._frames.inc()
        self._bytes.inc(len(data))
        try:
            effects = self._protocol.receive_binary(data, self._clock.monotonic_s())
            self.take(effects)
        except Exception as error:  # noqa: BLE001 - one session's fault must not end the others
            self._fault = error
        else:
            # audio alone asks nothing of the connection
            if len(effects) == 1 and isinstance(effects[0], AudioReceived) and self._waits_long_enough():
                return True
            self._waiting += effects
        self._wake()
        return True

    def hear_text(self, text: str, say: Callable[[str], bool]) -> bool:
        """Take a text at once, as `hear` does. `say` sends an answer, or refuses where sending would have to wait."""
        if self._scope is None or self._woken or self._waiting:
            return False
        arrived_s = self._clock.monotonic_s()
        try:
            effects = self._protocol.receive_text(text, arrived_s)
            self.take(effects)
        except Exception as error:  # noqa: BLE001 - one session's fault must not end the others
            self._fault = error
        else:
            for effect in effects:
                if isinstance(effect, _FOR_THE_PEER):
                    said = not self._waiting and isinstance(effect, SendText) and say(effect.text)
                    if not said:
                        self._waiting.append(effect)
            self._measure_text(effects, arrived_s)
            if not (self._waiting or self._protocol.finished or self._given_up or self._scope.expired()):
                self._scope.reschedule(self._wait_until())
                return True
        self._wake()
        return True

    def drain(self) -> None:
        """Let the protocol end its sessions the way the peer expects it."""
        if self._serving:
            self.command(self._protocol.drain)
        else:
            self._drain_wanted = True

    def finish_drain(self) -> None:
        """Drain now if no connection was there to do it over."""
        if self._drain_wanted:
            self._drain_wanted = False
            self.command(self._protocol.drain)

    def end(self, reason: Reason) -> None:
        """Close the sessions that are still open, without asking the protocol: it is of no more use."""
        for key in self._intake.open:
            self._intake.take(SessionClosed(key, reason, closed_by=ClosedBy.LOCAL))

    def keep_alive(self) -> None:
        """Write ALIVE for sessions that have been quiet for long, and wait no longer for what is not withheld."""
        self._look_for_witness()
        self._intake.keep_alive()

    def _press(self, on: bool) -> None:
        """Ask the peer for no audio, or for audio again, if that can be."""
        protocol = self._pausable
        if protocol is not None:
            self.command(protocol.pause if on else protocol.resume)
            self._look_for_witness()

    def _look_for_witness(self) -> None:
        """Wait for somebody else's word while audio is withheld, and no longer."""
        if self._serving and self._pausable is not None:
            withheld = self._pausable.withheld
            self._wait_for(None if withheld is None else withheld.conversation_id)

    def _wait_for(self, conversation_id: str | None) -> None:
        before, self._waits_for = self._waits_for, conversation_id
        if before == conversation_id:
            return
        if before is not None:
            self._witness.leave(before, self._hear_not_paused)
        if conversation_id is not None:
            self._log.warning(
                "audio is wanted again, but the peer's own pause holds",
                source=self._source,
                conversation=conversation_id,
            )
            self._witness.wait(conversation_id, self._hear_not_paused)

    def _hear_not_paused(self, as_of_s: float) -> None:
        """Ask for audio again where somebody knows that the peer's own pause is over."""
        protocol = self._pausable
        if protocol is not None:
            withheld = protocol.withheld
            if withheld is not None and as_of_s - withheld.since_s >= SETTLE_S:
                self.command(partial(protocol.resume, secure_is_over=True))
            self._look_for_witness()

    def _failed(self, error: Exception) -> None:
        self._log.error("a session failed", source=self._source, exc_info=error)

    async def _serve(self, transport: Transport, attempt: int) -> None:
        protocol = self._protocol
        await self._do(transport, numbered(protocol.connected(self._clock.monotonic_s()), attempt))
        self.finish_drain()
        while await self._go_on(transport):
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
            elif not self._woken:
                await self._do(transport, protocol.timeout(arrived_s))

    async def _go_on(self, transport: Transport) -> bool:
        """Send what commands left; tell whether anything more may come. Raises the fault of a command."""
        self._woken = False
        while self._waiting:
            await self._send(transport, self._waiting.popleft())
        if self._fault is not None:
            raise self._fault
        return not self._protocol.finished and self._given_up is None

    def _wake(self) -> None:
        """End a wait for the next message."""
        self._woken = self._serving
        # a deadline that passes in this very moment ends the wait as well
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    def _waits_long_enough(self) -> bool:
        """Tell whether the wait for the next message ends when the protocol wants it to."""
        return self._protocol.deadline_s() == self._deadline_s

    def _wait_until(self) -> float | None:
        """Return when the wait for the next message ends, on the loop's clock."""
        deadline_s = self._deadline_s = self._protocol.deadline_s()
        loop_s = asyncio.get_running_loop().time()
        return None if deadline_s is None else loop_s + deadline_s - self._clock.monotonic_s()

    def _measure_text(self, effects: list[Effect], arrived_s: float) -> None:
        """Count the audio a text carried, or how long its answer took."""
        for effect in effects:
            if isinstance(effect, AudioReceived):
                self._frames.inc()
                self._bytes.inc(len(effect.payload))
            elif isinstance(effect, SendText):
                self._pongs.observe(self._clock.monotonic_s() - arrived_s)

    async def _receive(self, transport: Transport) -> str | bytes | None:
        """Return the next message; None when the protocol's deadline has passed or a command woke it."""
        if self._woken:
            return None
        try:
            async with asyncio.timeout_at(self._wait_until()) as self._scope:
                return await transport.receive()
        except TimeoutError:
            return None
        finally:
            self._scope = None

    async def _do(self, transport: Transport, effects: list[Effect]) -> None:
        """Carry effects out: facts at once, then what goes to the peer, in order."""
        self.take(effects)
        for effect in effects:
            await self._send(transport, effect)

    async def _send(self, transport: Transport, effect: Effect) -> None:
        """Do what an effect asks of the connection; most ask nothing."""
        if isinstance(effect, SendText):
            await _send(transport, effect.text)
        elif isinstance(effect, SendBinary):
            await _send(transport, effect.data)
        elif isinstance(effect, CloseConnection):
            await transport.close(effect.code, effect.reason)

    def take(self, effects: Sequence[Effect]) -> None:
        """Enqueue the facts among effects, as far as they may be published, and count the rest. Never waits."""
        for effect in effects:
            if isinstance(effect, AudioReceived):
                self._intake.take_audio(effect)
            elif isinstance(effect, Observed):
                self._intake.observe(effect)
            elif isinstance(effect, GiveUp):
                self._given_up = effect
                self._token_refused = effect.token_refused
            elif isinstance(effect, CloseConnection):
                self._token_refused = self._token_refused or effect.token_refused
            elif isinstance(effect, Fact):
                self._intake.take(effect)
                if isinstance(effect, SessionClosed) and effect.reason is not Reason.BUDGET_SPENT and self._over:
                    self._over(effect.key)


async def _send(transport: Transport, message: str | bytes) -> None:
    try:
        async with asyncio.timeout(SEND_DEADLINE_S):
            await transport.send(message)
    except TimeoutError:
        raise ConnectionLost(_ABNORMAL, "", ClosedBy.TIMEOUT) from None
