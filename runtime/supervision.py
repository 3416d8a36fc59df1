"""When a connection we dial is tried again, and when it is given up. Pure: gets times and draws, returns decisions.

An attempt is one dial. Attempts in a row are counted until a connection proves stable: it brought a message and lived
for `stable_s`. Between them stands full jitter: a wait drawn evenly from 0 to a bound that doubles up to a longest one
(Exponential Backoff And Jitter, AWS Architecture Blog, 2015), so that many clients of one peer do not come at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from schemas.symbols import ClosedBy

_NORMAL_CODES = (1000, 1001)
_LARGEST_POWER = 62
"""Beyond this power of two the longest wait has long been reached."""


class ConnectionLost(Exception):
    """The connection is over: close code (1006 when no close frame was seen), its reason, and who ended it."""

    def __init__(self, code: int, reason: str, closed_by: ClosedBy) -> None:
        super().__init__(f"closed with {code}")
        self.code = code
        self.reason = reason
        self.closed_by = closed_by


class GivenUp(Exception):
    """The peer is not dialled again without the operator.

    `reason` is "attempts", "unauthorized", "forbidden", "not found" or "refused" (any other answer that a repetition
    would not change); `attempts` those made in a row; `status` that of the last answer, None where none came.
    """

    def __init__(self, reason: str, attempts: int, status: int | None) -> None:
        answer = "" if status is None else f", last answer {status}"
        super().__init__(f"given up after {attempts} attempts: {reason}{answer}")
        self.reason = reason
        self.attempts = attempts
        self.status = status


@dataclass(frozen=True, slots=True)
class Policy:
    """How a peer is dialled and kept. Lengths of time in seconds."""

    attempts: int = 5
    """Dials in a row before giving up, at least 1; 2 where a token may expire."""
    first_delay_s: float = 1.0
    longest_delay_s: float = 30.0
    open_timeout_s: float = 10.0
    """For name, TCP, TLS and handshake together."""
    ping_interval_s: float | None = 30.0
    """None: no ping of ours; the peer's are answered in any case."""
    pong_timeout_s: float = 10.0
    """No answer to a ping, or a message of ours not taken, for so long: the connection counts as dead."""
    close_timeout_s: float = 5.0
    inactivity_s: float | None = None
    """No message for so long: the connection counts as dead."""
    stable_s: float = 10.0
    max_message_bytes: int = 2**20


@dataclass(frozen=True, slots=True)
class Again:
    """Dial, but not before `at_s` (monotonic)."""

    at_s: float


Decision = Again | GivenUp
"""What to do next. A `GivenUp` is for the shell to raise."""

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 401, 403, 404, 429, 500
_FINAL: Mapping[int, str] = MappingProxyType({_FORBIDDEN: "forbidden", _NOT_FOUND: "not found"})


class Supervisor:
    """The state of one peer: attempts in a row, the wait before the next, whether a token was refused.

    Each step takes the monotonic time; steps that may lead to a wait also take a draw from [0, 1).
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._attempt = 0
        self._waits = 0
        self._unauthorized = False
        self._opened_s = 0.0

    @property
    def attempt(self) -> int:
        """Dials since the last stable connection, the present one included."""
        return self._attempt

    def start(self, now_s: float) -> Again:
        """Begin with the whole budget and no wait: at first, and after giving up."""
        self._forget()
        return Again(now_s)

    def dialled(self) -> None:
        """Count a dial that begins now."""
        self._attempt += 1

    def opened(self, now_s: float) -> None:
        """Note that the dial led to a connection."""
        self._opened_s = now_s
        self._unauthorized = False

    def failed(self, now_s: float, draw: float, retry_after_s: float | None = None) -> Decision:
        """Decide after a dial without an answer: no name, no connection, no TLS, no handshake in time, no token."""
        return self._again(now_s, draw, None, retry_after_s)

    def refused(
        self, status: int, now_s: float, draw: float, *, has_token: bool, retry_after_s: float | None = None
    ) -> Decision:
        """Decide after a dial that was answered with an HTTP status other than 101.

        A token that is refused (401) may have expired: the shell invalidates it, and one new one is tried. `has_token`:
        the dial carried a token, so a new one can be had.
        """
        if status == _UNAUTHORIZED:
            if self._unauthorized or not has_token:
                return self._give_up("unauthorized", status)
            self._unauthorized = True
        elif status != _TOO_MANY and status < _SERVER_ERROR:
            return self._give_up(_FINAL.get(status, "refused"), status)
        return self._again(now_s, draw, status, retry_after_s)

    def lost(self, now_s: float, draw: float, lost: ConnectionLost, *, messages: int) -> Decision:
        """Decide after a connection that brought so many messages.

        One we closed ourselves as planned (1000, 1001) is no failed attempt; it still waits before the next dial.
        """
        if messages > 0 and now_s - self._opened_s >= self._policy.stable_s:
            self._forget()
        elif lost.closed_by is ClosedBy.LOCAL and lost.code in _NORMAL_CODES:
            self._attempt -= 1
            return Again(now_s + draw * self._bound_s())
        return self._again(now_s, draw, None, None)

    def _forget(self) -> None:
        self._attempt = self._waits = 0
        self._unauthorized = False

    def _bound_s(self) -> float:
        policy = self._policy
        return min(policy.longest_delay_s, policy.first_delay_s * 2.0 ** min(self._waits, _LARGEST_POWER))

    def _again(self, now_s: float, draw: float, status: int | None, retry_after_s: float | None) -> Decision:
        if self._attempt >= self._policy.attempts:
            return self._give_up("attempts", status)
        delay_s = (retry_after_s or 0.0) + draw * self._bound_s()
        self._waits += 1
        return Again(now_s + delay_s)

    def _give_up(self, reason: str, status: int | None) -> GivenUp:
        return GivenUp(reason, self._attempt, status)
