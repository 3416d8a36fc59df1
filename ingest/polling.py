"""Which conversation to ask about when: those watched and the limits → the next question. Pure.

Each is asked every interval, the longest waiting first and a new one before all others. Questions are spread evenly:
never more than the rate allows, never more at once than the limit. Where there are more conversations than the rate
allows questions within an interval, each waits its turn: a round takes `Polls.round_s`. Times are monotonic seconds.
"""

import math
from dataclasses import dataclass

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How often the platform is asked, and how long what it said holds.

    `window_s`: so long after its end a conversation still has media. `stale_s`: an answer older than that says nothing.
    """

    interval_s: float = 5.0
    per_minute: int = 240
    concurrency: int = 8
    window_s: float = 60.0
    stale_s: float = 15.0


@dataclass(slots=True, eq=False)
class Watched:
    """A conversation, when it is to be asked about, and since when what was answered holds (None: never).

    `told`: its answers stand in the book of pauses. `refused`: the last question's token was refused.
    """

    conversation: str
    due_s: float = -math.inf
    asked_s: float | None = None
    as_of_s: float | None = None
    told: bool = False
    refused: bool = False


class Polls:
    """The conversations of a process, and the questions under way."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._spacing_s = _MINUTE_S / limits.per_minute
        self._watched: dict[str, Watched] = {}
        self._not_before_s = -math.inf
        self._under_way = 0

    def __len__(self) -> int:
        return len(self._watched)

    @property
    def round_s(self) -> float:
        """How long it takes to ask about each once, at least."""
        return max(self._limits.interval_s, len(self._watched) * self._spacing_s)

    def watch(self, conversation: str) -> None:
        """Ask about a conversation from now on. Does nothing where that is done already."""
        self._watched.setdefault(conversation, Watched(conversation))

    def unwatch(self, conversation: str) -> Watched | None:
        """Ask no more, and return what there was."""
        return self._watched.pop(conversation, None)

    def is_watched(self, watched: Watched) -> bool:
        """Tell whether this one is still asked about: an answer may come after its end, or after a new beginning."""
        return self._watched.get(watched.conversation) is watched

    def take(self, now_s: float) -> Watched | None:
        """Return whom to ask about now, and count the question; None while it is nobody's turn."""
        if now_s < self._not_before_s or self._under_way >= self._limits.concurrency:
            return None
        idle = [watched for watched in self._watched.values() if watched.asked_s is None]
        first = min(idle, key=lambda watched: watched.due_s, default=None)
        if first is None or first.due_s > now_s:
            return None
        first.asked_s = now_s
        self._under_way += 1
        self._not_before_s = now_s + self._spacing_s
        return first

    def wait_s(self, now_s: float) -> float:
        """Return how long nothing is to be done, unless a question ends or something is watched; may be infinite."""
        idle = [watched.due_s for watched in self._watched.values() if watched.asked_s is None]
        old = [self._stale_at_s(watched) for watched in self._watched.values() if watched.told]
        ask_s = math.inf
        if idle and self._under_way < self._limits.concurrency:
            ask_s = max(min(idle), self._not_before_s)
        return max(0.0, min(ask_s, *old, math.inf) - now_s)

    def hold(self, until_s: float) -> None:
        """Ask nothing before this time: the platform wants it so."""
        self._not_before_s = max(self._not_before_s, until_s)

    def answered(self, watched: Watched, sent_s: float, now_s: float) -> float | None:
        """Take down an answer to what was sent at `sent_s`.

        Returns how old the answer before it had become, None where there was none: a change of the platform's state was
        known at most so long after it.
        """
        before_s, watched.as_of_s = watched.as_of_s, sent_s
        return None if before_s is None else now_s - before_s

    def done(self, watched: Watched, now_s: float, *, again: bool = False) -> None:
        """End a question, whatever came of it. The next one is an interval after it, or at once (`again`)."""
        self._under_way -= 1
        asked_s, watched.asked_s = watched.asked_s, None
        watched.due_s = now_s if again or asked_s is None else max(now_s, asked_s + self._limits.interval_s)

    def stale(self, now_s: float) -> list[Watched]:
        """Return those whose last answer is too old to stand in the book, once each."""
        found = [watched for watched in self._watched.values() if watched.told and self._stale_at_s(watched) <= now_s]
        for watched in found:
            watched.told = False
        return found

    def _stale_at_s(self, watched: Watched) -> float:
        return -math.inf if watched.as_of_s is None else watched.as_of_s + self._limits.stale_s
