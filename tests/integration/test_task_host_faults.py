"""The task host while its process is frozen and while its broker is gone: nothing lost, nothing twice, nobody hangs."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callstream.embedded_kafka import EmbeddedKafka
from callstream.embedded_process import GuardedProcess, last_lines
from runtime import checkpoint
from runtime.checkpoint import Application, ChangelogReader, Restored, changelog_key
from runtime.config import child_environment
from runtime.kafka import start_producer
from runtime.service import run
from runtime.worker import run_tasks
from schemas.codec import SchemaStore
from schemas.topics import dead_letters
from tests.integration.test_task_host import DEADLINE_S, Cluster, create_cluster, frames, worker
from tests.kafka_fixture import CACHE_DIR

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def cluster(kafka: str) -> Cluster:
    return await create_cluster(kafka)


class Process:
    """A worker as a process; `frozen` is set once it has stopped itself."""

    def __init__(self, cluster: Cluster, folder: Path, name: str, step: str = "", **tuning: int) -> None:
        self.flag = folder / f"{name}.frozen"
        self.log = folder / f"{name}.log"
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": cluster.kafka.bootstrap_servers,
            "TOPIC_PREFIX": cluster.kafka.topic_prefix,
            "PYTHONPATH": str(ROOT),
            "SILENCE_ADMIN_PORT": "0",
            "SILENCE_TASK_HOST_COMMIT_INTERVAL_MS": "20",
            "SILENCE_TASK_HOST_HEARTBEAT_INTERVAL_MS": "300",
            **{f"SILENCE_TASK_HOST_{key.upper()}": str(value) for key, value in tuning.items()},
        }
        command = [sys.executable, str(ROOT / "tests/integration/task_worker.py"), cluster.input_topic]
        freeze = [step, str(self.flag)] if step else []
        self.process = GuardedProcess(command + freeze, folder, self.log, environment=child_environment(variables))

    async def frozen(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not self.flag.exists():
                assert self.process.exit_code() is None, last_lines(self.log)
                await asyncio.sleep(0.05)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    async def stop(self) -> int | None:
        await self.process.stop(30)
        return self.process.exit_code()


@contextlib.asynccontextmanager
async def process(cluster: Cluster, folder: Path, name: str, step: str = "", **tuning: int) -> AsyncIterator[Process]:
    started = Process(cluster, folder, name, step, **tuning)
    try:
        yield started
        assert await started.stop() == 0, last_lines(started.log)
    finally:
        started.process.kill()


async def test_a_worker_frozen_beyond_its_transaction_timeout_goes_on_with_its_partition(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.append(0, frames(1, 40))
    async with process(
        cluster, tmp_path, "alone", "commit", transaction_timeout_ms=2000, session_timeout_ms=15_000
    ) as p:
        await p.frozen()
        await cluster.append(0, frames(1, 40, start=40))
        await asyncio.sleep(4)
        p.go_on()
        await cluster.settled()
        text = p.log.read_text()
        assert '"cause": "fenced"' in text
        assert text.count('"partitions assigned"') == 1


@pytest.mark.parametrize("step", ["begin", "await", "commit"])
async def test_a_zombie_finds_out_and_both_workers_go_on(cluster: Cluster, tmp_path: Path, step: str) -> None:
    await cluster.append(0, frames(1, 40))
    await cluster.append(1, frames(2, 40))
    async with process(cluster, tmp_path, "zombie", step, session_timeout_ms=1500) as zombie:
        await zombie.frozen()
        async with process(cluster, tmp_path, "heir", session_timeout_ms=1500):
            await cluster.append(0, frames(1, 40, start=40))
            await cluster.settled()
            zombie.go_on()
            await cluster.append(0, frames(1, 40, start=80))
            await cluster.append(1, frames(2, 40, start=40))
            await cluster.settled()
        await cluster.append(1, frames(2, 40, start=80))
        await cluster.settled()


async def test_a_kill_before_each_step_of_a_commit_loses_and_repeats_nothing(cluster: Cluster, tmp_path: Path) -> None:
    for number, step in enumerate(["begin", "outputs", "state", "await", "offsets", "commit"]):
        await cluster.append(0, frames(1, 20, start=20 * number))
        victim = Process(cluster, tmp_path, f"before-{step}", step, session_timeout_ms=1500)
        try:
            await victim.frozen()
        finally:
            victim.process.kill()
    async with process(cluster, tmp_path, "heir", session_timeout_ms=1500):
        await cluster.settled()


@contextlib.asynccontextmanager
async def own_broker(folder: Path) -> AsyncIterator[EmbeddedKafka]:
    async with EmbeddedKafka(folder / "kafka", cache_dir=CACHE_DIR) as broker:
        yield broker


async def test_a_broker_that_dies_and_returns_costs_nothing_and_a_stop_does_not_wait_for_it(tmp_path: Path) -> None:
    async with own_broker(tmp_path) as broker:
        cluster = await create_cluster(broker.bootstrap_servers)
        await cluster.append(0, frames(1, 40))
        killed = asyncio.Event()

        def kill(name: str) -> None:
            if name == "commit" and not killed.is_set():
                broker.kill()
                killed.set()

        loop = asyncio.get_running_loop()
        async with worker(cluster, before_step=kill, commit_deadline_s=2):
            await killed.wait()
            await asyncio.sleep(4)
            await broker.start()
            await cluster.append(1, frames(2, 40))
            await cluster.append(0, frames(1, 40, start=40))
            await cluster.settled()
            broker.kill()
            stopped_s = loop.time()
        assert loop.time() - stopped_s < 25


async def test_a_stop_during_an_outage_with_a_commit_under_way_ends_with_exit_code_0(tmp_path: Path) -> None:
    async with own_broker(tmp_path) as broker:
        cluster = await create_cluster(broker.bootstrap_servers)
        await cluster.append(0, frames(1, 40))
        killed = asyncio.Event()

        def kill(name: str) -> None:
            if name == "commit" and not killed.is_set():
                broker.kill()
                killed.set()

        async with worker(cluster, before_step=kill):
            await killed.wait()
        await broker.start()
        async with worker(cluster):
            await cluster.settled()


async def test_a_stop_while_a_frozen_broker_keeps_the_worker_waiting_ends_with_exit_code_0(tmp_path: Path) -> None:
    async with own_broker(tmp_path) as broker:
        cluster = await create_cluster(broker.bootstrap_servers)
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            async with worker(cluster):
                await asyncio.sleep(1)
        finally:
            os.kill(broker.pid, signal.SIGCONT)


async def test_a_garbage_record_as_large_as_the_topic_takes_becomes_a_dead_letter(cluster: Cluster) -> None:
    garbage = b"\xee" * 1_048_500
    await cluster.append(0, frames(1, 10))
    producer = await start_producer(
        cluster.kafka, client_id="test", max_request_size=2 * 2**20, max_batch_size=2 * 2**20
    )
    await producer.send_and_wait(cluster.input_topic, value=garbage, partition=0, timestamp_ms=1_700_000_000_000)
    await producer.stop()
    cluster.log[0].append((garbage, None, 1_700_000_000_000))
    await cluster.append(0, frames(1, 10, start=10))
    async with worker(cluster):
        await cluster.settled()
    ((_, _, value, _),) = (await cluster.read(dead_letters("silence").name))[0]
    assert value == garbage


async def test_a_changelog_of_aborted_records_only_means_a_first_start(cluster: Cluster) -> None:
    application = Application("silence", cluster.kafka.topic_prefix)
    identity = application.transactional_id(cluster.input_topic, 0)
    for _ in range(12):
        producer = await start_producer(cluster.kafka, client_id="aborting", transactional_id=identity)
        await producer.begin_transaction()
        key = changelog_key(cluster.input_topic, 0)
        await producer.send_and_wait(application.changelog_topic, value=b"never seen", key=key, partition=0)
        await producer.abort_transaction()
        await producer.stop()
    reader = ChangelogReader(cluster.kafka, application, SchemaStore())
    try:
        assert await reader.read(cluster.input_topic, 0) == Restored()
    finally:
        await reader.close()
    await cluster.append(0, frames(1, 20))
    async with worker(cluster):
        await cluster.settled()


async def test_the_newest_state_is_found_behind_many_aborted_transactions(cluster: Cluster) -> None:
    await cluster.append(0, frames(1, 20))
    async with worker(cluster):
        await cluster.settled()
    application = Application("silence", cluster.kafka.topic_prefix)
    identity = application.transactional_id(cluster.input_topic, 0)
    for _ in range(12):
        producer = await start_producer(cluster.kafka, client_id="aborting", transactional_id=identity)
        await producer.begin_transaction()
        key = changelog_key(cluster.input_topic, 0)
        await producer.send_and_wait(application.changelog_topic, value=b"never seen", key=key, partition=0)
        await producer.abort_transaction()
        await producer.stop()
    await cluster.append(0, frames(1, 20, start=20))
    async with worker(cluster):
        await cluster.settled()


async def test_a_state_that_is_too_large_ends_the_worker_with_the_partition_s_name(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoint, "MAX_STATE_BYTES", 10)
    await cluster.append(0, frames(1, 20))

    async def start(service) -> None:
        await run_tasks(service, cluster.processor(), outputs=["calls.activity"])

    async with asyncio.timeout(DEADLINE_S):
        assert await run("silence", cluster.settings(), start, signals=False) == 1
    assert f"{cluster.input_topic}" in capsys.readouterr().err


async def test_a_stop_while_a_frozen_member_holds_the_rebalance_up_ends_with_exit_code_0(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.append(0, frames(1, 20))
    loop = asyncio.get_running_loop()
    async with process(cluster, tmp_path, "frozen", session_timeout_ms=8000) as frozen:
        await cluster.settled()
        async with worker(cluster, session_timeout_ms=8000) as service:
            async with asyncio.timeout(DEADLINE_S):
                while not service.health.is_ready():
                    await asyncio.sleep(0.05)
            os.kill(frozen.process.pid, signal.SIGSTOP)
            try:
                async with worker(cluster, session_timeout_ms=8000) as joining:
                    await asyncio.sleep(2)
                    assert not joining.health.is_ready()
                    stopped_s = loop.time()
                assert loop.time() - stopped_s < 10
                stopped_s = loop.time()
            finally:
                frozen.go_on()
        assert loop.time() - stopped_s < 15
        await cluster.append(1, frames(2, 20))
        await cluster.settled()
