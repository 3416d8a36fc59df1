"""The connections we open: each source we call says which, and each is kept up on its own."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from ingest.config import ConnectionSettings, IngestSettings
from ingest.protocol import DialledProtocol
from runtime.supervision import Policy


@dataclass(frozen=True, slots=True)
class Dial:
    """One connection to open and to keep.

    `connection` names it in the log, `new_protocol` makes the machine of one life: of all connections up to a spent
    budget. After the rest a new one begins; its sessions go on from those of the same key.
    """

    source_name: str
    connection: str
    url: str
    policy: Policy
    new_protocol: Callable[[], DialledProtocol]
    rest_s: float = 60.0


def policy_of(own: ConnectionSettings) -> Policy:
    """Return how the connections of a source are kept, as its settings say."""
    return Policy(
        attempts=own.attempts,
        first_delay_s=own.first_delay_s,
        longest_delay_s=own.longest_delay_s,
        open_timeout_s=own.open_timeout_s,
        ping_interval_s=own.ping_interval_s or None,
        pong_timeout_s=own.pong_timeout_s,
        close_timeout_s=own.close_timeout_s,
        inactivity_s=own.inactivity_s or None,
        stable_s=own.stable_s,
        max_message_bytes=own.max_message_bytes,
    )


def fill(template: str, settings: IngestSettings, **ids: str) -> str:
    """Return a URL of a template: the domain and region of the settings, and ids as the parts of a path."""
    escaped = {name: quote(value, safe="") for name, value in ids.items()}
    return template.format(domain=settings.genesys_domain, region=settings.genesys_region, **escaped)
