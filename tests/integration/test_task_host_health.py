"""The task host on a real broker looked at from outside, and ended when it stands still."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from callstream.embedded_kafka import EmbeddedKafka
from runtime import membership, worker
from runtime.admin import listening
from runtime.checkpoint import Application
from runtime.config import ServiceSettings
from runtime.http import HttpClient
from runtime.kafka import start_producer
from runtime.metrics import TASK_RESTARTS
from runtime.service import run
from runtime.worker import Worker
from tests.integration.test_task_host import DEADLINE_S, Cluster, create_cluster, frames
from tests.kafka_fixture import CACHE_DIR

pytestmark = pytest.mark.kafka


@pytest.fixture
async def cluster(kafka: str) -> Cluster:
    return await create_cluster(kafka)


def free_port() -> int:
    with listening("127.0.0.1", 0) as listener:
        return listener.getsockname()[1]


class Watched:
    """A worker one can look at and reach into."""

    def __init__(self, cluster: Cluster, **service) -> None:
        self.cluster = cluster
        self.port = free_port()
        self.settings = {"admin_port": self.port, **service}
        self.worker: Worker | None = None
        self.before_step = lambda _: None

    async def run(self, **tuning) -> int:
        settings = self.cluster.settings(**tuning).model_copy(update={"service": ServiceSettings(**self.settings)})

        async def start(service) -> None:
            self.worker = Worker(service, self.cluster.processor(), ("calls.activity",), self.before_step)
            async with asyncio.TaskGroup() as group:
                await self.worker.run(group)

        return await run("silence", settings, start, signals=False)

    async def get(self, path: str) -> str:
        async with HttpClient("admin", timeout_s=10, any_status=True) as client:
            return (await client.request("GET", f"http://127.0.0.1:{self.port}{path}")).body.decode()

    async def metrics(self) -> dict[str, float]:
        """All samples by name, those of one name summed."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(await self.get("/metrics")):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
        return found

    async def facts(self) -> dict[str, float]:
        return json.loads(await self.get("/readyz"))["facts"]

    async def until(self, condition) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not await condition():
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(watched: Watched, **tuning) -> AsyncIterator[asyncio.Task[int]]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watched.run(**tuning))
        async with asyncio.timeout(DEADLINE_S):
            while not task.done() and not (watched.worker and watched.worker._service.health.is_ready()):
                await asyncio.sleep(0.02)
        yield task
        if not task.done():
            watched.worker._service.stopping.set()


async def test_what_the_operator_watches_moves(cluster: Cluster) -> None:
    watched = Watched(cluster)
    async with running(watched) as task:
        before = await watched.metrics()
        await cluster.append(0, frames(1, 40))
        await cluster.settled()
        after = await watched.metrics()
        for name in (
            "task_records_total",
            "task_commit_seconds_count",
            "task_step_seconds_count",
            "task_outputs_total",
        ):
            assert after[f"callstream_{name}"] > before.get(f"callstream_{name}", 0), name
        assert after["callstream_task_restore_seconds_count"] >= 2
        assert after["callstream_task_state_bytes"] > 0
        assert after["callstream_task_lag_seconds"] > 3600, "the records are of 2023"
        facts = await watched.facts()
        assert 0 < facts["last_commit_s"] < DEADLINE_S
        assert 0 < facts["last_restore_s"] < DEADLINE_S
        assert facts["lag_records"] == 0
        identity = Application("silence", cluster.kafka.topic_prefix).transactional_id(cluster.input_topic, 0)
        intruder = await start_producer(cluster.kafka, client_id="intruder", transactional_id=identity)
        await cluster.append(0, frames(1, 20, start=40))
        await cluster.settled()
        await intruder.stop()
        fenced = await watched.metrics()
        for name in ("task_fenced_total", "task_restarts_total", "task_restore_seconds_count"):
            assert fenced[f"callstream_{name}"] > after.get(f"callstream_{name}", 0), name
        assert (await watched.facts())["fenced"] > facts["fenced"]
    assert task.result() == 0


async def test_lag_and_the_age_of_the_commit_grow_while_commits_fail_and_the_restarts_end_the_process(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Watched(cluster)
    watched.before_step = fail
    async with running(watched, max_restarts=4) as task:
        before = (await watched.metrics()).get("callstream_task_restarts_total", 0)
        await cluster.append(0, frames(1, 40))
        await asyncio.wait({task}, timeout=DEADLINE_S)
        assert task.result() == 1
    said = capsys.readouterr().err
    assert f"{cluster.input_topic}/0 was restarted 4 times in 300 s, lastly for: " in said
    assert restarts() - before >= 4
    assert (await cluster.read("calls.activity"))[0] == []


def restarts() -> float:
    """All restarts of tasks in this process; the admin server is gone by then."""
    samples = (sample for family in TASK_RESTARTS.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


def fail(step: str) -> None:
    if step == "commit":
        raise OSError("injected")


async def test_a_consumer_whose_coordination_died_ends_the_process_with_1_after_a_drain(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Watched(cluster)
    async with running(watched, commit_interval_ms=60_000) as task:
        await cluster.append(0, frames(1, 40))
        await watched.until(lambda: processed(watched, 40))
        watched.worker.consumer._coordinator._coordination_task.cancel()
        await asyncio.wait({task}, timeout=DEADLINE_S)
        assert task.result() == 1
    assert "has stopped tending its membership" in capsys.readouterr().err
    # the drain has committed what was done
    assert await cluster.read("calls.activity") == cluster.expected()


async def processed(watched: Watched, position: int) -> bool:
    return any(host.position == position for host in watched.worker._hosts.values())


async def test_polls_that_stand_still_while_kafka_answers_end_the_process_with_1_after_a_drain(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(cluster, stuck_after_s=2)
    hanging = asyncio.Event()
    poll = membership.poll

    async def hang(*arguments):
        await (asyncio.Event().wait() if hanging.is_set() else asyncio.sleep(0))
        return await poll(*arguments)

    monkeypatch.setattr(worker, "poll", hang)
    async with running(watched, commit_interval_ms=60_000, commit_deadline_s=1) as task:
        await cluster.append(0, frames(1, 40))
        await watched.until(lambda: processed(watched, 40))
        hanging.set()
        await asyncio.wait({task}, timeout=DEADLINE_S)
        assert task.result() == 1
    assert "no progress for 2 s: " in capsys.readouterr().err
    assert await cluster.read("calls.activity") == cluster.expected()


@pytest.mark.slow
async def test_an_outage_of_kafka_is_no_standstill(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path / "kafka", cache_dir=CACHE_DIR) as broker:
        cluster = await create_cluster(broker.bootstrap_servers)
        watched = Watched(cluster, stuck_after_s=2)
        async with running(watched, commit_deadline_s=1) as task:
            await cluster.append(0, frames(1, 20))
            await cluster.settled()
            os.kill(broker.pid, signal.SIGSTOP)
            await asyncio.sleep(8)
            assert not task.done()
            os.kill(broker.pid, signal.SIGCONT)
            await cluster.append(0, frames(1, 20, start=20))
            await cluster.settled()
        assert task.result() == 0
