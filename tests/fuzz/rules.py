"""What holds of an AudioHook session whatever the client does: a judge that watches one machine from outside."""

from ingest.protocol import (
    AudioReceived,
    CloseConnection,
    Effect,
    Fact,
    Mark,
    Observed,
    SendText,
    SessionClosed,
    SessionOpened,
)
from ingest.sources.audiohook.protocol import AudioHookProtocol
from ingest.sources.audiohook.states import LIVE_STATES, PAUSED_STATES, TRANSITIONS, State
from schemas.symbols import FrameKind
from simulators.audiohook import messages as platform
from tests.ingest.sources.audiohook.words import SESSION

STEPS = {(before, after) for (before, _), after in TRANSITIONS.items()}
MAY_SAY = {
    "opened": {(State.OPENING, State.ACTIVE)},
    "pong": {(state, state) for state in State if state not in (State.OPENING, State.CLOSED, State.GONE)},
    "pause": {(State.ACTIVE, State.ACTIVE), (State.PAUSED, State.ACTIVE), (State.PAUSED, State.PAUSED)},
    "resume": {(State.ACTIVE, State.ACTIVE), (State.PAUSED, State.PAUSED)},
    "closed": {(state, State.CLOSED) for state in State if state not in (State.CLOSED, State.GONE)},
}
"""Server message → the states before and after in which it may be said. `disconnect`: see `Judge`."""
DISCONNECTED = {State.DRAINING, State.DRAINING_PAUSED, State.DISCONNECTING}
MOVING = {FrameKind.RESUMED, FrameKind.DISCARDED}


class Judge:
    """Takes what a machine returns, and fails where the protocol or our topics would be broken by it."""

    def __init__(self, machine: AudioHookProtocol) -> None:
        self.machine = machine
        self.position = 0
        self.texts: list[platform.ServerMessage] = []
        self.facts: list[Fact] = []
        self.closing = False
        self._before = machine.state

    def take(self, effects: list[Effect], highest_client_seq: int) -> list[Effect]:
        """Look at the effects of one call of the machine."""
        before, self._before = self._before, self.machine.state
        assert before is self._before or (before, self._before) in STEPS
        for effect in effects:
            assert not self.closing or not isinstance(effect, SendText | CloseConnection)
            if isinstance(effect, SendText):
                self._text(effect.text, before, highest_client_seq)
            elif isinstance(effect, CloseConnection):
                self.closing = True
            elif isinstance(effect, Fact):
                self._fact(effect, before)
            else:
                assert isinstance(effect, Observed)
        assert self.machine.position_samples >= self.position
        assert self.machine.finished == (self.closing or self.machine.state is State.GONE)
        if self.facts:
            assert isinstance(self.facts[-1], SessionClosed) == (self._before not in LIVE_STATES)
        assert self.machine.deadline_s() is not None or self.machine.finished
        return effects

    def _text(self, text: str, before: State, highest_client_seq: int) -> None:
        # as strict as the platform reads it
        message = platform.parse(text, SESSION)
        said = [earlier.kind for earlier in self.texts]
        assert message.seq == len(said) + 1
        assert message.clientseq <= highest_client_seq
        if before is not State.DISCONNECTING:
            assert message.clientseq >= max((earlier.clientseq for earlier in self.texts), default=0)
        assert "closed" not in said
        if message.kind == "disconnect":
            assert "disconnect" not in said
            assert self.machine.state in DISCONNECTED
        else:
            assert (before, self.machine.state) in MAY_SAY[message.kind]
        if message.kind == "opened":
            assert "opened" not in said
        self.texts.append(message)

    def _fact(self, fact: Fact, before: State) -> None:
        assert fact.key == SESSION
        assert isinstance(fact, SessionOpened) == (not self.facts)
        assert not self.facts or not isinstance(self.facts[-1], SessionClosed)
        if isinstance(fact, AudioReceived):
            assert before not in PAUSED_STATES
            assert fact.payload
            assert fact.position_samples == self.position
            self.position += fact.duration_samples
        elif isinstance(fact, Mark):
            assert fact.position_samples == self.position
            assert (fact.duration_samples >= 0) == (fact.kind in MOVING)
            self.position += max(0, fact.duration_samples)
        elif isinstance(fact, SessionClosed):
            # a discard of nothing, or of less than a sample, leaves no mark
            assert fact.position_samples == self.position
        self.facts.append(fact)
