"""Ingest and the calls it is asked to follow, over real sockets and a real broker."""

import asyncio
from pathlib import Path

import pytest

from ingest.config import IngestSettings
from ingest.follow_settings import FollowSettings
from ingest.publishing import SubscriptionsTopic
from ingest.wishes import Change
from runtime.config import KafkaSettings, RegistrySettings
from runtime.kafka import NewTopic, Partitioner, TopicPartition, start_admin, start_consumer, start_producer
from runtime.metrics import INGEST_FOLLOW_MEMBER
from runtime.registry import Registry
from schemas.codec import SchemaStore
from schemas.records import Subscription
from schemas.topics import AUDIO, EVENTS, SUBSCRIPTIONS, dead_letters
from tests.integration.test_dialled_sources import CALL, SPOKEN, Peers, base, dialling, topic
from tests.integration.test_ingest import PARTITIONS, free_port, ingest, until

__all__ = ["base", "topic"]
"""Fixtures."""

pytestmark = pytest.mark.kafka

FOLLOWED, ENDED = ("OPENED", "UNKNOWN"), ("CLOSED", "END")


def unlisted(base: IngestSettings, peers: Peers, file: Path | None = None) -> IngestSettings:
    """Settings that can dial and name no call."""
    settings = dialling(base, peers)
    return settings.model_copy(
        update={
            "media_streams": settings.media_streams.model_copy(update={"interactions": ()}),
            "follow": FollowSettings(file=file),
        }
    )


def wishes(settings: IngestSettings) -> SubscriptionsTopic:
    return SubscriptionsTopic(settings.kafka, Registry(RegistrySettings()), SchemaStore(), "test")


async def test_a_call_is_followed_when_it_is_asked_for_and_ends_when_it_is_taken_back(base, topic):
    async with Peers().serving() as peers:
        settings = unlisted(base, peers)
        async with ingest(settings):
            wish = Subscription(conversation_id=CALL, source_name="media-streams")
            await wishes(settings).write([Change(CALL, CALL, wish)], PARTITIONS)
            await peers.media.until(lambda: bool(peers.media.peers(CALL)))
            await peers.speak(0, SPOKEN[:160])
            await topic.until(lambda found: len(found.payloads()) == 1)
            await wishes(settings).write([Change(CALL, CALL, None)], PARTITIONS)
            found = await topic.until(lambda found: ENDED in found.marks())
            await peers.media.until(lambda: not peers.media.peers(CALL))
    assert found.marks() == [FOLLOWED, ENDED]


async def test_a_file_asks_for_calls_and_takes_them_back(base, topic, tmp_path):
    file = tmp_path / "follow.jsonl"
    file.write_text(f'{{"conversation_id": "{CALL}", "source_name": "media-streams"}}\n')
    async with Peers().serving() as peers:
        settings = unlisted(base, peers, file)
        async with ingest(settings):
            await peers.media.until(lambda: bool(peers.media.peers(CALL)))
            file.write_text("")
            found = await topic.until(lambda found: ENDED in found.marks())
    assert found.marks() == [FOLLOWED, ENDED]
    assert await wishes(settings).read() == ({}, PARTITIONS)


async def test_a_list_that_became_shorter_while_nobody_ran_ends_its_calls(base, topic):
    async with Peers().serving() as peers:
        async with ingest(dialling(base, peers)):
            await peers.media.until(lambda: bool(peers.media.peers(CALL)))
        assert list((await wishes(base).read())[0]) == [CALL]
        async with ingest(unlisted(base, peers)), asyncio.timeout(20):
            while (await wishes(base).read())[0]:
                await asyncio.sleep(0.05)
    assert (await topic.rest()).marks()[:2] == [FOLLOWED, ("CLOSED", "DRAIN")]


async def test_a_restart_goes_on_from_the_session_before(base, topic):
    async with Peers().serving() as peers:
        settings = dialling(base, peers)
        for number in range(2):
            async with ingest(settings):
                await peers.media.until(lambda: bool(peers.media.peers(CALL)))
                await peers.speak(number, SPOKEN[:160])
                await topic.until(lambda found, count=number + 1: len(found.payloads()) == count)
    found = await topic.rest()
    assert found.marks() == [FOLLOWED, ("CLOSED", "DRAIN"), FOLLOWED, ("GAP", "TAKEOVER"), ("CLOSED", "DRAIN")]
    (_, first), (row, second) = sorted(found.frames.infos.items())
    assert first.continued_from is None
    assert second.continued_from is not None
    assert found.frames.sequence[row] == 0


async def test_a_bad_subscription_is_a_dead_letter_and_the_others_are_followed(base, topic):
    producer = await start_producer(base.kafka, client_id="test")
    name = f"{base.kafka.topic_prefix}{SUBSCRIPTIONS.name}"
    await producer.send_and_wait(name, b"nonsense", key=b"bad", partition=1)
    await producer.stop()
    nobody = Subscription(conversation_id="c-2", source_name="teams")
    await wishes(base).write([Change("c-2", "c-2", nobody)], PARTITIONS)
    letters = f"{base.kafka.topic_prefix}{dead_letters('ingest').name}"
    consumer = await start_consumer(base.kafka, client_id="check", auto_offset_reset="earliest")
    consumer.assign([TopicPartition(letters, number) for number in range(PARTITIONS)])
    found = {}
    async with Peers().serving() as peers, ingest(dialling(base, peers)):
        await peers.media.until(lambda: bool(peers.media.peers(CALL)))
        async with asyncio.timeout(20):
            while len(found) < 2:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found |= {record.key: record for record in records}
    await consumer.stop()
    errors = {key: dict(record.headers)["__connect.errors.exception.message"] for key, record in found.items()}
    assert errors == {
        b"bad": b"the framing starts with byte 110, not 0",
        b"c-2": b"source 'teams': there is no such source to call",
    }
    assert (found[b"bad"].value, found[b"bad"].partition) == (b"nonsense", 1)
    assert found[b"c-2"].partition == Partitioner(PARTITIONS).partition(b"c-2")


async def test_without_the_topic_ingest_is_ready_and_says_what_is_missing(base, capfd):
    admin = await start_admin(base.kafka, client_id="test")
    names = [f"{base.kafka.topic_prefix}{one.name}" for one in (AUDIO, EVENTS)]
    await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    await admin.close()
    async with ingest(base) as service:
        await until(service.health.is_ready)
        await until(lambda: "subscriptions are not followed now" in capfd.readouterr().err)
        assert INGEST_FOLLOW_MEMBER._value.get() == 0


async def test_while_no_broker_answers_ingest_takes_connections_and_can_be_stopped(base):
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}", topic_prefix=base.kafka.topic_prefix)
    async with ingest(base.model_copy(update={"kafka": kafka})) as service:
        assert not service.health.is_ready()
        reader, writer = await asyncio.open_connection("127.0.0.1", base.audiohook.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 4")
        writer.close()
        await writer.wait_closed()
