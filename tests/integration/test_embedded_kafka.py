"""The real Kafka: records outlive a crash, a warm start needs nothing but its cache, nothing is left behind."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # noqa: TID251  (the broker is under test)
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # noqa: TID251

from callstream.embedded_errors import KafkaStartError
from callstream.embedded_jars import download, ensure_jars
from callstream.embedded_kafka import EmbeddedKafka
from tests.kafka_fixture import CACHE_DIR, unique_topic

pytest_plugins = ["tests.kafka_fixture"]
pytestmark = pytest.mark.kafka


async def no_network(_folder: Path, _received: Callable[[int], None]) -> None:
    message = "the resolver was called"
    raise AssertionError(message)


async def create_topic(bootstrap_servers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def produce(bootstrap_servers: str, topic: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)


async def consume(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    values: list[bytes] = []
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(20):
            while len(values) < count:
                polled = await consumer.getmany(timeout_ms=1000)
                values += [record.value for records in polled.values() for record in records]
    return values


def ephemeral_broker(temporary: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "callstream.broker_command", "--port", "0", "--ephemeral"]
    environment = {"CALLSTREAM_CACHE_DIR": str(CACHE_DIR), "TMPDIR": str(temporary)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def java_child(pid: int) -> int:
    return int(subprocess.run(["pgrep", "-P", str(pid), "java"], capture_output=True, check=True).stdout)


def is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False).stdout.strip()
    return bool(state) and not state.startswith(b"Z")


async def gone(pid: int) -> bool:
    async with asyncio.timeout(20):
        while is_running(pid):
            await asyncio.sleep(0.05)
    return True


async def archive_of(jars: Path) -> Path:
    """The archive of classes, once it is made."""
    async with asyncio.timeout(400):
        while not (made := list(jars.parent.glob("*.jsa"))):
            await asyncio.sleep(0.1)
    return made[0]


def has_mapped(pid: int | None, file: Path) -> bool:
    return str(file) in Path(f"/proc/{pid}/maps").read_text()


async def takes_classes_from(broker: EmbeddedKafka, archive: Path) -> bool:
    """Start, look whether Java has mapped the archive, carry a record, stop."""
    async with broker:
        topic = unique_topic()
        await create_topic(broker.bootstrap_servers, topic)
        await produce(broker.bootstrap_servers, topic, [b"one"])
        assert await consume(broker.bootstrap_servers, topic, 1) == [b"one"]
        return has_mapped(broker.pid, archive)


async def test_the_shared_broker_carries_records(kafka: str):
    topic = unique_topic()
    await create_topic(kafka, topic)
    await produce(kafka, topic, [b"one", b"two"])

    assert await consume(kafka, topic, 2) == [b"one", b"two"]


@pytest.mark.slow
async def test_records_outlive_a_crash_and_a_warm_start_needs_no_network(tmp_path: Path):
    broker = EmbeddedKafka(tmp_path / "data", cache_dir=CACHE_DIR)
    topic = unique_topic()
    try:
        await broker.start()
        port = broker.port
        await create_topic(broker.bootstrap_servers, topic)
        await produce(broker.bootstrap_servers, topic, [b"before"])
        broker.kill()

        broker.resolver = no_network
        await broker.start()
        await produce(broker.bootstrap_servers, topic, [b"after"])

        assert broker.port == port
        assert await consume(broker.bootstrap_servers, topic, 2) == [b"before", b"after"]

        other = EmbeddedKafka(tmp_path / "other", port=port, cache_dir=CACHE_DIR, resolver=no_network)
        with pytest.raises(KafkaStartError, match=f"Port {port} "):
            await other.start()
    finally:
        await broker.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)  # a busy machine lets the making of the archive wait
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells which files a process has mapped")
async def test_the_first_start_leaves_an_archive_of_classes_that_later_ones_use_unless_it_is_damaged(tmp_path: Path):
    cached = await ensure_jars(CACHE_DIR, download, print)
    jars = Path(shutil.copytree(cached, tmp_path / "cache" / cached.parent.name / "jars"))

    def broker(name: str) -> EmbeddedKafka:
        return EmbeddedKafka(tmp_path / name, cache_dir=tmp_path / "cache", resolver=no_network)

    async with broker("first"):
        archive = await archive_of(jars)

    assert await takes_classes_from(broker("second"), archive)
    size_bytes = archive.stat().st_size
    archive.chmod(0o600)
    os.truncate(archive, size_bytes // 2)
    damaged = broker("damaged")
    assert not await takes_classes_from(damaged, archive)
    assert "archive" not in damaged.log_path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_the_command_leaves_no_broker_behind(tmp_path: Path, number: signal.Signals):
    # the command gets no more of the environment than it needs, and a download may need more
    await ensure_jars(CACHE_DIR, download, print)
    with ephemeral_broker(tmp_path) as process:
        try:
            ready = process.stdout.readline()
            java = java_child(process.pid)
        finally:
            process.send_signal(number)
        exit_code = process.wait(timeout=100)

    assert b" is ready at 127.0.0.1:" in ready
    assert await gone(java)
    if number == signal.SIGKILL:
        assert exit_code == -signal.SIGKILL
    else:
        assert exit_code == 0
        assert os.listdir(tmp_path) == []  # noqa: PTH208
