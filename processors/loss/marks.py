"""What the marks of a session mean: which column of the counts a reason belongs to, and what a mark states.

calls.audio does not say whose clock measured a gap. It was ours where the numbering is lost (takeover, restart), where
nothing is numbered, and over a reconnect until the source's own stamps go on behind it by as much.
"""

from typing import Final

from processors.loss.rows import MAX_POSITION, Row
from processors.loss.session import Session
from schemas.symbols import FrameKind, Reason

_DISCARDED, _RESUMED = FrameKind.DISCARDED.code, FrameKind.RESUMED.code
POSITIONED: Final = frozenset({FrameKind.ALIVE.code, FrameKind.PAUSED.code, _RESUMED, _DISCARDED, FrameKind.GAP.code})
"""Kinds of marks that stand somewhere on the timeline."""
IN_TRANSIT: Final = frozenset({Reason.LOST_IN_NETWORK.code, Reason.LATE.code})
"""Reasons the numbers of the packets tell of anyway."""
ESTIMATED: Final = 1 << 8
"""Beside the reason of a gap: its length comes from arrival times."""
_OURS: Final = frozenset({Reason.RECONNECT.code, Reason.TAKEOVER.code, Reason.RESTART.code})
_BOOKED_AS: Final = {
    Reason.SECURE_PAUSE.code: "paused",
    Reason.OWN_PAUSE.code: "paused",
    Reason.SOURCE_DISCARD.code: "discarded",
    Reason.RECONNECT.code: "reconnect",
    Reason.SOCKET_LOST.code: "reconnect",
    Reason.TAKEOVER.code: "reconnect",
    Reason.OVERFLOW.code: "dropped",
    Reason.INGEST_LOST.code: "dropped",
    Reason.DRAIN.code: "dropped",
    Reason.BUDGET_SPENT.code: "dropped",
    Reason.LATE.code: "late",
}
"""Reason → the column of `Counts`; every other reason is `lost`."""


def cause_column(reason: int) -> str:
    """Return the column of `Counts` for a reason."""
    return _BOOKED_AS.get(reason, "lost")


def with_origin(reason: int, *, numbered: bool) -> int:
    """Return a gap's reason, with `ESTIMATED` where its length comes from arrival times as far as is known now."""
    ours = reason in _OURS or (reason == Reason.LOST_IN_NETWORK.code and not numbered)
    return reason | ESTIMATED if ours else reason


def booked_as(row: Row) -> str:
    """Return the column of `Counts` for what a mark announces."""
    if row.kind == _RESUMED:
        return "paused"
    return "discarded" if row.kind == _DISCARDED else cause_column(row.reason)


def stated(session: Session, row: Row) -> tuple[int, int]:
    """Return start and duration of a mark in the session's unit; the head where it states no start."""
    start, duration = row.position, row.duration
    if row.rate_hz not in {session.rate_hz, -1, 0}:
        start, duration = (value * session.rate_hz // row.rate_hz if value >= 0 else -1 for value in (start, duration))
    start = start if 0 <= start < MAX_POSITION else session.head
    return start, duration if start + duration < MAX_POSITION else -1
