"""Errors by who must act.

    CallstreamError
    ├── ConfigError      the operator: all mistakes listed, exit 2 before any connection
    ├── PeerError        that session: its close code, counted; the service lives
    ├── UsageError       a developer: the task crashes, loudly
    ├── Unavailable      time: pause, back off with jitter, resume; never drop
    ├── Fenced           the new owner: drop the task; go on only if a commit shows the partition is still ours
    ├── StateCorrupted   the changelog: wipe, restore, continue; where the changelog's own entry is it: the operator
    └── StateTooLarge    a developer: the component keeps what it should forget; the process ends with 1
    InvalidRecord        nobody now: dead letter, counted, continue (`schemas.errors`)

Anything else: the operator; what is safe is drained, exit 1. Foreign errors are translated once, at the boundary.
"""

from collections.abc import Sequence

from schemas.errors import InvalidRecord

__all__ = [
    "CallstreamError",
    "ConfigError",
    "Fenced",
    "InvalidRecord",
    "PeerError",
    "StateCorrupted",
    "StateTooLarge",
    "Unavailable",
    "UsageError",
]


class CallstreamError(Exception):
    """Base of the errors of callstream's own."""


class ConfigError(CallstreamError):
    """Settings or the deployment are wrong: the operator acts. `mistakes` lists all of them, each by its setting."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class PeerError(CallstreamError):
    """The other side of one session broke its protocol. That session ends with `close_code`; the service lives."""

    def __init__(self, message: str, close_code: int = 1002) -> None:
        super().__init__(message)
        self.close_code = close_code


class UsageError(CallstreamError):
    """A programming error: an interface was used against its contract."""


class Unavailable(CallstreamError):
    """Something outside does not answer now. Wait `retry_after_s` (None: back off with jitter) and try again."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Fenced(CallstreamError):
    """Another process has taken the partition over, or the broker ended our transaction."""


class StateCorrupted(CallstreamError):
    """A task's state in memory cannot be trusted. It is wiped and restored from its changelog."""


class StateTooLarge(CallstreamError):
    """A task's state is larger than a changelog record may be. Nothing of the commit was written."""
