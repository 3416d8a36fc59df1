"""Facts of a protocol → records in the outlet, as far as the gate lets them pass, and what is counted on the way.

It never waits: audio that finds no room is dropped, and the sequencer announces the gap. It knows no connection.
"""

from ingest.ledger import Ledger
from ingest.outlet import Outlet
from ingest.pausing import Gate
from ingest.protocol import AudioReceived, Fact, Observed, SessionClosed, SessionOpened
from ingest.sequencer import Moment, Sequencer
from runtime.clock import Clock
from runtime.metrics import INGEST_DROPPED


class Intake:
    """Takes what one protocol says of its sessions."""

    def __init__(self, gate: Gate, sequencer: Sequencer, outlet: Outlet, ledger: Ledger, clock: Clock) -> None:
        self._gate = gate
        self._sequencer = sequencer
        self._outlet = outlet
        self._ledger = ledger
        self._clock = clock

    @property
    def open(self) -> tuple[str, ...]:
        """The keys of the sessions that are open."""
        return self._ledger.open

    def observe(self, observed: Observed) -> None:
        """Count what is no record."""
        self._ledger.observe(observed)

    def take_audio(self, audio: AudioReceived) -> None:
        """Enqueue audio if it may be published; the gate counts what may not."""
        if self._gate.passes(audio.key):
            self._enqueue_audio(audio)
        else:
            self.take(audio)

    def take(self, fact: Fact) -> None:
        """Enqueue a fact, and what the gate makes of it or lets go with it."""
        for passed in self._gate.take(fact, self._clock.monotonic_s()):
            if isinstance(passed, AudioReceived):
                self._enqueue_audio(passed)
            elif isinstance(passed, Observed):
                self._ledger.observe(passed)
            else:
                self._enqueue(passed)

    def keep_alive(self) -> None:
        """Write ALIVE for sessions that have been quiet for long."""
        self._outlet.put(self._sequencer.keep_alive(self._now()))

    def _enqueue(self, fact: Fact) -> None:
        if isinstance(fact, SessionClosed):
            self._ledger.closed(fact, self._sequencer.session_id(fact.key))
        self._outlet.put(self._sequencer.take(fact, self._now()))
        if isinstance(fact, SessionOpened):
            self._ledger.opened(fact, self._sequencer.session_id(fact.key))

    def _enqueue_audio(self, audio: AudioReceived) -> None:
        room = self._outlet.has_room
        self._outlet.put(self._sequencer.take(audio, self._now(), room=room))
        if not room:
            INGEST_DROPPED.labels("overflow").inc()
        self._ledger.heard(audio)

    def _now(self) -> Moment:
        return Moment(self._clock.wall_s(), self._clock.monotonic_s())
