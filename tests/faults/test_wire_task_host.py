"""The task host while single requests to the broker go wrong on the wire: it finishes, aborts or restarts by itself.

Each case has a worker of its own behind a proxy of its own. After a fault it goes on within its own times and no other:
a commit ends by its deadline (here 3 s, by default 30), the producer it left is cut off within 2.5 s, a new one fences,
restores and seeks; where no commit is under way the client's request timeout (here 3 s, else 15) ends the wait, and
opening a partition has 30 s for each of its two questions. DEADLINE_S bounds all of that for a slow machine; what was
committed must be byte-equal to the undisturbed run.
"""

import asyncio
import gc
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from runtime import kafka as clients
from runtime import metrics
from runtime.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    TopicPartition,
    start_consumer,
    start_producer,
    stop_quietly,
)
from runtime.service import Service
from tests.faults.proxy import HOST, Act, Api, Fault, Proxy, proxy_to
from tests.integration.test_task_host import Cluster, create_cluster, frames, worker

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    # a client that is cut off while it connects leaves that connection to its destructor, which says so
    pytest.mark.filterwarnings("ignore:Unclosed AIOKafkaConnection:ResourceWarning"),
]
COMMIT_DEADLINE_S = 3
REQUEST_TIMEOUT_MS = 3_000
DEADLINE_S = 90
WAITS = {Act.HALF_OPEN: 0.0, Act.SILENCE: 5.0, Act.DELAY: 2.0}
CUTS = (Act.CUT_BEFORE, Act.CUT_AFTER)
STARTING = (
    {"api": Api.FIND_COORDINATOR, "nth": 2},
    {"api": Api.JOIN_GROUP},
    {"api": Api.SYNC_GROUP},
    {"api": Api.INIT_PRODUCER_ID},
    {"api": Api.LIST_OFFSETS, "client": "-restore"},
    {"api": Api.FETCH, "client": "-restore"},
)
"""Requests of a worker that starts."""
COMMITTING = (
    {"api": Api.ADD_PARTITIONS_TO_TXN},
    {"api": Api.PRODUCE},
    {"api": Api.ADD_OFFSETS_TO_TXN},
    {"api": Api.TXN_OFFSET_COMMIT},
    {"api": Api.END_TXN, "nth": 3},
)
"""The steps of a commit."""
BETWEEN = (
    {"api": Api.FETCH, "part": b"input."},
    {"api": Api.HEARTBEAT},
)
"""What goes on beside them."""


async def clusters(kafka: str, count: int) -> list[Cluster]:
    """Topics for so many workers, with a first few frames."""
    if not kafka.startswith(f"{HOST}:"):
        pytest.skip("the proxy stands before a broker on loopback only")
    made = [await create_cluster(kafka) for _ in range(count)]
    for cluster in made:
        await cluster.append(0, frames(1, 5))
    return made


def shorten_request_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_CONSUMER_DEFAULTS", "_PRODUCER_DEFAULTS"):
        shorter = {**getattr(clients, name), "request_timeout_ms": REQUEST_TIMEOUT_MS}
        monkeypatch.setattr(clients, name, shorter)


@dataclass
class Feed:
    """What writes a worker's input, and looks how far the worker has come, without a new connection each time."""

    cluster: Cluster
    producer: AIOKafkaProducer
    group: AIOKafkaConsumer

    async def append(self, count: int) -> None:
        """Append frames to each partition."""
        for partition, log in self.cluster.log.items():
            for value in frames(partition + 1, count, start=len(log)):
                timestamp_ms = 1_700_000_000_000 + 20 * len(log)
                await self.producer.send(
                    self.cluster.input_topic, value=value, key=b"c", partition=partition, timestamp_ms=timestamp_ms
                )
                log.append((value, b"c", timestamp_ms))
        await self.producer.flush()

    async def is_done(self) -> bool:
        """Tell whether the worker has committed everything."""
        ends = {TopicPartition(self.cluster.input_topic, number): len(log) for number, log in self.cluster.log.items()}
        return all([await self.group.committed(tp) == end for tp, end in ends.items()])


@asynccontextmanager
async def feed_of(cluster: Cluster) -> AsyncIterator[Feed]:
    producer = await start_producer(cluster.kafka, client_id="feed")
    group = await start_consumer(cluster.kafka, client_id="lag", group_id=f"{cluster.kafka.topic_prefix}silence")
    try:
        yield Feed(cluster, producer, group)
    finally:
        await stop_quietly(producer)
        await stop_quietly(group)


async def goes_on(cluster: Cluster, at_start: list[Fault], then: list[Fault]) -> None:
    """A worker behind a proxy meets faults while frames come in, and commits them all soon after each."""
    async with proxy_to(cluster.kafka.bootstrap_servers) as proxy, feed_of(cluster) as feed:
        through = replace(cluster, kafka=cluster.kafka.model_copy(update={"bootstrap_servers": proxy.bootstrap}))
        for fault in at_start:
            proxy.place(fault)
        async with worker(through, commit_deadline_s=COMMIT_DEADLINE_S, commit_interval_ms=100) as service:
            await overcome(feed, service, at_start)
            for fault in then:
                proxy.place(fault)
                await overcome(feed, service, [fault])
        await left(proxy)


async def overcome(feed: Feed, service: Service[Any], faults: list[Fault]) -> None:
    """Append frames until all faults have struck; soon after, all of them must be committed."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not all(fault.struck.is_set() for fault in faults):
                await feed.append(5)
                await asyncio.sleep(0.1)
        await feed.append(5)
        async with asyncio.timeout(DEADLINE_S):
            while not (service.health.is_ready() and await feed.is_done()):
                await asyncio.sleep(0.1)
            await feed.cluster.settled()
            while not service.health.is_ready():
                await asyncio.sleep(0.05)
    except BaseException as error:
        error.add_note(f"with {[(fault.act.name, Api(fault.api).name, fault.struck.is_set()) for fault in faults]}")
        raise


async def left(proxy: Proxy) -> None:
    """Wait until the worker's connections are gone, but for those that carry no end either."""
    async with asyncio.timeout(DEADLINE_S):
        while proxy.carrying:
            gc.collect()
            await asyncio.sleep(0.05)


def nobody_is_left_to_complain(capsys: pytest.CaptureFixture[str]) -> None:
    """What a producer that was cut off could not deliver is nobody's news: the gauges alone still hold the workers."""
    for gauge in (metrics.TASK_POLL_AGE_SECONDS, metrics.TASK_COMMIT_AGE_SECONDS):
        gauge.set_function(float)
    gc.collect()
    # a connection that was left to its destructor is told of without an error
    assert re.findall("an error nobody waited for.* error_class.*", capsys.readouterr().err) == []


def faults(act: Act, requests: tuple[dict[str, Any], ...]) -> list[Fault]:
    return [Fault(act=act, seconds=WAITS.get(act, 0.0), **request) for request in requests]


async def test_cuts_before_and_after_the_broker_acted_lose_and_repeat_nothing(
    kafka: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = await clusters(kafka, len(CUTS))
    shorten_request_timeouts(monkeypatch)
    async with asyncio.TaskGroup() as cases:
        for cluster, act in zip(places, CUTS, strict=True):
            cases.create_task(goes_on(cluster, faults(act, STARTING), faults(act, (*COMMITTING, *BETWEEN))))
    nobody_is_left_to_complain(capsys)


@pytest.mark.parametrize("act", WAITS, ids=lambda act: act.name.lower())
async def test_a_wait_at_any_request_ends_and_loses_and_repeats_nothing(
    kafka: str, act: Act, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # a silence falls on everything at once, whichever request it began with
    several = 1 if act is Act.SILENCE else 3
    starting = [(faults(act, STARTING[n : n + several]), faults(act, BETWEEN[n // 3 : n // 3 + 1])) for n in (0, 3)]
    committing = [([], [fault]) for fault in faults(act, COMMITTING)]
    places = await clusters(kafka, len(starting) + len(committing))
    shorten_request_timeouts(monkeypatch)
    async with asyncio.TaskGroup() as cases:
        for cluster, (at_start, then) in zip(places, starting + committing, strict=True):
            cases.create_task(goes_on(cluster, at_start, then))
    nobody_is_left_to_complain(capsys)
