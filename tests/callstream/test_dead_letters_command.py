"""The command as an operator types it, on a real broker; mistakes are refused before anything is done."""

import json
import stat
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from audio.frames import FrameEncoder
from callstream.dead_letters_command import app, dropped, exported, listed
from callstream.topics_command import apply_catalogue
from runtime.config import KafkaSettings, RegistrySettings
from runtime.deadletter import headers
from runtime.errors import ConfigError
from runtime.kafka import start_producer, stop_quietly
from schemas.codec import SchemaStore
from schemas.records import AudioFrame
from schemas.symbols import AuditAction, AuditOutcome, FrameKind
from schemas.topics import dead_letters
from tests.callstream.test_audited import events

STORE = SchemaStore()
SECRET = b"a caller's voice"
FRAME = FrameEncoder(STORE).encode(
    AudioFrame(kind=FrameKind.AUDIO, session_id=bytes(16), sequence=5, sample_rate_hz=8000, payload=SECRET)
)
NO_REGISTRY = RegistrySettings()


@pytest.fixture
async def settings(kafka):
    """Three dead letters of silence: a frame and garbage on partition 0, garbage on 1; all under an own prefix."""
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    await apply_catalogue(settings, 1)
    producer = await start_producer(settings, client_id="test")
    for number, value in enumerate((FRAME, b"garbage", b"more garbage")):
        await producer.send_and_wait(
            settings.topic_prefix + dead_letters("silence").name,
            value,
            key=b"conversation-1",
            partition=0,
            headers=headers("the defect", "process", "calls.audio", 0, 40 + number, "silence", "InvalidRecord"),
            timestamp_ms=1_700_000_000_000 + 1000 * number,
        )
    await stop_quietly(producer)
    return settings


def run(settings, *arguments):
    # in a thread of its own: the command runs a loop, and the loop of this thread is pytest's
    environment = {"KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers, "TOPIC_PREFIX": settings.topic_prefix}
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, app, [*map(str, arguments)], env=environment).result()


async def offsets(settings):
    return [letter.offset for letter in await listed(settings, ["silence"], None, 50)]


@pytest.mark.kafka
async def test_the_list_shows_headers_and_no_content_and_is_not_audited(settings):
    result = run(settings, "list")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert "silence/0/0" in lines[1]
    assert "calls.audio/0/40" in lines[1]
    assert "garbage" not in result.stdout
    assert await events(settings) == []


@pytest.mark.kafka
async def test_the_list_is_cut_by_group_time_and_number(settings):
    assert len(run(settings, "list", "--group", "audit_log").stdout.splitlines()) == 1
    assert "silence/0/2" in run(settings, "list", "--limit", 1).stdout.splitlines()[1]
    since = run(settings, "list", "--since", "2023-11-14T22:13:21Z").stdout
    assert "silence/0/0" not in since
    assert "silence/0/1" in since
    assert [letter.offset for letter in await listed(settings, ["silence"], 1_700_000_001_000, 1)] == [2]


@pytest.mark.kafka
async def test_showing_a_letter_is_audited_and_keeps_personal_values_back(settings):
    result = run(settings, "show", "silence", 0, 0)
    assert result.exit_code == 0, result.output
    assert "the defect" in result.stdout
    assert "personal" in result.stdout
    assert SECRET.hex() not in result.stdout
    (_, begun), (_, done) = await events(settings)
    assert (begun.action, begun.object_id) == (AuditAction.DEAD_LETTER_SHOWN, "silence/0/0")
    assert (begun.details, done.outcome) == ({"bytes": "0", "content": "false"}, AuditOutcome.SUCCESS)


@pytest.mark.kafka
async def test_content_is_shown_when_asked_for_and_the_audit_says_so(settings):
    result = run(settings, "show", "silence", 0, 0, "--content", "--bytes", 4)
    assert SECRET.hex() in result.stdout
    assert FRAME[:4].hex(" ") in result.stdout
    assert (await events(settings))[0][1].details == {"bytes": "4", "content": "true"}


@pytest.mark.kafka
async def test_a_letter_that_is_not_there_is_said_so(settings):
    result = run(settings, "show", "silence", 0, 99)
    assert isinstance(result.exception, ConfigError)
    assert [event.outcome for _, event in await events(settings)][-1] is AuditOutcome.FAILED


@pytest.mark.kafka
async def test_an_export_is_bytes_and_headers_for_the_owner_s_eyes(settings, tmp_path):
    folder = tmp_path / "out"
    result = run(settings, "export", "silence", folder)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == [
        f"silence.0.{offset}.{kind}" for offset in range(3) for kind in ("bin", "json")
    ]
    assert (folder / "silence.0.0.bin").read_bytes() == FRAME
    assert json.loads((folder / "silence.0.1.json").read_text())["value_bytes"] == len(b"garbage")
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    done = (await events(settings))[-1][1]
    assert (done.action, done.details["letters"]) == (AuditAction.DEAD_LETTER_EXPORTED, "3")


@pytest.mark.kafka
async def test_an_export_overwrites_nothing(settings, tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        await exported(settings, NO_REGISTRY, "silence", tmp_path)
    assert await events(settings) == []


@pytest.mark.kafka
async def test_a_drop_without_yes_says_what_would_go_and_leaves_it(settings):
    result = run(settings, "drop", "silence", "--all")
    assert result.exit_code == 1
    assert "silence/0: would drop offsets 0 to 2" in result.stdout
    assert await offsets(settings) == [0, 1, 2]
    assert await events(settings) == []


@pytest.mark.kafka
async def test_a_drop_deletes_what_stands_before_an_offset_or_all(settings):
    result = run(settings, "drop", "silence", "--partition", 0, "--before", 2, "--yes")
    assert (result.exit_code, result.stdout) == (0, "silence/0: dropped offsets 0 to 1\n")
    assert await offsets(settings) == [2]
    done = (await events(settings))[-1][1]
    assert (done.action, done.outcome) == (AuditAction.DEAD_LETTER_DROPPED, AuditOutcome.SUCCESS)
    assert done.details == {"partition 0": "0 to 1"}
    assert run(settings, "drop", "silence", "--all", "--yes").exit_code == 0
    assert await offsets(settings) == []
    assert run(settings, "drop", "silence", "--all", "--yes").stdout == "nothing to drop\n"


@pytest.mark.kafka
async def test_an_offset_beyond_the_end_is_a_mistake(settings):
    with pytest.raises(ConfigError, match="ends at offset 3, before 4"):
        await dropped(settings, NO_REGISTRY, "silence", 0, 4, really=True)
    assert await offsets(settings) == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["drop", "silence"], "either --before"),
        (["drop", "silence", "--all", "--before", "1"], "either --before"),
        (["drop", "silence", "--before", "1"], "--partition"),
        (["list", "--since", "yesterday"], "--since"),
        (["list", "--limit", "0"], "--limit"),
    ],
)
def test_a_mistake_is_refused_before_any_connection(arguments, why):
    nobody = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    result = run(nobody, *arguments)
    assert result.exit_code == 2
    assert why in result.output


def test_the_help_says_that_nothing_goes_back():
    assert "None is ever written back" in " ".join(CliRunner().invoke(app, ["--help"]).stdout.replace("│", " ").split())
