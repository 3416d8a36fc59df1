"""When the answer to an input has come, and whose answer a message is: over one connection after the other. Pure.

Times are monotonic seconds.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from processors.cognigy.bridge.messages import Failure, Message
from processors.cognigy.events import BotEvent, BotInput, Complained, Ended, Outcome, Verdict

_IDS = 256
_TURNS = 32
_NOTHING = Verdict(Outcome.AMBIGUOUS, "no_answer", "the input was sent and not answered")
_LOST = Verdict(Outcome.AMBIGUOUS, "connection_lost", "the connection ended after the input was sent")
_CUT = Verdict(Outcome.ANSWERED, "cut_off", "the connection ended in the middle of the answer")
_ANSWERED = Verdict(Outcome.ANSWERED)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the first message of an answer may take, how long none ends it, and how long it may be. Seconds."""

    answer_s: float = 20.0
    quiet_s: float = 0.7
    longest_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Told:
    """What a message says, and whose answer it is: None, nobody's. `ended`: it ends the input under way."""

    events: tuple[BotEvent, ...]
    said: BotInput | None
    is_current: bool
    ended: Verdict | None = None


@dataclass(slots=True)
class Exchange:
    """The inputs and answers of one call."""

    limits: Limits
    _said: BotInput | None = None
    _sent_s: float = 0.0
    _last_s: float | None = None
    _late: BotInput | None = None
    _turns: OrderedDict[str, BotInput] = field(default_factory=OrderedDict)
    _ids: OrderedDict[str, None] = field(default_factory=OrderedDict)
    repeats: int = 0

    @property
    def wants_new_connection(self) -> bool:
        """Whether an answer may still come that could be taken for that of the next input."""
        return self._late is not None

    def begin(self, said: BotInput, now_s: float) -> None:
        """An input is sent."""
        self._said, self._sent_s, self._last_s = said, now_s, None
        self._turns[said.turn_id] = said
        while len(self._turns) > _TURNS:
            self._turns.popitem(last=False)

    def take(self, message: Message, now_s: float) -> Told | None:
        """Judge a message; None for one that says nothing, or says it again."""
        if message.id is not None and self._repeated(message.id):
            self.repeats += 1
            return None
        if message.event is None and not message.ends:
            return None
        owner = self._turns.get(message.turn_id) if message.turn_id is not None else None
        owner = owner or self._said or self._late
        current = owner is not None and owner is self._said
        if not current:
            return Told(_alone(message), owner, is_current=False) if message.event is not None else None
        self._last_s = now_s
        if isinstance(message.event, Failure):
            verdict = Verdict(Outcome.REFUSED, "bot_error", message.event.message, message.event.code)
            return Told((), owner, is_current=True, ended=verdict)
        events = () if message.event is None else (message.event,)
        return Told(events, owner, is_current=True, ended=_ANSWERED if message.ends else None)

    def due_s(self) -> float:
        """Return when the input under way is over, unless something comes before."""
        if self._last_s is None:
            return self._sent_s + self.limits.answer_s
        return min(self._last_s + self.limits.quiet_s, self._sent_s + self.limits.longest_s)

    def expired(self) -> Verdict:
        """Nothing came until it was due: say what that makes of the input."""
        if self._last_s is not None:
            return _ANSWERED
        self._late = self._said
        return _NOTHING

    def end(self) -> None:
        """The input under way is over, whatever came of it."""
        self._said = None

    def connected(self) -> None:
        """There is a new connection: nothing late can come over it, unless it says whose it is."""
        self._late = None

    def lost(self) -> Verdict:
        """The connection ended while an input was under way: say what that makes of it."""
        return _LOST if self._last_s is None else _CUT

    def _repeated(self, own: str) -> bool:
        if own in self._ids:
            return True
        self._ids[own] = None
        while len(self._ids) > _IDS:
            self._ids.popitem(last=False)
        return False


def _alone(message: Message) -> tuple[BotEvent, ...]:
    """Return the event of a message that ends no input."""
    if isinstance(message.event, Failure):
        return (Complained(message.event.message, message.event.code),)
    return () if message.event is None or isinstance(message.event, Ended) else (message.event,)
