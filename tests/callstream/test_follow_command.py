"""The command as an operator types it, on a real broker; mistakes are refused before anything is done."""

import getpass
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from callstream.follow_command import app, listed
from callstream.topics_command import apply_catalogue
from runtime.config import KafkaSettings, RegistrySettings
from runtime.errors import ConfigError
from runtime.kafka import Partitioner, start_producer, stop_quietly
from schemas.records import Subscription
from schemas.symbols import AuditAction, AuditOutcome
from schemas.topics import SUBSCRIPTIONS
from tests.callstream.test_audited import events

NO_REGISTRY = RegistrySettings()
ID = "0b2c3d4e-1111-4222-8333-94445556667f"


@pytest.fixture
async def settings(kafka):
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    await apply_catalogue(settings, 1)
    return settings


def run(settings, *arguments):
    # in a thread of its own: the command runs a loop, and the loop of this thread is pytest's
    environment = {"KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers, "TOPIC_PREFIX": settings.topic_prefix}
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, app, [*map(str, arguments)], env=environment).result()


NOWHERE = KafkaSettings(bootstrap_servers="127.0.0.1:1")
MISTAKES = {
    "no such source": (["add", "c", "--source", "teams"], "'teams' is none of"),
    "no conversation": (["add", "", "--source", "media-streams"], "is not of 1 to"),
    "a parameter": (["add", "c", "--source", "media-streams", "--parameter", "k"], "'k' is no NAME=VALUE"),
    "a time": (["add", "c", "--source", "media-streams", "--expires", "soon"], "'soon' is no time like"),
    "a span of nothing": (["add", "c", "--source", "media-streams", "--expires", "0s"], "is over"),
    "a span too long": (["add", "c", "--source", "media-streams", "--expires", f"{10**17}d"], "beyond the year 9999"),
    "a time that is over": (["add", "c", "--source", "media-streams", "--expires", "2020-01-01"], "is over"),
}


@pytest.mark.parametrize(("arguments", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_before_any_connection(arguments, named):
    result = run(NOWHERE, *arguments)
    assert result.exit_code == 2
    assert named in " ".join(result.output.replace("│", " ").split())


def test_what_the_settings_here_refuse_is_named():
    result = run(NOWHERE, "add", "c-1", "--source", "media-websocket")
    assert isinstance(result.exception, ConfigError)
    assert "the id of its media connection is needed" in str(result.exception)
    assert "--unchecked" in str(result.exception)


@pytest.mark.kafka
async def test_a_call_is_asked_for_listed_changed_and_taken_back_and_each_is_audited(settings):
    asked = run(
        settings, "add", ID.upper(), "--source", "media-streams", "--codec", "pcma", "--expires", "2h",
        "--parameter", "a=b=c", "--queue", "q",
    )  # fmt: skip
    assert (asked.exit_code, asked.output.split(":")[0]) == (0, ID)
    ((_, _, wish),) = await listed(settings, NO_REGISTRY)
    assert isinstance(wish, Subscription)
    assert (wish.conversation_id, wish.codec_preferences, wish.parameters, wish.queue) == (
        ID,
        ("pcma",),
        {"a": "b=c"},
        "q",
    )
    assert wish.requested_by == f"operator {getpass.getuser()}"
    assert wish.expires_at_us - wish.requested_at_us == 7200 * 1_000_000
    assert run(settings, "add", ID, "--source", "media-streams").exit_code == 0
    second = run(settings, "add", ID, "--source", "appfoundry", "--connection-id", "w", "--unchecked")
    assert second.output.startswith(f"{ID}/appfoundry: ")
    assert ID in run(settings, "list").output.splitlines()[1]
    assert [one["key"] for one in json.loads(run(settings, "list", "--json").output)] == [ID, f"{ID}/appfoundry"]
    assert run(settings, "remove", ID, "--source", "appfoundry").output == f"{ID}/appfoundry: taken back\n"
    assert run(settings, "remove", ID.upper()).output == f"{ID}: taken back\n"
    assert run(settings, "list").output.split() == [
        "CONVERSATION",
        "SOURCE",
        "CONNECTION",
        "ASKED",
        "BY",
        "ASKED",
        "AT",
        "EXPIRES",
    ]
    written = [event for _, event in await events(settings)]
    assert [(event.action, event.outcome) for event in written] == [
        (AuditAction.CONFIGURATION, AuditOutcome.UNKNOWN),
        (AuditAction.CONFIGURATION, AuditOutcome.SUCCESS),
    ] * 5
    assert (written[0].actor, written[0].object_kind, written[0].object_id) == (getpass.getuser(), "subscription", ID)


@pytest.mark.kafka
async def test_what_nobody_asks_for_cannot_be_taken_back(settings):
    result = run(settings, "remove", "c-1", "--source", "media-streams")
    assert isinstance(result.exception, ConfigError)
    assert "c-1: nobody asks for it from media-streams" in str(result.exception)
    assert await events(settings) == []


@pytest.mark.kafka
async def test_a_record_that_cannot_be_read_is_listed_and_can_be_taken_back(settings):
    producer = await start_producer(settings, client_id="test")
    topic = f"{settings.topic_prefix}{SUBSCRIPTIONS.name}"
    await producer.send_and_wait(topic, b"nonsense", key=b"c-1", partition=Partitioner(1).partition(b"c-1"))
    await stop_quietly(producer)
    assert "cannot be read" in run(settings, "list").output
    assert run(settings, "remove", "c-1").exit_code == 0
    assert await listed(settings, NO_REGISTRY) == []
