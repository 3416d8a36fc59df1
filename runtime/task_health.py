"""What a task host says about itself: readiness, metrics, and to the watchdog what must move on.

The registry's answer and an assignment that another member holds up are waited for; all else has to progress.
"""

from collections.abc import Hashable, Mapping
from typing import Any

from runtime import metrics
from runtime.kafka import TopicPartition
from runtime.partition import PartitionHost
from runtime.service import Service

Hosts = Mapping[TopicPartition, PartitionHost[Any]]


class TaskHealth:
    """Looks at the partitions of one worker."""

    def __init__(self, service: Service[Any]) -> None:
        self._service = service
        self._clock = service.clock
        self._hosts: Hosts = {}
        self._polls = 0
        self._polled_at_s = self._clock.monotonic_s()
        self._behind: dict[TopicPartition, tuple[int, float]] = {}
        metrics.TASK_POLL_AGE_SECONDS.set_function(self._poll_age_s)
        metrics.TASK_COMMIT_AGE_SECONDS.set_function(self._commit_age_s)
        service.health.tell(
            lag_records=lambda: max((records for records, _ in self._behind.values()), default=0),
            lag_s=lambda: max((seconds for _, seconds in self._behind.values()), default=0.0),
            poll_age_s=self._poll_age_s,
            commit_age_s=self._commit_age_s,
            last_commit_s=lambda: max((host.commit_s for host in self._hosts.values()), default=0.0),
            last_restore_s=lambda: max((host.restore_s for host in self._hosts.values()), default=0.0),
            fenced=lambda: metrics.total(metrics.TASK_FENCED),
            restarts=lambda: metrics.total(metrics.TASK_RESTARTS),
        )

    def polled(self) -> None:
        """A poll has returned."""
        self._polls += 1
        self._polled_at_s = self._clock.monotonic_s()

    def report(self, hosts: Hosts, ends: Mapping[TopicPartition, int | None]) -> None:
        """Tell how things stand after a turn; `ends` are the offsets behind the last records, as far as known."""
        self._hosts = hosts
        waiting = sorted(tp.partition for tp, host in hosts.items() if host.task is None)
        self._service.health.ready("tasks", ok=not waiting, why=f"partitions being restored: {waiting}")
        self._behind = {tp: self._lag(host, ends[tp]) for tp, host in hosts.items()}
        for tp, (records, seconds) in self._behind.items():
            if hosts[tp].task is not None:
                metrics.TASK_LAG_RECORDS.labels(topic=tp.topic, partition=str(tp.partition)).set(records)
                metrics.TASK_LAG_SECONDS.labels(topic=tp.topic, partition=str(tp.partition)).set(seconds)

    def _lag(self, host: PartitionHost[Any], end: int | None) -> tuple[int, float]:
        """Return the records behind, and how old the newest processed record is, or was, when nothing waits."""
        records = max(0, (end or 0) - host.position)
        if records and host.newest_ms >= 0:
            return records, max(0.0, self._clock.wall_s() - host.newest_ms / 1000)
        return records, host.latency_s

    def pending(self, hosts: Hosts) -> Mapping[str, Hashable]:
        """Return what must move on. See `Watchdog`."""
        found: dict[str, Hashable] = {"polls": self._polls}
        for tp, host in hosts.items():
            if host.asking is None and (host.task is None or host.position != host.committed_position):
                found[f"commits of {tp.topic}/{tp.partition}"] = host.committed_position
        return found

    def _poll_age_s(self) -> float:
        return self._clock.monotonic_s() - self._polled_at_s

    def _commit_age_s(self) -> float:
        return max((host.uncommitted_for_s for host in self._hosts.values()), default=0.0)
