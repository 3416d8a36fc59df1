"""An owner that finds out in the middle of a commit that its partition was taken over."""

import asyncio
import gc
import uuid
from typing import Any

import pytest

from runtime.checkpoint import Application, Checkpoint
from runtime.config import KafkaSettings
from runtime.errors import Fenced
from runtime.kafka import TopicPartition, start_producer
from runtime.task import Frozen, Output
from schemas.codec import SchemaStore
from schemas.records import ChangelogEntry
from tests.faults.call_log import create_outputs

pytestmark = pytest.mark.kafka

TP = TopicPartition("calls.audio", 0)


def frozen(batches: int) -> Frozen:
    """Outputs of so many batches: each waits until the one before it has been taken by the client's sender."""
    entry = ChangelogEntry(version=1, position=7)
    outputs = tuple(Output("calls.activity", b"key", bytes(500_000), 1_700_000_000_000) for _ in range(batches))
    return Frozen(outputs, entry, SchemaStore().encode(entry))


class Slow(Checkpoint):
    """Sends the state only once the client has noticed that it was fenced."""

    async def _send_state(self, value: bytes) -> Any:
        while not self._producer._txn_manager.is_fatal_error():
            await asyncio.sleep(0.01)
        return await super()._send_state(value)


@pytest.mark.parametrize("kind", [Checkpoint, Slow])
@pytest.mark.parametrize("batches", [1, 3])
async def test_whoever_was_fenced_is_told_so_wherever_in_the_commit_it_notices(
    kafka: str, kind: type[Checkpoint], batches: int
) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.fenced-{uuid.uuid4().hex}.")
    await create_outputs(settings, ["calls.activity"])
    application = Application("silence", settings.topic_prefix)
    former = await kind.open(settings, application, TP, 60_000)
    owner = await start_producer(
        settings, client_id="owner", transactional_id=application.transactional_id(TP.topic, TP.partition)
    )
    unnoticed: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unnoticed.append(str(context)))
    try:
        async with asyncio.timeout(30):
            for _ in range(2):
                with pytest.raises(Fenced):
                    await former.commit(frozen(batches), 20)
            gc.collect()
    finally:
        asyncio.get_running_loop().set_exception_handler(None)
        await former.close()
        await owner.stop()
    # batches that wait for each other leave errors of the client's own behind
    assert batches > 1 or unnoticed == []
