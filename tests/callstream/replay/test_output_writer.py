import uuid

import pytest

from callstream.replay.output_writer import output_writer
from callstream.topics_command import apply_catalogue
from runtime.config import KafkaSettings
from runtime.errors import InvalidRecord
from runtime.task import Output
from schemas.topics import SILENCE, SUBSCRIPTIONS
from tests.reading import read_committed

pytestmark = pytest.mark.kafka


@pytest.fixture
async def settings(kafka):
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    await apply_catalogue(settings, 2)
    return settings


async def test_outputs_stand_in_order_on_their_partition_with_their_time_and_headers(settings):
    outputs = [Output(SILENCE.name, b"k", b"%d" % n, 1000 + n, (("h", b"v"),)) for n in range(300)]
    async with output_writer(settings) as writer:
        await writer.write(1, outputs[:100])
        await writer.write(1, [])
        await writer.write(1, outputs[100:])
        assert writer.written == {SILENCE.name: 300}
    first, second = await read_committed(settings, settings.topic_prefix + SILENCE.name, 2)
    assert first == []
    found = [(row.key, row.value, row.timestamp, tuple(row.headers)) for row in second]
    assert found == [(o.key, o.value, o.timestamp_ms, o.headers) for o in outputs]


async def test_a_record_as_large_as_a_dead_letter_may_be_is_written(settings):
    async with output_writer(settings) as writer:
        await writer.write(0, [Output("silence.dlq", None, bytes(1_500_000), 1), Output("silence.dlq", None, b"", 2)])
    (first, _) = await read_committed(settings, f"{settings.topic_prefix}silence.dlq", 2)
    assert [len(row.value) for row in first] == [1_500_000, 0]


async def test_a_record_the_broker_refuses_is_an_error(settings):
    async with output_writer(settings) as writer:
        with pytest.raises(InvalidRecord):
            await writer.write(0, [Output(SUBSCRIPTIONS.name, None, b"compacted topics need a key", 1)])
