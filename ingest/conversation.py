"""What the platform's REST API says about a conversation: the body of `GET /api/v2/conversations/{id}` → facts. Pure.

The body has `endTime` at its top, and says in two ways that a call is paused: `securePause` (true, false) and
`recordingState` (`none`, `active`, `paused`, in either case), at its top and in each of `participants[].calls[]`.
Anything may be missing or be something else than expected: that says nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_OVER = ("disconnected", "terminated")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a conversation stands: whether there is one, when it ended (epoch; None: not yet), whether it is paused.

    `paused` is None where the platform does not say.
    """

    found: bool
    ended_at_s: float | None = None
    paused: bool | None = None


MISSING = Standing(found=False)
"""The platform knows no such conversation."""


def standing(body: Any) -> Standing:
    """Return the facts in a body. It is paused where anything says so, not paused where something says that."""
    if not isinstance(body, Mapping):
        return Standing(found=True)
    said = {paused for statement in _statements(body) if (paused := _paused(statement)) is not None}
    return Standing(found=True, ended_at_s=_epoch_s(body.get("endTime")), paused=True in said if said else None)


def _statements(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the parts that may speak of a pause. A leg that is over does not: a transfer leaves it as it was."""
    yield body
    for participant in _mappings(body.get("participants")):
        for call in _mappings(participant.get("calls")):
            state = call.get("state")
            if not (isinstance(state, str) and state.lower() in _OVER):
                yield call


def _mappings(items: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(items, list):
        yield from (item for item in items if isinstance(item, Mapping))


def _paused(statement: Mapping[str, Any]) -> bool | None:
    """Return what one part says. `none` says that nothing is recorded, and so nothing about a pause."""
    recording = statement.get("recordingState")
    recording = recording.lower() if isinstance(recording, str) else None
    secure = statement.get("securePause")
    if secure is True or recording == "paused":
        return True
    return False if secure is False or recording == "active" else None


def _epoch_s(text: Any) -> float | None:
    """Return an ISO 8601 time in seconds since the epoch; without an offset it is UTC."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
