"""Audio without numbers → positions on its session's media clock, by when it arrives. Pure.

Audio is placed behind the audio before it. The clock runs with the arrival: it stands where audio that is not delayed
ends now, 0 at the beginning of the first. Audio that comes ahead of it sets it to its own end, so it follows the least
delayed audio, and no audio ends ahead of it.

After a lost connection, or a pause in delivery of more than `PAUSE_S`, or once the audio has fallen more than that
behind the clock, the stream is settling: what comes may be held up or live. It is placed behind the audio before it
until a window of arrival tells, and marked late where it ends more than `TOLERANCE_S` behind the clock. A window lasts
`WINDOW_S`, and on until something comes. One that brought `CATCHING_UP` times its own length or more is of audio that
was held up; less is a live stream, and the stream has settled. What it then still lies behind the clock is missing: a
gap, if it is more than the tolerance, and the audio goes on where the clock has it. A window that brought less than
`STALLED` of its length says neither, because what was held up often comes in two goes; a second of those is live too.
"""

from typing import Final, NamedTuple

from schemas.symbols import Reason

PAUSE_S: Final = 1.0
"""A pause in delivery that is longer may hide a loss. So may a clock that is so far ahead."""
TOLERANCE_S: Final = 0.2
"""Audio that ends no more than this behind the clock is neither late nor behind a gap."""
WINDOW_S: Final = 0.1
CATCHING_UP: Final = 1.5
STALLED: Final = 0.5


class Gap(NamedTuple):
    """Missing media. `duration_samples` -1: not knowable. `estimated`: the length comes from arrival times."""

    reason: Reason
    start_samples: int
    duration_samples: int
    estimated: bool


class Placed(NamedTuple):
    """Where audio lies, and the gap that ends there: RECONNECT or LOST_IN_NETWORK. `late`: it was held up."""

    position_samples: int
    gap: Gap | None = None
    late: bool = False


class _Settling:
    """A stream of which nobody knows yet whether it is live. Lengths of time in seconds, lengths of audio in samples.

    `least_behind` is how far the window's least delayed audio ended behind the clock.
    """

    __slots__ = ("brought", "least_behind", "reason", "since_s", "window_s")

    def __init__(self, reason: Reason, now_s: float) -> None:
        self.reason = reason
        self.since_s = now_s
        self.open_window(now_s)

    def open_window(self, now_s: float) -> None:
        self.window_s = now_s
        self.brought = 0
        self.least_behind: int | None = None

    def take(self, duration: int, behind: int) -> None:
        self.brought += duration
        self.least_behind = behind if self.least_behind is None else min(self.least_behind, behind)


class Arrival:
    """The media clock of one session."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.head_samples = 0
        """Position behind the last sample."""
        self.begun = False
        """True once there was audio."""
        self._rate_hz = sample_rate_hz
        self._zero_s = 0.0
        self._last_s = 0.0
        self._last_samples = 0
        self._interrupted = False
        self._settling: _Settling | None = None

    def interrupt(self) -> None:
        """Take the loss of the connection: what is missing is known some audio later."""
        self._interrupted = self.begun

    def place(self, duration_samples: int, now_s: float) -> Placed:
        """Return where audio of a length lies that came at `now_s`. A negative length is not known, and counts as 0."""
        duration = max(0, duration_samples)
        if not self.begun:
            self.begun = True
            self._zero_s = self._last_s = now_s
        gap = self._look(duration, now_s)
        position = self.head_samples
        self.head_samples += duration
        self._last_s, self._last_samples = max(now_s, self._last_s), duration
        behind = self._behind(now_s)
        if behind < 0:
            self._zero_s, behind = now_s - self.head_samples / self._rate_hz, 0
        if self._settling is None:
            return Placed(position, gap)
        self._settling.take(duration, behind)
        return Placed(position, gap, late=behind > TOLERANCE_S * self._rate_hz)

    def missing(self) -> Gap | None:
        """Return what is missing behind the last audio, as far as is known where the session ends now."""
        if self._interrupted:
            return Gap(Reason.RECONNECT, self.head_samples, -1, estimated=False)
        settling = self._settling
        return None if settling is None else self._gap(settling)

    def _behind(self, now_s: float) -> int:
        """Return how far the audio so far ends behind the clock."""
        return round((now_s - self._zero_s) * self._rate_hz) - self.head_samples

    def _look(self, duration: int, now_s: float) -> Gap | None:
        """Begin or end settling before audio is placed; return the gap that was found, with the head behind it."""
        rate_hz, settling, gap = self._rate_hz, self._settling, None
        paused = now_s - self._last_s - self._last_samples / rate_hz > PAUSE_S
        if settling is not None and self._is_live(settling, now_s, paused=paused):
            gap, self._settling = self._gap(settling), None
            self.head_samples += 0 if gap is None else gap.duration_samples
        if self._interrupted or paused:
            lost = self._interrupted or (self._settling is not None and self._settling.reason is Reason.RECONNECT)
            self._settling = _Settling(Reason.RECONNECT if lost else Reason.LOST_IN_NETWORK, now_s)
            self._interrupted = False
        elif self._settling is None and self._behind(now_s) - duration > PAUSE_S * rate_hz:
            self._settling = _Settling(Reason.LOST_IN_NETWORK, now_s)
        return gap

    def _is_live(self, settling: _Settling, now_s: float, *, paused: bool) -> bool:
        """Tell whether the window before this audio shows a live stream; open the next one where it is over."""
        lasted = round((now_s - settling.window_s) * self._rate_hz)
        if lasted < WINDOW_S * self._rate_hz:
            return False
        pace = settling.brought / lasted
        stalled = pace < STALLED and (paused or self._interrupted or now_s - settling.since_s < PAUSE_S)
        if pace < CATCHING_UP and not stalled:
            return True
        settling.open_window(now_s)
        return False

    def _gap(self, settling: _Settling) -> Gap | None:
        missing = settling.least_behind or 0
        if missing <= TOLERANCE_S * self._rate_hz:
            return None
        return Gap(settling.reason, self.head_samples, missing, estimated=True)
