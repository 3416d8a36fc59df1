"""What the task host tells of its partitions: lag, ages, durations, and what must move on."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from runtime import partition
from runtime.admin import Health
from runtime.clock import ManualClock
from runtime.kafka import TopicPartition
from runtime.partition import PartitionHost
from runtime.task_health import TaskHealth
from tests.runtime.committed_log import CommittedLog
from tests.runtime.test_partition import TP, host_of, records

COMMITS = "commits of calls.audio/0"


@pytest.fixture
async def host(monkeypatch) -> PartitionHost:
    log = CommittedLog()
    monkeypatch.setattr(partition.Checkpoint, "open", log.open)
    host = host_of(log)
    await host.open(log)
    return host


def health_of(host: PartitionHost) -> tuple[TaskHealth, ManualClock, Health]:
    clock = host._shared.clock
    service = SimpleNamespace(clock=clock, health=Health())
    return TaskHealth(service), clock, service.health


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"callstream_task_{name}", labels)


async def test_lag_is_told_in_records_and_seconds_and_grows_while_records_wait(host: PartitionHost) -> None:
    health, clock, told = health_of(host)
    host.process(records(10))
    labels = {"topic": "calls.audio", "partition": "0"}
    health.report({TP: host}, {TP: 10})
    latency_s = value("lag_seconds", **labels)
    clock.advance(30)
    health.report({TP: host}, {TP: 10})
    assert value("lag_seconds", **labels) == latency_s
    health.report({TP: host}, {TP: 25})
    assert value("lag_records", **labels) == 15
    assert value("lag_seconds", **labels) == pytest.approx(latency_s + 30)
    facts = told.facts()
    assert facts["lag_records"] == 15
    assert facts["lag_s"] == pytest.approx(latency_s + 30, abs=0.01)
    await host.release(5)


async def test_ages_of_polls_and_commits_grow_until_there_is_one(host: PartitionHost) -> None:
    health, clock, told = health_of(host)
    health.polled()
    host.process(records(10))
    health.report({TP: host}, {TP: None})
    clock.advance(7)
    assert value("poll_age_seconds") == value("commit_age_seconds") == 7
    assert told.facts()["poll_age_s"] == told.facts()["commit_age_s"] == 7
    health.polled()
    await host.commit(host.due(0))
    assert value("poll_age_seconds") == value("commit_age_seconds") == 0
    await host.release(5)


async def test_only_what_is_processed_and_not_committed_or_not_open_must_move_on(host: PartitionHost) -> None:
    health, _, _ = health_of(host)
    assert set(health.pending({TP: host})) == {"polls"}
    host.process(records(10))
    before = health.pending({TP: host})
    assert set(before) == {"polls", COMMITS}
    host.process(records(20)[10:])
    assert health.pending({TP: host}) == before
    await host.commit(host.due(0))
    assert set(health.pending({TP: host})) == {"polls"}
    host.task = None
    assert COMMITS in health.pending({TP: host})
    host.asking = asyncio.get_running_loop().create_future()
    assert set(health.pending({TP: host})) == {"polls"}
    health.polled()
    assert health.pending({TP: host}) != before
    host.asking = None
    await host.release(5)


async def test_a_partition_that_is_not_open_makes_the_worker_not_ready(host: PartitionHost) -> None:
    health, _, told = health_of(host)
    health.report({TP: host}, {TP: 0})
    assert told.is_ready()
    host.task = None
    health.report({TP: host, TopicPartition("calls.audio", 1): host}, {TP: 0, TopicPartition("calls.audio", 1): 0})
    assert told.failing() == {"tasks": "partitions being restored: [0, 1]"}
    await host.release(5)
