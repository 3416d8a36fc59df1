import getpass
import os
import pwd
import uuid

import pytest

from callstream import audited as module
from callstream.audited import Deed, actor, audited
from callstream.topics_command import apply_catalogue
from runtime.clock import ManualClock
from runtime.config import KafkaSettings, RegistrySettings
from runtime.errors import ConfigError, Unavailable
from runtime.kafka import TopicPartition, start_consumer, stop_quietly
from schemas.codec import SchemaStore
from schemas.records import AuditEvent
from schemas.symbols import AuditAction, AuditOutcome
from schemas.topics import AUDIT

DEED = Deed(AuditAction.DEAD_LETTER_SHOWN, "dead letter", "silence/0/1", {"why": "because"})
NO_REGISTRY = RegistrySettings()


@pytest.fixture
async def settings(kafka):
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    await apply_catalogue(settings, 1)
    return settings


async def events(settings):
    """What is on calls.audit."""
    partition = TopicPartition(settings.topic_prefix + AUDIT.name, 0)
    consumer = await start_consumer(settings, client_id="test", auto_offset_reset="earliest")
    try:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        end = (await consumer.end_offsets([partition]))[partition]
        found = []
        while len(found) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [(record.key, SchemaStore().decode(record.value, AuditEvent)) for record in records]
    finally:
        await stop_quietly(consumer)
    return found


@pytest.mark.kafka
async def test_a_deed_is_on_the_topic_before_it_is_done_and_again_with_its_end(settings):
    async with audited(settings, NO_REGISTRY, DEED, ManualClock(1_700_000_000.5)) as more:
        ((_, begun),) = await events(settings)
        assert begun.outcome is AuditOutcome.UNKNOWN
        more["letters"] = "3"
    (key, begun), (_, done) = await events(settings)
    assert key == actor().encode()
    assert (begun.action, begun.object_kind, begun.object_id) == (DEED.action, DEED.object_kind, DEED.object_id)
    assert (begun.actor, begun.occurred_at_us) == (actor(), 1_700_000_000_500_000)
    assert begun.details == {"why": "because"}
    assert (done.outcome, done.details) == (AuditOutcome.SUCCESS, {"why": "because", "letters": "3"})
    assert (begun.writer_sequence, done.writer_sequence) == (0, 1)
    assert begun.writer == done.writer
    assert begun.event_id != done.event_id


@pytest.mark.kafka
async def test_a_deed_that_fails_is_said_to_have_failed(settings):
    with pytest.raises(ZeroDivisionError):
        async with audited(settings, NO_REGISTRY, DEED):
            raise ZeroDivisionError
    assert [event.outcome for _, event in await events(settings)] == [AuditOutcome.UNKNOWN, AuditOutcome.FAILED]


@pytest.mark.kafka
async def test_without_the_topic_nothing_is_done(kafka):
    done = []
    with pytest.raises(ConfigError, match="nothing could be audited"):
        async with audited(KafkaSettings(bootstrap_servers=kafka, topic_prefix="replay.nowhere."), NO_REGISTRY, DEED):
            done.append(1)
    assert done == []


WAITED = ("records have waited for Kafka",)


class Leaving:
    """A broker that takes the first event, and is away for the second."""

    def __init__(self):
        self.stored = 0

    async def send_and_wait(self, topic, value, key):
        if self.stored:
            message = "no broker"
            raise Unavailable(message)
        self.stored += 1

    async def stop(self):
        """End."""


async def test_why_a_deed_failed_is_told_though_that_cannot_be_audited(monkeypatch):
    broker = Leaving()

    async def found(_settings, names, *_):
        return dict.fromkeys(names, 1)

    async def started(*_, **__):
        return broker

    monkeypatch.setattr(module, "partition_counts", found)
    monkeypatch.setattr(module, "start_producer", started)
    with pytest.raises(ExceptionGroup) as caught:
        async with audited(KafkaSettings(bootstrap_servers="127.0.0.1:1"), NO_REGISTRY, DEED):
            raise Unavailable(*WAITED)
    assert [str(error) for error in caught.value.exceptions] == ["records have waited for Kafka", "no broker"]


async def test_without_a_broker_nothing_is_done():
    done = []
    with pytest.raises(Unavailable):
        async with audited(KafkaSettings(bootstrap_servers="127.0.0.1:1"), NO_REGISTRY, DEED):
            done.append(1)
    assert done == []


def test_the_actor_is_who_the_system_says_not_what_a_variable_says(monkeypatch):
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert getpass.getuser() == "somebody-else"
    assert actor() == pwd.getpwuid(os.getuid()).pw_name


def test_a_user_without_a_name_is_a_number(monkeypatch):
    def nobody(_):
        raise KeyError

    monkeypatch.setattr(module.pwd, "getpwuid", nobody)
    assert actor() == f"uid {os.getuid()}"
