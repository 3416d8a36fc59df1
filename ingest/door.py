"""What an accepted socket needs of its server."""

from typing import TYPE_CHECKING, Protocol

from websockets.http11 import Request

from ingest.later import Later
from ingest.turnstile import Turnstile

if TYPE_CHECKING:
    from ingest.accepted import AcceptedConnection


class Door(Protocol):
    """Who counts the sockets."""

    @property
    def later(self) -> Later:
        """Where audio that was read waits until answers are given."""

    @property
    def max_header_bytes(self) -> int:
        """Longest request."""

    @property
    def max_frame_bytes(self) -> int:
        """Longest message the library takes; the connection ends over a longer one."""

    @property
    def buffer(self) -> memoryview:
        """What all sockets are read into, one after the other."""

    @property
    def turnstile(self) -> Turnstile:
        """What the bytes of a request wait at before they are looked at."""

    @property
    def handshake_deadline_s(self) -> float:
        """How long a request may take."""

    def entered(self, connection: "AcceptedConnection") -> bool:
        """Count a socket that is new; False where it is one too many."""

    def asked(self, connection: "AcceptedConnection", request: Request) -> None:
        """Take the request of a socket; to be answered by `answer`."""

    def wall_s(self) -> float:
        """Return the time now."""

    def turned_away(self, connection: "AcceptedConnection", reason: str) -> None:
        """Count a socket that asked too much or too late; it is as good as gone."""

    def left(self, connection: "AcceptedConnection", reason: str | None) -> None:
        """Forget a socket. `reason` says why it got no further than its request, None where that is known."""
