"""When a connection we dial is tried again, and when it is given up. Pure: gets times and draws, returns decisions.

An attempt is one dial. Attempts in a row are counted until a connection proves stable: it brought a message and lived
for `stable_s`, whoever ended it then. One that ends because the peer fell silent lived until its last message: a peer
that answers and says nothing more, on each connection, is not stable. Between attempts stands full jitter: a wait drawn
evenly from 0 to a bound that doubles up to a longest one (Exponential Backoff And Jitter, AWS Architecture Blog, 2015),
so that many clients of one peer do not come at once.
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
    would not change); `attempts` those made in a row; `status` that of the last answer, None where none came; `meaning`
    what it means in the operator's words, with the scope, the id or the client concerned.
    """

    def __init__(self, reason: str, attempts: int, status: int | None, meaning: str = "") -> None:
        answer = "" if status is None else f", last answer {status}"
        super().__init__(f"given up after {attempts} attempts: {reason}{answer}{meaning and '; '}{meaning}")
        self.reason = reason
        self.attempts = attempts
        self.status = status
        self.meaning = meaning


@dataclass(frozen=True, slots=True)
class Claim:
    """What a peer is asked for, as it is named to the operator when the peer refuses it."""

    scope: str = ""
    """What the OAuth client has to be allowed."""
    subject: str = ""
    """What the URL names, with its id: "the conversation c-1"."""
    client: str = "the OAuth client"
    """Whose tokens are used: the client, or the settings that name it."""

    def refused(self, reason: str, *, has_token: bool) -> str:
        """Return what a final answer means, in words for the operator."""
        if reason == "unauthorized" and has_token:
            return f"a token was refused and then a new one: check {self.client}"
        if reason == "unauthorized":
            return f"a token is demanded and none was sent: configure {self.client}"
        if reason == "forbidden":
            return f"{self.client} lacks the scope {self.scope or 'this peer demands'}"
        if reason == "not found":
            return f"the peer does not know {self.subject or 'what the URL names'}"
        return "the peer does not want this connection, and would not the next time"


@dataclass(frozen=True, slots=True)
class Policy:
    """How a peer is dialled and kept. Lengths of time in seconds."""

    attempts: int = 5
    """Dials in a row before giving up, at least 1; 2 where a token may expire."""
    first_delay_s: float = 1.0
    longest_delay_s: float = 30.0
    start_spread_s: float = 0.0
    """The first dial waits a random part of this: many processes may begin in the same moment."""
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

    def __init__(self, policy: Policy, claim: Claim | None = None) -> None:
        self._policy = policy
        self._claim = claim or Claim()
        self._attempt = 0
        self._waits = 0
        self._unauthorized = False
        self._opened_s = 0.0

    @property
    def attempt(self) -> int:
        """Dials since the last stable connection, the present one included."""
        return self._attempt

    def start(self, now_s: float, draw: float = 0.0) -> Again:
        """Begin with the whole budget and no wait but `start_spread_s`: at first, and after giving up."""
        self._forget()
        return Again(now_s + draw * self._policy.start_spread_s)

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
                return self._give_up("unauthorized", status, has_token=has_token)
            self._unauthorized = True
        elif status != _TOO_MANY and status < _SERVER_ERROR:
            return self._give_up(_FINAL.get(status, "refused"), status, has_token=has_token)
        return self._again(now_s, draw, status, retry_after_s)

    def lost(self, now_s: float, draw: float, lost: ConnectionLost, *, messages: int, quiet_s: float = 0.0) -> Decision:
        """Decide after a connection that brought so many messages, the last of them `quiet_s` ago.

        One that was stable is no failed attempt, whoever ended it. Nor is one we closed ourselves as planned (1000,
        1001). Either still waits before the next dial.
        """
        lived_s = now_s - self._opened_s - (quiet_s if lost.closed_by is ClosedBy.TIMEOUT else 0.0)
        if messages > 0 and lived_s >= self._policy.stable_s:
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
            return GivenUp("attempts", self._attempt, status, "no connection that lasted within the attempts allowed")
        delay_s = (retry_after_s or 0.0) + draw * self._bound_s()
        self._waits += 1
        return Again(now_s + delay_s)

    def _give_up(self, reason: str, status: int, *, has_token: bool) -> GivenUp:
        return GivenUp(reason, self._attempt, status, self._claim.refused(reason, has_token=has_token))
