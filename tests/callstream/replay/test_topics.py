import asyncio
import uuid

import pytest

from callstream.replay import topics
from callstream.topics_command import apply_catalogue, describe
from runtime.config import KafkaSettings
from runtime.errors import ConfigError, Unavailable
from schemas.topics import LOSS, SILENCE, dead_letters

pytestmark = pytest.mark.kafka
WRITTEN = (SILENCE, LOSS, dead_letters("loss"))


@pytest.fixture
def settings(kafka):
    return KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")


async def test_topics_of_a_replay_have_the_partitions_asked_for_and_no_retention_in_time(settings):
    names = await topics.create(settings, WRITTEN, 3)
    assert names == sorted(settings.topic_prefix + topic.name for topic in WRITTEN) == await topics.existing(settings)
    found = await describe(settings)
    assert {(one.partitions, one.settings["retention.ms"]) for one in found.values()} == {(3, "-1")}
    assert found[names[0]].settings["message.timestamp.type"] == "CreateTime"
    await topics.remove(settings, names)
    assert await topics.existing(settings) == []
    await topics.remove(settings, names)


async def test_a_topic_that_is_there_already_leaves_none_of_ours_behind(settings):
    await topics.create(settings, [SILENCE], 1)
    with pytest.raises(ConfigError, match=r"calls\.silence: exists already"):
        await topics.create(settings, WRITTEN, 1)
    assert await topics.existing(settings) == [f"{settings.topic_prefix}calls.silence"]


async def test_an_interruption_while_they_are_made_leaves_none_behind(settings, monkeypatch):
    async def never(admin, kafka, done, what):
        if "show" in what:
            raise asyncio.CancelledError
        await until(admin, kafka, done, what)

    until = topics._until
    monkeypatch.setattr(topics, "_until", never)
    with pytest.raises(asyncio.CancelledError):
        await topics.create(settings, WRITTEN, 1)
    assert await topics.existing(settings) == []


async def test_live_topics_are_never_removed(settings):
    live = settings.model_copy(update={"topic_prefix": ""})
    with pytest.raises(ConfigError, match="only topics of a replay"):
        await topics.remove(live, ["calls.audio"])
    with pytest.raises(ConfigError, match="only topics of a replay"):
        await topics.remove(settings, ["calls.audio"])
    assert await topics.existing(live) == []


async def test_inputs_must_be_there_with_one_partition_count(settings):
    await apply_catalogue(settings, 2)
    names = [f"{settings.topic_prefix}{name}" for name in ("calls.audio", "calls.events")]
    assert await topics.input_partitions(settings, names) == 2
    with pytest.raises(ConfigError, match="nowhere: there is no such topic"):
        await topics.input_partitions(settings, ["nowhere"])
    other = settings.model_copy(update={"topic_prefix": f"replay.{uuid.uuid4().hex[:12]}."})
    (odd,) = await topics.create(other, [SILENCE], 1)
    with pytest.raises(ConfigError, match="same partition count"):
        await topics.input_partitions(settings, [names[0], odd])


def test_codes_of_the_cluster_say_who_must_act():
    topics._refuse({"a": 0})
    with pytest.raises(Unavailable):
        topics._refuse({"a": 41})
    with pytest.raises(ConfigError, match="a: the cluster refuses, code 29"):
        topics._refuse({"a": 29})
