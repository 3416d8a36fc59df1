"""The task host while single requests to the broker go wrong on the wire: it finishes, aborts or restarts by itself.

Each case has a worker of its own behind a proxy of its own, all cases of one kind of fault at once. The worker goes on
within DEADLINE_S of the fault, with the times below: the commit's own deadline, then what a cut-off producer gets to
stop (2.5 s), then a new one; where no commit is under way the client's request timeout ends the wait. What it committed
is byte-equal to the undisturbed run.
"""

import asyncio
import gc
from dataclasses import replace
from typing import Any

import pytest

from runtime import kafka as clients
from runtime import metrics
from runtime.service import Service
from tests.faults.proxy import HOST, Act, Api, Fault, Proxy, proxy_to
from tests.integration.test_task_host import PARTITIONS, Cluster, create_cluster, frames, worker

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    # a client that is cut off while it connects leaves that connection to its destructor, which says so
    pytest.mark.filterwarnings("ignore:Unclosed AIOKafkaConnection:ResourceWarning"),
]
COMMIT_DEADLINE_S = 2
REQUEST_TIMEOUT_MS = 3_000
DEADLINE_S = 30
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
RUNNING = (
    {"api": Api.ADD_PARTITIONS_TO_TXN},
    {"api": Api.PRODUCE},
    {"api": Api.PRODUCE, "part": b".changelog"},
    {"api": Api.ADD_OFFSETS_TO_TXN},
    {"api": Api.TXN_OFFSET_COMMIT},
    {"api": Api.END_TXN, "nth": 3},
    {"api": Api.FETCH, "part": b"input."},
    {"api": Api.HEARTBEAT},
)
"""Requests of a worker at work, one after another."""


async def clusters(kafka: str, count: int) -> list[Cluster]:
    """Topics for so many workers, with a first few frames."""
    if not kafka.startswith(f"{HOST}:"):
        pytest.skip("the proxy stands before a broker on loopback only")
    made = [await create_cluster(kafka) for _ in range(count)]
    for cluster in made:
        await append(cluster, 5)
    return made


def shorten_request_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_CONSUMER_DEFAULTS", "_PRODUCER_DEFAULTS"):
        shorter = {**getattr(clients, name), "request_timeout_ms": REQUEST_TIMEOUT_MS}
        monkeypatch.setattr(clients, name, shorter)


async def goes_on(cluster: Cluster, at_start: list[Fault], then: list[Fault]) -> None:
    """A worker behind a proxy meets faults while frames come in, and commits them all soon after each."""
    async with proxy_to(cluster.kafka.bootstrap_servers) as proxy:
        through = replace(cluster, kafka=cluster.kafka.model_copy(update={"bootstrap_servers": proxy.bootstrap}))
        for fault in at_start:
            proxy.place(fault)
        async with worker(through, commit_deadline_s=COMMIT_DEADLINE_S, commit_interval_ms=50) as service:
            await overcome(cluster, service, at_start)
            for fault in then:
                proxy.place(fault)
                await overcome(cluster, service, [fault])
        await left(proxy)


async def overcome(cluster: Cluster, service: Service[Any], faults: list[Fault]) -> None:
    """Append frames until all faults have struck; soon after, all of them must be committed."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not all(fault.struck.is_set() for fault in faults):
                await append(cluster, 5)
                await asyncio.sleep(0.1)
        await append(cluster, 5)
        async with asyncio.timeout(DEADLINE_S):
            await cluster.settled()
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


async def append(cluster: Cluster, count: int) -> None:
    for partition in range(PARTITIONS):
        await cluster.append(partition, frames(partition + 1, count, start=len(cluster.log[partition])))


def nobody_is_left_to_complain(capsys: pytest.CaptureFixture[str]) -> None:
    """What a producer that was cut off could not deliver is nobody's news: the gauges alone still hold the workers."""
    for gauge in (metrics.TASK_POLL_AGE_SECONDS, metrics.TASK_COMMIT_AGE_SECONDS):
        gauge.set_function(float)
    gc.collect()
    assert "an error nobody waited for" not in capsys.readouterr().err


def faults(act: Act, requests: tuple[dict[str, Any], ...]) -> list[Fault]:
    return [Fault(act=act, seconds=WAITS.get(act, 0.0), **request) for request in requests]


async def test_cuts_before_and_after_the_broker_acted_lose_and_repeat_nothing(
    kafka: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = await clusters(kafka, len(CUTS))
    shorten_request_timeouts(monkeypatch)
    async with asyncio.TaskGroup() as cases:
        for cluster, act in zip(places, CUTS, strict=True):
            cases.create_task(goes_on(cluster, faults(act, STARTING), faults(act, RUNNING)))
    nobody_is_left_to_complain(capsys)


@pytest.mark.parametrize("act", WAITS, ids=lambda act: act.name.lower())
async def test_a_wait_at_any_request_ends_and_loses_and_repeats_nothing(
    kafka: str, act: Act, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    starting = [(faults(act, STARTING[:3]), []), (faults(act, STARTING[3:]), [])]
    running = [([], [fault]) for fault in faults(act, RUNNING)]
    places = await clusters(kafka, len(starting) + len(running))
    shorten_request_timeouts(monkeypatch)
    async with asyncio.TaskGroup() as cases:
        for cluster, (at_start, then) in zip(places, starting + running, strict=True):
            cases.create_task(goes_on(cluster, at_start, then))
    nobody_is_left_to_complain(capsys)
