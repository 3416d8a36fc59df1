"""The Forwarder while processes join, leave, die and freeze, and its broker is gone: no turn twice, nothing lost."""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callstream.embedded_kafka import EmbeddedKafka
from callstream.embedded_process import GuardedProcess, last_lines
from runtime.config import child_environment
from runtime.kafka import start_producer
from schemas.symbols import TurnState
from tests.integration.test_forwarder import DEADLINE_S, STORE, Cluster, create_cluster, ready, worker
from tests.kafka_fixture import CACHE_DIR
from tests.runtime.talking import until, utterance

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
SESSION_MS = 1500


@pytest.fixture
async def cluster(kafka: str, tmp_path: Path) -> Cluster:
    return await create_cluster(kafka, tmp_path)


class Process:
    """A worker as a process; `flag` exists once it has done its act."""

    def __init__(self, cluster: Cluster, name: str, act: str = "") -> None:
        folder = cluster.sent.parent
        self.flag = folder / f"{name}.flag"
        self.log = folder / f"{name}.log"
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": cluster.kafka.bootstrap_servers,
            "TOPIC_PREFIX": cluster.kafka.topic_prefix,
            "PYTHONPATH": str(ROOT),
            "COGNIGY_ADMIN_PORT": "0",
            "COGNIGY_FORWARDER_COMMIT_INTERVAL_MS": "100",
            "COGNIGY_FORWARDER_HEARTBEAT_INTERVAL_MS": "300",
            "COGNIGY_FORWARDER_SESSION_TIMEOUT_MS": str(SESSION_MS),
        }
        script = str(ROOT / "tests/integration/forward_worker.py")
        command = [sys.executable, script, cluster.input_topic, str(cluster.sent)]
        acting = [act, str(self.flag)] if act else []
        self.process = GuardedProcess(command + acting, folder, self.log, environment=child_environment(variables))

    async def says(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not self.log.exists() or self.log.read_text(encoding="utf-8").count(text) < times:
                assert self.process.exit_code() is None, last_lines(self.log)
                await asyncio.sleep(0.05)

    async def acted(self) -> None:
        await until(self.flag.exists)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def process(cluster: Cluster, name: str, act: str = "", exit_code: int = 0) -> AsyncIterator[Process]:
    started = Process(cluster, name, act)
    try:
        yield started
        await started.process.stop(30)
        assert started.process.exit_code() == exit_code, last_lines(started.log)
    finally:
        started.process.kill()


async def feed(cluster: Cluster, stop: asyncio.Event) -> dict[str, list[str]]:
    """Append texts of six keys to both partitions until told to stop; return them by key."""
    appended: dict[str, list[str]] = {}
    producer = await start_producer(cluster.kafka, client_id="feed")
    for number in itertools.count():
        if stop.is_set():
            break
        partition, key = number % 2, f"key{number % 6}"
        text = f"{key}-{number}"
        value = STORE.encode(utterance(text, key))
        await producer.send_and_wait(cluster.input_topic, value=value, key=key.encode(), partition=partition)
        appended.setdefault(key, []).append(text)
        await asyncio.sleep(0.01)
    await producer.stop()
    return appended


async def test_workers_that_join_and_leave_keep_the_order_of_each_key_and_lose_nothing(cluster: Cluster) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks, process(cluster, "one") as one:
        feeding = tasks.create_task(feed(cluster, stop))
        await one.says("partition taken over", 2)
        async with process(cluster, "two") as two:
            await two.says("partition taken over")
            await asyncio.sleep(0.5)
        await one.says("partition taken over", 5)
        stop.set()
        appended = await feeding
        everything = sum(map(len, appended.values()))
        async with asyncio.timeout(DEADLINE_S):
            while len(answers := await cluster.answers(0) + await cluster.answers(1)) < everything:
                await asyncio.sleep(0.1)
    sent = cluster.texts_sent()
    for key, texts in appended.items():
        assert [text for text in sent if text.startswith(f"{key}-")] == texts
    assert Counter(answers) == {(text, TurnState.ANSWERED): 1 for texts in appended.values() for text in texts}


async def test_a_turn_whose_worker_died_behind_the_intent_is_ambiguous_and_not_sent_again(cluster: Cluster) -> None:
    await cluster.append(0, "one", "two")
    async with process(cluster, "victim", "kill", exit_code=-signal.SIGKILL) as victim:
        await victim.acted()
        async with worker(cluster, session_timeout_ms=SESSION_MS):
            answers = await cluster.answered(0, 2)
    assert answers == [("one", TurnState.AMBIGUOUS), ("two", TurnState.ANSWERED)]
    assert cluster.texts_sent() == ["one", "two"]


async def test_a_worker_frozen_before_it_proved_its_partition_sends_nothing_when_it_wakes(cluster: Cluster) -> None:
    await cluster.append(0, "one", "two")
    async with process(cluster, "zombie", "stop") as zombie:
        await zombie.acted()
        async with worker(cluster, session_timeout_ms=SESSION_MS):
            answers = await cluster.answered(0, 2)
            assert answers == [("one", TurnState.AMBIGUOUS), ("two", TurnState.ANSWERED)]
            zombie.go_on()
            fenced = cluster.sent.with_suffix(".fenced")
            await until(fenced.exists)
            assert fenced.read_text(encoding="utf-8").split() == ["one"]
            await zombie.says("partition taken over", 3)
            await cluster.append(0, "three")
            await cluster.append(1, "four")
            await cluster.answered(0, 3)
            await cluster.answered(1, 1)
    assert Counter(cluster.texts_sent()) == {"two": 1, "three": 1, "four": 1}


async def test_a_worker_frozen_before_its_intent_sends_nothing_though_its_successor_has_gone_too(
    cluster: Cluster,
) -> None:
    await cluster.append(0, "one", "two")
    async with process(cluster, "zombie", "stop early") as zombie:
        await zombie.acted()
        async with worker(cluster, session_timeout_ms=SESSION_MS):
            await cluster.answered(0, 2)
        # the group is empty now, and takes commits of whoever names no generation
        zombie.go_on()
        await zombie.says("partition taken over", 3)
        await cluster.append(0, "three")
        await cluster.answered(0, 3)
    assert Counter(cluster.texts_sent()) == {"one": 1, "two": 1, "three": 1}


async def test_jobs_wait_for_a_broker_that_died_and_go_on_when_it_returns(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path / "kafka", cache_dir=CACHE_DIR) as broker:
        cluster = await create_cluster(broker.bootstrap_servers, tmp_path)
        gone = asyncio.Event()

        async def kill(text: str) -> None:
            if text == "two":
                broker.kill()
                gone.set()

        await cluster.append(0, "one", "two", "three")
        async with worker(cluster, cluster.talking(kill)) as service:
            await gone.wait()
            await asyncio.sleep(1)
            await broker.start()
            answers = await cluster.answered(0, 3)
            await until(service.health.is_ready)
    assert list(dict.fromkeys(answers)) == [(text, TurnState.ANSWERED) for text in ("one", "two", "three")]
    assert cluster.texts_sent() == ["one", "two", "three"]


async def test_a_stop_while_the_broker_is_gone_does_not_wait_for_it(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path / "kafka", cache_dir=CACHE_DIR) as broker:
        cluster = await create_cluster(broker.bootstrap_servers, tmp_path)
        loop = asyncio.get_running_loop()
        await cluster.append(0, "one")
        async with worker(cluster) as service:
            await ready(service)
            await cluster.answered(0, 1)
            broker.kill()
            stopped_s = loop.time()
        assert loop.time() - stopped_s < 25
