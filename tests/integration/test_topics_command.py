import asyncio
import uuid

import pytest

from callstream.topics_command import apply_catalogue, describe
from callstream.topics_plan import Alter, Create, Keep
from runtime.config import KafkaSettings
from runtime.errors import ConfigError, Unavailable
from runtime.kafka import ConfigResource, ConfigResourceType, admin_client
from schemas.topics import all_topics

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(kafka):
    """Topics under a prefix of this test's own."""
    return KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")


async def set_on(settings, name, **own):
    async with admin_client(settings, "test") as admin:
        topic = settings.topic_prefix + name
        await admin.alter_configs(
            [
                ConfigResource(
                    ConfigResourceType.TOPIC, topic, {key.replace("_", "."): text for key, text in own.items()}
                )
            ]
        )


async def shown(settings, name, cleanup_policy):
    """Wait until the broker shows what its controller was told, and return the topic."""
    async with asyncio.timeout(30):
        while True:
            found = (await describe(settings))[name]
            if found.settings["cleanup.policy"] == cleanup_policy:
                return found


async def test_topics_are_created_once_and_then_as_they_should_be(settings):
    first = await apply_catalogue(settings, 2)
    assert {type(step) for step in first} == {Create}
    assert len(first) == len(all_topics())
    assert {type(step) for step in await apply_catalogue(settings)} == {Keep}
    found = await describe(settings)
    assert {topic.partitions for topic in found.values()} == {2}
    assert found[f"{settings.topic_prefix}calls.audio"].settings["message.timestamp.type"] == "LogAppendTime"


async def test_another_count_is_refused_by_name(settings):
    await apply_catalogue(settings, 2)
    with pytest.raises(ConfigError, match=r"calls\.audio: has 2 partitions, not 3"):
        await apply_catalogue(settings, 3)


async def test_a_correction_keeps_what_others_set(settings):
    await apply_catalogue(settings, 1)
    name = f"{settings.topic_prefix}calls.subscriptions"
    await set_on(settings, "calls.subscriptions", cleanup_policy="delete", max_message_bytes="2000000")
    await shown(settings, name, "delete")
    steps = await apply_catalogue(settings)
    assert [step.name for step in steps if isinstance(step, Alter)] == [name]
    found = await shown(settings, name, "compact")
    assert found.own["max.message.bytes"] == "2000000"


async def test_no_broker_is_unavailable():
    with pytest.raises(Unavailable):
        await apply_catalogue(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
