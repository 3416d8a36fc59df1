"""What may be published while a call is paused: facts of its sessions → the facts that may go on. Pure.

Some sources say when a call is paused (AudioHook). Others do not: whether their audio, digits and texts may be
published follows from what the sessions that say it tell about the same conversation. The book of a process holds
what they told; the gate of a connection stands before its sequencer, and nothing of what it withholds comes out.

Withheld audio is a pause on the session's timeline: PAUSED where it begins, RESUMED with its length where it ends. So
its packets are not taken for lost: a mark ends the numbering's segment.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from ingest.identity import one_spelling
from ingest.protocol import (
    AudioReceived,
    EventReceived,
    Fact,
    Mark,
    Observation,
    Observed,
    SessionClosed,
    SessionOpened,
)
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, Codec, FrameKind, Reason

LATE_S = 5.0
"""For so long after a withheld stretch, audio from before it counts as of it too. What lies in it always does."""
_PAST_STRETCHES = 100
_PAST_CALLS = 100_000
_LONG_AGO = float("-inf")


class PauseState(Enum):
    """What is known about a conversation."""

    UNKNOWN = auto()
    ACTIVE = auto()
    PAUSED = auto()


@dataclass(slots=True)
class _Call:
    """What the sessions that state pauses told about one conversation. Times are monotonic seconds.

    `polled` are those of `paused` whose state is asked for now and then; `left_paused`: the last that said it by itself
    ended in a pause, at `left_s`.
    """

    paused: dict[tuple[object, str], bool] = field(default_factory=dict)
    polled: set[tuple[object, str]] = field(default_factory=set)
    left_paused: bool = False
    left_s: float = _LONG_AGO
    known_since_s: float = _LONG_AGO
    pause_ended_s: float = _LONG_AGO

    @property
    def state(self) -> PauseState:
        if self.left_paused or any(self.paused.values()):
            return PauseState.PAUSED
        return PauseState.ACTIVE if self.paused else PauseState.UNKNOWN

    def confirm(self, now_s: float, as_of_s: float | None) -> None:
        """Let what somebody says now, or what held at `as_of_s`, stand in place of the pause a session left behind."""
        if self.left_paused and (as_of_s is None or as_of_s > self.left_s):
            self.left_paused, self.pause_ended_s = False, now_s


class PauseBook:
    """Conversation → whether it is paused, as told by the sessions of this process that state pauses.

    A conversation is paused while any of them is. One whose last session ended in a pause stays paused until another
    session of it says what holds: nobody has said that the pause is over.

    What is polled counts like a session, but its word is as old as the question (`as_of_s`, monotonic; None: it is
    said now): a pause that a session left behind later than that stays.
    """

    def __init__(self, past_calls: int = _PAST_CALLS) -> None:
        self._limit = past_calls
        self._calls: dict[str, _Call] = {}
        self._past: OrderedDict[str, _Call] = OrderedDict()

    def opened(
        self, conversation: str, session: tuple[object, str], now_s: float, *, as_of_s: float | None = None
    ) -> None:
        """Take down a session that states pauses, once its own state is known; it counts as active until told."""
        call = self._calls.get(conversation)
        if call is None:
            call = self._calls[conversation] = self._past.pop(conversation, _Call())
            call.known_since_s = now_s
        call.confirm(now_s, as_of_s)
        call.paused[session] = False
        if as_of_s is not None:
            call.polled.add(session)

    def told(
        self,
        conversation: str,
        session: tuple[object, str],
        now_s: float,
        *,
        paused: bool,
        as_of_s: float | None = None,
    ) -> None:
        """Take down that a session is paused, or no longer."""
        call = self._calls[conversation]
        call.confirm(now_s, as_of_s)
        if call.paused[session] and not paused:
            call.pause_ended_s = now_s
        call.paused[session] = paused

    def closed(self, conversation: str, session: tuple[object, str], now_s: float) -> None:
        """Take down the end of a session."""
        call = self._calls[conversation]
        was_paused = call.paused.pop(session)
        call.polled.discard(session)
        if was_paused:
            call.pause_ended_s = now_s
            if call.paused.keys() == call.polled:
                call.left_paused, call.left_s = True, now_s
        if not call.paused:
            del self._calls[conversation]
            if call.pause_ended_s > _LONG_AGO:
                self._past[conversation] = call
            if len(self._past) > self._limit:
                self._past.popitem(last=False)

    def state(self, conversation: str) -> PauseState:
        """Return what is known about a conversation now."""
        return self._look(conversation).state

    def known_since_s(self, conversation: str) -> float:
        """Return when its state became known last."""
        return self._look(conversation).known_since_s

    def pause_ended_s(self, conversation: str) -> float:
        """Return when a pause of one of its sessions ended last."""
        return self._look(conversation).pause_ended_s

    def _look(self, conversation: str) -> _Call:
        return self._calls.get(conversation) or self._past.get(conversation) or _NOTHING


_NOTHING = _Call()


@dataclass(frozen=True, slots=True)
class PauseRules:
    """What the settings say: whether to publish while the state is unknown, and for how long texts are held back."""

    publish_when_unknown: bool = False
    resume_guard_s: float = 2.0


@dataclass(slots=True)
class _Stretch:
    """Audio withheld, from one position to where the last of it ends."""

    reason: Reason
    start: int
    stop: int
    last_s: float


@dataclass(frozen=True, slots=True)
class _Stating:
    """A session that states pauses. One with audio that is not paused is heard."""

    conversation: str
    has_audio: bool


@dataclass(slots=True)
class _Guarded:
    """A session that does not state pauses. `head` is where its published audio ends; positions are samples."""

    conversation: str
    head: int = 0
    stretch: _Stretch | None = None
    floor: int = 0
    floor_until_s: float = _LONG_AGO
    withheld: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_PAST_STRETCHES))


class Gate:
    """Stands before the sequencer of one connection, or of one dialled connection over all its lives."""

    def __init__(self, book: PauseBook, rules: PauseRules) -> None:
        self._book = book
        self._rules = rules
        self._stating: dict[str, _Stating] = {}
        self._in_book: set[str] = set()
        self._guarded: dict[str, _Guarded] = {}

    def passes(self, key: str) -> bool:
        """Tell whether audio of a session goes on as it is: it states its pauses, and it is in the book."""
        return key in self._in_book

    def take(self, fact: Fact, now_s: float) -> list[Fact | Observed]:
        """Return what of a fact may go on, with the marks that stand for what may not. `now_s` is monotonic."""
        if isinstance(fact, SessionOpened):
            self._open(fact)
            return [fact]
        guarded = self._guarded.get(fact.key)
        if guarded is None:
            self._note(fact, now_s)
            return [fact]
        if isinstance(fact, AudioReceived):
            return self._audio(guarded, fact, now_s)
        if isinstance(fact, EventReceived):
            return self._event(guarded, fact, now_s)
        if isinstance(fact, SessionClosed):
            return [self._close(guarded, fact, now_s)]
        return self._mark(guarded, fact) if isinstance(fact, Mark) else [fact]

    def _open(self, fact: SessionOpened) -> None:
        if fact.key in self._stating or fact.key in self._guarded:
            return
        conversation = one_spelling(fact.info.conversation_id)
        if fact.states_pauses:
            self._stating[fact.key] = _Stating(conversation, fact.codec is not Codec.UNKNOWN)
        else:
            self._guarded[fact.key] = _Guarded(conversation)

    def _note(self, fact: Fact, now_s: float) -> None:
        """Keep the book by a fact of a session that states pauses.

        A session that opens in a pause may say so late or never, but brings no audio: its audio or a mark of pauses
        shows its state; where it has no audio at all, any mark does.
        """
        stating = self._stating.get(fact.key)
        if stating is None:
            return
        conversation = stating.conversation
        if isinstance(fact, AudioReceived | Mark):
            kind = fact.kind if isinstance(fact, Mark) else FrameKind.AUDIO
            told = kind in (FrameKind.PAUSED, FrameKind.RESUMED)
            shown = told or kind is FrameKind.AUDIO or not stating.has_audio
            if shown and fact.key not in self._in_book:
                self._in_book.add(fact.key)
                self._book.opened(conversation, (self, fact.key), now_s)
            if told:
                self._book.told(conversation, (self, fact.key), now_s, paused=kind is FrameKind.PAUSED)
        elif isinstance(fact, SessionClosed):
            del self._stating[fact.key]
            if fact.key in self._in_book:
                self._in_book.remove(fact.key)
                self._book.closed(conversation, (self, fact.key), now_s)

    def _why_not(self, conversation: str) -> Reason | None:
        """Return the reason of a pause that holds now; None where all may be published."""
        state = self._book.state(conversation)
        if state is PauseState.PAUSED:
            return Reason.SECURE_PAUSE
        if state is PauseState.UNKNOWN and not self._rules.publish_when_unknown:
            return Reason.OTHER
        return None

    def _audio(self, guarded: _Guarded, fact: AudioReceived, now_s: float) -> list[Fact | Observed]:
        reason = self._why_not(guarded.conversation)
        # where the length is not known, one sample: enough to know the packet again
        stop = fact.position_samples + max(1, fact.duration_samples)
        stretch = guarded.stretch
        if reason is not None:
            withheld: list[Fact | Observed] = [Observed(Observation.AUDIO_WHILE_PAUSED, key=fact.key)]
            if stretch is None or stretch.reason is not reason:
                start = max(fact.position_samples, guarded.head)
                if stretch is not None:
                    start = max(start, stretch.stop)
                    withheld.append(self._resume(guarded, fact.key, stretch, start))
                withheld.append(Mark(fact.key, FrameKind.PAUSED, reason, start))
                stretch = guarded.stretch = _Stretch(reason, start, start, now_s)
            stretch.stop = max(stretch.stop, stop)
            stretch.last_s = now_s
            return withheld
        if self._is_of_a_pause(guarded, fact.position_samples, stop, now_s):
            return [Observed(Observation.AUDIO_WHILE_PAUSED, key=fact.key)]
        guarded.head = max(guarded.head, fact.position_samples + max(0, fact.duration_samples))
        if stretch is None:
            return [fact]
        return [self._resume(guarded, fact.key, stretch, max(fact.position_samples, stretch.stop)), fact]

    def _is_of_a_pause(self, guarded: _Guarded, start: int, stop: int, now_s: float) -> bool:
        """Tell whether audio that comes now was said in a pause that is over: a reconnected peer may send it again."""
        stretch = guarded.stretch
        if stretch is None:
            late = start < guarded.floor and now_s < guarded.floor_until_s
        else:
            late = start < stretch.stop and now_s - stretch.last_s < LATE_S
            late = late or (start < stretch.stop and stop > stretch.start)
        return late or any(start < end and stop > begin for begin, end in guarded.withheld)

    def _mark(self, guarded: _Guarded, fact: Mark) -> list[Fact | Observed]:
        """A gap stands beside withheld audio, not in it: each consumer then books both at their lengths."""
        if fact.position_samples < 0 or fact.kind not in (FrameKind.GAP, FrameKind.DISCARDED):
            return [fact]
        guarded.head = max(guarded.head, fact.position_samples + max(0, fact.duration_samples))
        stretch = guarded.stretch
        if stretch is None:
            return [fact]
        return [self._resume(guarded, fact.key, stretch, max(fact.position_samples, stretch.stop)), fact]

    def _resume(self, guarded: _Guarded, key: str, stretch: _Stretch, end: int) -> Mark:
        """End a stretch where the next mark or audio begins."""
        guarded.stretch = None
        guarded.floor, guarded.floor_until_s = end, stretch.last_s + LATE_S
        guarded.withheld.append((stretch.start, end))
        return Mark(key, FrameKind.RESUMED, stretch.reason, stretch.start, end - stretch.start)

    def _event(self, guarded: _Guarded, fact: EventReceived, now_s: float) -> list[Fact | Observed]:
        if not self._silent(guarded.conversation, now_s, said_s=fact.said_s):
            return [fact]
        if _holds_content(fact.event):
            return [Observed(Observation.EVENT_WHILE_PAUSED, key=fact.key)]
        # a peer's own words may quote what was said
        return [replace(fact, event=replace(fact.event, message=None))]

    def _silent(self, conversation: str, now_s: float, *, said_s: float | None = None) -> bool:
        """Tell whether texts are withheld now: while audio is, and a while after; `said_s`: what was said then."""
        if self._why_not(conversation) is not None:
            return True
        since_s = self._book.pause_ended_s(conversation)
        if not self._rules.publish_when_unknown:
            since_s = max(since_s, self._book.known_since_s(conversation))
        return (now_s if said_s is None else said_s) - since_s < self._rules.resume_guard_s

    def _close(self, guarded: _Guarded, fact: SessionClosed, now_s: float) -> SessionClosed:
        del self._guarded[fact.key]
        if self._silent(guarded.conversation, now_s):
            fact = replace(fact, message=None)
        if guarded.stretch is None:
            return fact
        return replace(fact, position_samples=max(fact.position_samples, guarded.stretch.stop))


def _holds_content(event: CallEvent) -> bool:
    """Tell whether an event says what was said or pressed, or that something was. An error's data may quote it."""
    spoken = event.kind in (CallEventKind.TRANSCRIPT, CallEventKind.INTENT, CallEventKind.DTMF)
    return spoken or any(part is not None for part in (event.digit, event.text, event.intent, event.data_json))
