"""What a source we call says of itself: which connections to open for which calls, and how they are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest.connecting import ConnectionSettings
from ingest.protocol import Call, DialledProtocol
from runtime.supervision import Claim, Policy


@dataclass(frozen=True, slots=True)
class Dial:
    """One connection to open and to keep.

    `connection` names it in the log. `new_protocol` makes its machine, which lives on over losses and spent budgets.
    `bearer`: the token stands in the header of the handshake; `wants_token`: the machine is given it before each
    connection, whether or not it stands there too. `claim` is what is named where the peer refuses the handshake.
    """

    source_name: str
    connection: str
    url: str
    policy: Policy
    new_protocol: Callable[[], DialledProtocol]
    rest_s: float = 60.0
    bearer: bool = True
    wants_token: bool = False
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class DialledSource:
    """A source we call. Its session keys are conversation ids.

    `dial` returns the connection for calls of one line, at most `calls_per_connection`, under a name for the log.
    `listed` are the calls that the source's own settings name. `refuse` says why a call cannot be followed, None where
    it can.
    """

    name: str
    calls_per_connection: int
    dial: Callable[[str, Sequence[Call]], Dial]
    listed: Sequence[Call]
    refuse: Callable[[Call], str | None]


def policy_of(own: ConnectionSettings) -> Policy:
    """Return how the connections of a source are kept, as its settings say."""
    return Policy(
        attempts=own.attempts,
        first_delay_s=own.first_delay_s,
        longest_delay_s=own.longest_delay_s,
        start_spread_s=own.start_spread_s,
        open_timeout_s=own.open_timeout_s,
        ping_interval_s=own.ping_interval_s or None,
        pong_timeout_s=own.pong_timeout_s,
        close_timeout_s=own.close_timeout_s,
        inactivity_s=own.inactivity_s or None,
        stable_s=own.stable_s,
        max_message_bytes=own.max_message_bytes,
    )
