"""One Kafka for a whole test session, and names of topics that no other test uses.

A module that needs it says `pytest_plugins = ["tests.kafka_fixture"]`, so that all of them share one broker.
Nothing is asserted here, and tests import the names too: PYTEST_DONT_REWRITE.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from callstream.embedded_jars import DEFAULT_CACHE_DIR
from callstream.embedded_kafka import EmbeddedKafka

CACHE_DIR = Path(os.environ.get("CALLSTREAM_CACHE_DIR") or DEFAULT_CACHE_DIR)  # noqa: TID251  (the runner's choice)


def unique_topic(name: str = "test") -> str:
    """A topic name that starts with `name` and exists nowhere else."""
    return f"{name}.{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers: KAFKA_BOOTSTRAP_SERVERS if set, else an embedded broker that lives as long as the session.

    Not bound to an event loop, so tests of any loop scope can use it.
    """
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):  # noqa: TID251  (the runner's choice)
        yield given
        return
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka") / "data", cache_dir=CACHE_DIR, report=print)
    broker.start_sync()
    yield broker.bootstrap_servers
    broker.stop_sync()
