import uuid

import pytest

from callstream.dead_letters_topic import dead_letter_topics
from callstream.topics_command import apply_catalogue
from runtime.config import KafkaSettings
from runtime.errors import ConfigError
from runtime.kafka import start_producer, stop_quietly
from schemas.topics import dead_letters

pytestmark = pytest.mark.kafka


@pytest.fixture
async def settings(kafka):
    """Topics under a prefix of this test's own, with four letters: two of them in a transaction that was aborted."""
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    await apply_catalogue(settings, 2)
    topic = settings.topic_prefix + dead_letters("silence").name
    producer = await start_producer(settings, client_id="test", transactional_id=f"test.{uuid.uuid4().hex}")
    for value, kept in ((b"one", True), (b"never", False), (b"two", True)):
        await producer.begin_transaction()
        await producer.send_and_wait(topic, value, key=b"k", partition=1, headers=[("h", b"x")], timestamp_ms=7)
        await (producer.commit_transaction() if kept else producer.abort_transaction())
    await stop_quietly(producer)
    return settings


async def values(settings, *groups):
    found = []
    async with dead_letter_topics(settings, groups) as topics:
        await topics.each(found.append)
    return [(letter.group, letter.partition, letter.value) for letter in found]


async def test_committed_letters_are_read_from_first_to_last(settings):
    assert await values(settings, "silence", "audit_log") == [("silence", 1, b"one"), ("silence", 1, b"two")]


async def test_one_letter_is_found_by_its_place(settings):
    async with dead_letter_topics(settings, ["silence"]) as topics:
        letter = await topics.one("silence", 1, 0)
        assert (letter.key, letter.value, letter.timestamp_ms, letter.headers) == (b"k", b"one", 7, (("h", b"x"),))
        for partition, offset in ((1, 99), (0, 0), (2, 0), (1, 2)):
            with pytest.raises(ConfigError, match=r"no such dead letter|2 partitions"):
                await topics.one("silence", partition, offset)


async def test_what_is_deleted_is_gone_and_what_follows_stays(settings):
    async with dead_letter_topics(settings, ["silence"]) as topics:
        await topics.delete("silence", {1: 1})
    assert await values(settings, "silence") == [("silence", 1, b"two")]
    async with dead_letter_topics(settings, ["silence"]) as topics:
        assert topics.span("silence", 1)[0] == 1


async def test_an_unknown_group_is_refused_and_a_missing_topic_is_absent(kafka):
    nowhere = KafkaSettings(bootstrap_servers=kafka, topic_prefix="replay.nowhere.")
    async with dead_letter_topics(nowhere, ["silence"]) as topics:
        assert topics.spans == {}
    with pytest.raises(ConfigError, match="nobody: there is no such group; there are audit_log"):
        await values(nowhere, "nobody")
