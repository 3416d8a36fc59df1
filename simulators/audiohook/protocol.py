"""The client's side of one AudioHook session as a state machine: messages, orders and time in, texts out.

Pure. The shell sends what stands in `outgoing`, in order, calls `tick` when `deadline_s` has come, and aborts the
socket once `drop_socket` is set. Times are seconds of any monotonic clock. Positions are samples: audio sent, plus what
was announced as discarded, plus paused time.
"""

import enum
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from simulators.audiohook import messages
from simulators.audiohook.messages import Media, ServerMessage, Violation

OPEN_TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 10.0
FIRST_PING_S: Final = 1.0
PING_INTERVAL_S: Final = 5.0


class Phase(enum.Enum):
    """Where the session stands. ENDED is reached by `closed`, the close timeout or the loss of the socket."""

    OPENING = enum.auto()
    ACTIVE = enum.auto()
    PAUSED = enum.auto()
    CLOSING = enum.auto()
    ENDED = enum.auto()


class End(enum.Enum):
    """How a session came to its end."""

    CLOSED = "closed"
    CLOSE_TIMEOUT = "close timeout"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Fault:
    """An `error` the client sent: what the server did wrong."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class _Ping:
    seq: int
    sent_s: float


class ClientProtocol:
    """One session, from the moment its socket is open.

    Reads: `phase`, `end`, `media` (the offer the server took, None for no audio), `start_paused`, `discard_to_s`,
    `server_pause` (the server asked for a pause and has not taken it back), `disconnect_reason`, `faults`,
    `round_trips_s`.
    """

    def __init__(
        self,
        session_id: str,
        open_parameters: Mapping[str, object],
        offers: Sequence[Media],
        now_s: float,
        paused_samples_per_s: float = 0.0,
    ) -> None:
        """Write `open`. While paused the stated position runs on by `paused_samples_per_s` (0: it stands still)."""
        self.phase = Phase.OPENING
        self.end: End | None = None
        self.media: Media | None = None
        self.start_paused = False
        self.discard_to_s = messages.parse_duration("PT0S")
        self.server_pause = False
        self.disconnect_reason: str | None = None
        self.faults: list[Fault] = []
        self.round_trips_s: list[float] = []
        self.outgoing: deque[str] = deque()
        self.drop_socket = False
        self.deadline_s: float | None = now_s + OPEN_TIMEOUT_S
        self._session_id = session_id
        self._offers = tuple(offers)
        self._paused_samples_per_s = paused_samples_per_s
        self._samples = 0
        self._paused_since_s = 0.0
        self._pause_limit_samples: int | None = None
        self._seq = 0
        self._serverseq = 0
        self._clientseq_seen = 0
        self._close_seq = 0
        self._ping: _Ping | None = None
        self._ping_due_s = 0.0
        self._last_rtt_s: float | None = None
        self._send("open", open_parameters, now_s)

    # --- orders of the shell

    def position_samples(self, now_s: float) -> int:
        """Return the position the next text message states."""
        if self.phase is not Phase.PAUSED:
            return self._samples
        elapsed = max(0, int((now_s - self._paused_since_s) * self._paused_samples_per_s))
        return self._samples + (
            elapsed if self._pause_limit_samples is None else min(elapsed, self._pause_limit_samples)
        )

    def audio_sent(self, samples: int) -> None:
        """Advance by audio that goes out now (or would, had the server taken any)."""
        self._samples += samples

    def discard(self, samples: int, now_s: float) -> None:
        """Announce audio that is skipped; no effect outside of ACTIVE."""
        if self.phase is Phase.ACTIVE:
            start = self._samples
            self._samples += samples
            self._send("discarded", _skipped(start, samples), now_s)

    def pause(self, now_s: float, limit_samples: int | None = None) -> None:
        """Go to PAUSED and say so; until `resume` the position runs on by no more than `limit_samples`."""
        if self.phase is Phase.ACTIVE:
            self._paused_since_s = now_s
            self._pause_limit_samples = limit_samples
            self.phase = Phase.PAUSED
            self._send("paused", {}, now_s)

    def resume(self, discarded_samples: int, now_s: float) -> None:
        """Go back to ACTIVE, having left out `discarded_samples`, or what the position ran on if that is more."""
        if self.phase is Phase.PAUSED:
            discarded_samples = max(discarded_samples, self.position_samples(now_s) - self._samples)
            start = self._samples
            self._samples += discarded_samples
            self.phase = Phase.ACTIVE
            self._send("resumed", _skipped(start, discarded_samples), now_s)

    def dtmf(self, digit: str, now_s: float) -> None:
        """Report a key the caller pressed."""
        self._send_live("dtmf", {"digit": digit}, now_s)

    def update(self, language: str, now_s: float) -> None:
        """Change the language."""
        self._send_live("update", {"language": language}, now_s)

    def close(self, reason: str, now_s: float) -> None:
        """Begin the end: end, error, disconnect or reconnect. Nothing but `closed` is expected from here."""
        if self.phase in {Phase.CLOSING, Phase.ENDED}:
            return
        self._samples = self.position_samples(now_s)
        self.phase = Phase.CLOSING
        self._send("close", {"reason": reason}, now_s)
        self._close_seq = self._seq
        self.deadline_s = now_s + CLOSE_TIMEOUT_S

    def connection_lost(self) -> None:
        """Note that the socket is gone."""
        self._finish(End.LOST)

    # --- what comes in

    def receive_text(self, text: str, now_s: float) -> None:
        """Take a server message; what is wrong with it is answered as the real client does."""
        if self.phase is Phase.ENDED:
            return
        try:
            message = messages.parse(text, self._session_id)
            self._check_order(message)
            self._handle(message, now_s)
        except Violation as violation:
            self._fail(violation, now_s)

    def receive_binary(self, now_s: float) -> None:
        """Take audio from the server, which a monitor session never expects."""
        if self.phase is not Phase.ENDED:
            self._fail(Violation(415, "Unexpected binary message"), now_s)

    def tick(self, now_s: float) -> None:
        """Act on a deadline that has come: send a ping, or give up waiting."""
        if self.deadline_s is None or now_s < self.deadline_s:
            return
        if self.phase is Phase.OPENING:
            self._fail(Violation(408, "Open transaction timeout"), now_s)
        elif self.phase is Phase.CLOSING:
            self._report(Fault(408, "Close transaction timeout"), now_s)
            self._finish(End.CLOSE_TIMEOUT)
            self.drop_socket = True
        elif self._ping is not None:
            self._fail(Violation(408, "Timeout waiting for pong"), now_s)
        else:
            self._ping_due_s += PING_INTERVAL_S * (1 + (now_s - self._ping_due_s) // PING_INTERVAL_S)
            self.deadline_s = self._ping_due_s
            self._send_ping(now_s)

    # --- inside

    def _check_order(self, message: ServerMessage) -> None:
        expected, self._serverseq = self._serverseq + 1, message.seq
        if message.seq != expected:
            raise Violation(400, "Server sequence number out of order")
        if not self._clientseq_seen <= message.clientseq <= self._seq:
            raise Violation(400, "Client sequence number out of range")
        self._clientseq_seen = message.clientseq

    def _handle(self, message: ServerMessage, now_s: float) -> None:
        if message.kind == "closed":
            self._handle_closed(message, now_s)
        elif self.phase is Phase.CLOSING:
            return  # sent before the server saw `close`
        elif message.kind == "disconnect":
            self.disconnect_reason = message.parameters["reason"]
            self.close("disconnect", now_s)
        elif message.kind == "opened":
            self._handle_opened(message.parameters, now_s)
        elif self.phase is Phase.OPENING:
            raise Violation(409, f"Unexpected {message.kind} before opened")
        elif message.kind == "pong":
            self._handle_pong(message, now_s)
        elif message.kind == "pause":
            self._handle_pause(now_s)
        elif message.kind == "resume":
            self._handle_resume(now_s)

    def _handle_opened(self, parameters: Mapping[str, Any], now_s: float) -> None:
        if self.phase is not Phase.OPENING:
            raise Violation(409, "Unexpected opened")
        self.media = messages.choose_media(parameters["media"], self._offers)
        self.start_paused = parameters.get("startPaused", False)
        self.server_pause = self.start_paused
        self.discard_to_s = messages.parse_duration(parameters.get("discardTo", "PT0S"))
        self.phase = Phase.ACTIVE
        self._ping_due_s = now_s + FIRST_PING_S
        self.deadline_s = self._ping_due_s
        if self.start_paused:
            self.pause(now_s)

    def _handle_pong(self, message: ServerMessage, now_s: float) -> None:
        if self._ping is None or message.clientseq != self._ping.seq:
            # not fatal by itself, but the ping stays unanswered
            self._report(Fault(400, "Pong does not answer the last ping"), now_s)
            return
        first = not self.round_trips_s
        self._last_rtt_s = now_s - self._ping.sent_s
        self.round_trips_s.append(self._last_rtt_s)
        self._ping = None
        if first:
            self._send_ping(now_s)

    def _handle_pause(self, now_s: float) -> None:
        self.server_pause = True
        if self.phase is Phase.PAUSED:
            self._send("paused", {}, now_s)
        else:
            self.pause(now_s)

    def _handle_resume(self, now_s: float) -> None:
        asked = self.server_pause
        self.server_pause = False
        if self.phase is Phase.ACTIVE:
            self._send("resumed", _skipped(self._samples, 0), now_s)
        elif not asked:
            self._send("paused", {}, now_s)  # the pause is the client's own and goes on

    def _handle_closed(self, message: ServerMessage, now_s: float) -> None:
        if self.phase is not Phase.CLOSING:
            raise Violation(409, "Unexpected closed")
        if message.clientseq != self._close_seq:
            self._report(Fault(400, "Closed does not answer the close"), now_s)
            return
        self._finish(End.CLOSED)

    def _fail(self, violation: Violation, now_s: float) -> None:
        self._report(Fault(violation.code, violation.message), now_s)
        self.close("error", now_s)

    def _report(self, fault: Fault, now_s: float) -> None:
        self.faults.append(fault)
        self._send("error", {"code": fault.code, "message": fault.message}, now_s)

    def _finish(self, end: End) -> None:
        if self.phase is not Phase.ENDED:
            self.phase = Phase.ENDED
            self.end = end
            self.deadline_s = None

    def _send_ping(self, now_s: float) -> None:
        rtt: dict[str, object] = (
            {} if self._last_rtt_s is None else {"rtt": messages.seconds_duration(self._last_rtt_s)}
        )
        self._send("ping", rtt, now_s)
        self._ping = _Ping(self._seq, now_s)

    def _send_live(self, kind: str, parameters: Mapping[str, object], now_s: float) -> None:
        if self.phase in {Phase.ACTIVE, Phase.PAUSED}:
            self._send(kind, parameters, now_s)

    def _send(self, kind: str, parameters: Mapping[str, object], now_s: float) -> None:
        self._seq += 1
        position = messages.duration(self.position_samples(now_s))
        head = messages.Head(self._session_id, self._seq, self._serverseq, position)
        self.outgoing.append(messages.encode(kind, head, parameters))


def _skipped(start: int, samples: int) -> dict[str, object]:
    return {"start": messages.duration(start), "discarded": messages.duration(samples)}
