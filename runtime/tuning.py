"""Settings of the hosts: of the task host, shared by every processor on it, and of the Forwarder."""

from collections.abc import Iterator

from pydantic import Field

from runtime.bad_share import BadLimit
from runtime.config import Section, Settings


class MembershipSettings(Section):
    """How a worker keeps its place in its group, and when it gives up."""

    session_timeout_ms: int = Field(
        10_000, ge=1_000, le=300_000, description="When the group gives a silent worker's partitions to others."
    )
    heartbeat_interval_ms: int = Field(3_000, ge=100, le=100_000, description="How often the worker tells it lives.")
    group_instance_id: str | None = Field(
        None, description="Static membership: a name of its own for each worker, kept over its restarts."
    )
    max_restarts: int = Field(
        10, ge=1, le=1_000, description="Restarts of a partition's task within the window after which the process ends."
    )
    restart_window_s: float = Field(300, gt=0, le=86_400, description="The window in which restarts are counted.")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return the times that do not fit together."""
        if self.heartbeat_interval_ms * 2 > self.session_timeout_ms:
            yield "heartbeat_interval_ms", "must be at most half the session timeout"


class TaskHostSettings(MembershipSettings):
    """How the task host polls and commits."""

    commit_interval_ms: int = Field(
        150, ge=10, le=60_000, description="Least time between two commits of a partition; grows with the partitions."
    )
    commit_deadline_s: float = Field(
        30, gt=0, le=600, description="How long one commit may take before its task is dropped and restored."
    )
    transaction_timeout_ms: int = Field(
        60_000, ge=1_000, le=900_000, description="When the broker aborts a transaction whose worker went silent."
    )
    max_records: int = Field(2_000, ge=1, le=50_000, description="Most records of one poll.")
    max_uncommitted_records: int = Field(
        20_000, ge=1, le=1_000_000, description="Records of a partition after which it waits for a commit under way."
    )

    max_bad_ratio: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of bad records among the newest at which a task stops, instead of emptying its topic into "
        "the dead letters; 1 lets all pass.",
    )
    bad_window_records: int = Field(1_000, ge=10, le=100_000, description="How many records the share is taken of.")

    @property
    def bad_limit(self) -> BadLimit:
        """How many of the newest records may be bad."""
        return BadLimit(self.max_bad_ratio, self.bad_window_records)


class ProcessorSettings(Settings):
    """Settings of a processor. Subclass it, and add fields with descriptions."""

    task_host: TaskHostSettings = TaskHostSettings()


class ForwarderTuning(MembershipSettings):
    """How the Forwarder polls, carries and commits."""

    max_in_flight: int = Field(64, ge=1, le=4_096, description="Most jobs under way at once, of different keys.")
    max_waiting_records: int = Field(
        1_000, ge=2, le=100_000, description="Unfinished records of a partition at which reading it pauses."
    )
    max_ahead_records: int = Field(
        20_000,
        ge=2,
        le=1_000_000,
        description="Records of a partition that are finished but not committed, at which reading it pauses.",
    )
    max_records: int = Field(500, ge=1, le=50_000, description="Most records of one poll.")
    commit_interval_ms: int = Field(
        1_000, ge=10, le=60_000, description="Time between two commits; a turn about to be sent asks for one at once."
    )
    revoke_grace_s: float = Field(
        3, ge=0, le=30, description="How long jobs under way may go on when the group takes their partition away."
    )


class ForwardingSettings(Settings):
    """Settings of a component the Forwarder hosts. Subclass it, and add fields with descriptions."""

    forwarder: ForwarderTuning = ForwarderTuning()
