"""The states of an AudioHook session and the legal transitions between them, as a table.

What is not in the table does not change the state. `MEANINGFUL` says which messages mean something in a state; all
others are counted and get no answer.
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType


class State(Enum):
    """Where a connection stands."""

    OPENING = auto()
    """The upgrade is accepted; `open` is awaited."""
    ACTIVE = auto()
    """Audio flows."""
    PAUSED = auto()
    """The client has paused; nothing that arrives may be kept."""
    DRAINING = auto()
    """We have sent `disconnect` reason `completed`; audio still under way is kept."""
    DRAINING_PAUSED = auto()
    """The same while the client pauses."""
    DISCONNECTING = auto()
    """We have sent `disconnect` over a defect; only `close` matters now."""
    CLOSED = auto()
    """`closed` is sent; the client ends the connection."""
    GONE = auto()
    """The connection is over."""


class Trigger(Enum):
    """What moves a connection."""

    OPEN = "open"
    PING = "ping"
    PAUSED = "paused"
    RESUMED = "resumed"
    DISCARDED = "discarded"
    UPDATE = "update"
    ERROR = "error"
    DTMF = "dtmf"
    PLAYBACK_STARTED = "playback_started"
    PLAYBACK_COMPLETED = "playback_completed"
    CLOSE = "close"
    DEFECT = "(defect)"
    DRAIN = "(drain)"
    LOST = "(connection lost)"


_LIVE = (State.ACTIVE, State.PAUSED, State.DRAINING, State.DRAINING_PAUSED)
_BEFORE_CLOSED = (State.OPENING, *_LIVE, State.DISCONNECTING)
_WHILE_LIVE = (
    Trigger.PAUSED,
    Trigger.RESUMED,
    Trigger.DISCARDED,
    Trigger.UPDATE,
    Trigger.ERROR,
    Trigger.DTMF,
    Trigger.PLAYBACK_STARTED,
    Trigger.PLAYBACK_COMPLETED,
)

TRANSITIONS: Mapping[tuple[State, Trigger], State] = MappingProxyType(
    {
        (State.OPENING, Trigger.OPEN): State.ACTIVE,
        (State.ACTIVE, Trigger.PAUSED): State.PAUSED,
        (State.PAUSED, Trigger.RESUMED): State.ACTIVE,
        (State.DRAINING, Trigger.PAUSED): State.DRAINING_PAUSED,
        (State.DRAINING_PAUSED, Trigger.RESUMED): State.DRAINING,
        (State.ACTIVE, Trigger.DRAIN): State.DRAINING,
        (State.PAUSED, Trigger.DRAIN): State.DRAINING_PAUSED,
        (State.OPENING, Trigger.DRAIN): State.DISCONNECTING,
        **{(state, Trigger.DEFECT): State.DISCONNECTING for state in (State.OPENING, *_LIVE)},
        **{(state, Trigger.CLOSE): State.CLOSED for state in _BEFORE_CLOSED},
        **{(state, Trigger.LOST): State.GONE for state in State if state is not State.GONE},
    }
)

MEANINGFUL: Mapping[State, frozenset[Trigger]] = MappingProxyType(
    {
        State.OPENING: frozenset({Trigger.OPEN, Trigger.CLOSE}),
        **{state: frozenset({Trigger.PING, Trigger.CLOSE, *_WHILE_LIVE}) for state in _LIVE},
        State.DISCONNECTING: frozenset({Trigger.PING, Trigger.CLOSE}),
        State.CLOSED: frozenset(),
        State.GONE: frozenset(),
    }
)
"""The client messages that mean something in a state; all others are counted and ignored."""

MESSAGES: Mapping[str, Trigger] = MappingProxyType(
    {trigger.value: trigger for trigger in (Trigger.OPEN, Trigger.PING, Trigger.CLOSE, *_WHILE_LIVE)}
)
"""Client message type → trigger."""

ACTIVE_STATES = frozenset({State.ACTIVE, State.DRAINING})
"""States in which audio is kept and the stated position is compared with ours."""
PAUSED_STATES = frozenset({State.PAUSED, State.DRAINING_PAUSED})
"""States in which nothing that arrives may be kept."""
LIVE_STATES = ACTIVE_STATES | PAUSED_STATES
"""States in which the session is open towards the topics."""


def after(state: State, trigger: Trigger) -> State:
    """Return the state a trigger leads to."""
    return TRANSITIONS.get((state, trigger), state)
