"""Ways to try again that are wrong. Each has the interface of `runtime.supervision.Supervisor`.

`answered_*` are what a client does with the answers to its handshakes: `await dial(url, token) -> what came of it`.
"""

from collections.abc import Awaitable, Callable

from websockets.asyncio.client import connect

from runtime.supervision import Again, ConnectionLost, Decision, GivenUp, Policy

Token = Callable[[], Awaitable[str]]


class Tries:
    """Doubles its waits up to ten tries. What is wrong, subclasses put in; some of it is wrong here already (A7)."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.attempt = 0

    def start(self, now_s: float) -> Again:
        """Begin."""
        self.attempt = 0
        return Again(now_s)

    def dialled(self) -> None:
        """Count a dial."""
        self.attempt += 1

    def opened(self, now_s: float) -> None:
        """Do nothing."""

    def failed(self, now_s: float, draw: float, retry_after_s: float | None = None) -> Decision:
        """Wait 1, 2, 4 … s."""
        return self.again(now_s, draw)

    def refused(
        self, status: int, now_s: float, draw: float, *, has_token: bool, retry_after_s: float | None = None
    ) -> Decision:
        """Wait as after any failure."""
        return self.again(now_s, draw)

    def lost(self, now_s: float, draw: float, lost: ConnectionLost, *, messages: int) -> Decision:
        """Wait as after any failure."""
        return self.again(now_s, draw)

    def again(self, now_s: float, draw: float) -> Decision:
        """Wait twice as long as before, all alike, without a longest wait."""
        if self.attempt >= self.policy.attempts:
            return GivenUp("attempts", self.attempt, None)
        return Again(now_s + self.policy.first_delay_s * 2.0 ** (self.attempt - 1))


class RefusedIsNoAttempt(Tries):
    """A2: after a 401 it goes on at once, and counts nothing."""

    def refused(
        self, status: int, now_s: float, draw: float, *, has_token: bool, retry_after_s: float | None = None
    ) -> Decision:
        """Dial again at once."""
        self.attempt -= 1
        return Again(now_s)


class DoublesForEver(Tries):
    """A7: no longest wait, no jitter, and what was counted is never forgotten."""


class ForgetsOnOpen(Tries):
    """A8: an open connection is taken for a good one, whatever becomes of it."""

    def opened(self, now_s: float) -> None:
        """Count from the beginning."""
        self.attempt = 1


class StatusOfFormerReleases(Exception):
    """What the library raised before it had `InvalidStatus`; nothing raises it any more."""

    code = 0


async def answered_by_class_name(url: str, token: Token) -> str:
    """A3: the answer is read off an exception that no longer comes, so every status ends in the last branch."""
    for _ in range(3):
        headers = {"Authorization": f"Bearer {await token()}"}
        try:
            socket = await connect(url, additional_headers=headers, proxy=None, ping_interval=None)
        except StatusOfFormerReleases as error:
            if error.code in (403, 404):
                return {403: "forbidden", 404: "not found"}[error.code]
        except OSError:
            continue
        except Exception:  # noqa: BLE001 - this is the defect
            return "unexpected"
        else:
            await socket.close()
            return "open"
    return "attempts"
