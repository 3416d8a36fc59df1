"""What is replayed is what `python -m` would start: the same class, the same settings, the same digest."""

from importlib import import_module

import pytest

from callstream.docs_command import components
from callstream.replay import components as module
from callstream.replay.components import Around, harmless, names, stage
from runtime.config import load, prefix_of
from runtime.errors import ConfigError, UsageError
from schemas.codec import SchemaStore
from schemas.records import BotTurn, Origin, Utterance
from schemas.symbols import Channel, TurnState, UtteranceInput, UtteranceKind
from simulators.cognigy.server import CognigyServer
from tests.callstream.replay.logs import LogRecord
from tests.callstream.replay.test_forward_stage import entry

AROUND = Around("replay.one.", SchemaStore())
TOKEN = "0123456789abcdef0123"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["silence", "loss"])
async def test_a_processor_is_the_one_its_service_starts(name, monkeypatch):
    wiring = import_module(f"processors.{name}.__main__")
    started = []

    async def run_tasks(service, processor, *, outputs):
        started.append((processor, outputs))

    monkeypatch.setattr(wiring, "run_tasks", run_tasks)
    monkeypatch.setenv({"silence": "SILENCE_MIN_SPEECH_MS", "loss": "LOSS_WINDOW_S"}[name], "40")

    class Service:
        settings = load(components()[name], prefix_of(name))

    await wiring.start(Service)
    ((processor, outputs),) = started
    found = stage(name, AROUND)
    assert isinstance(processor, type(found._processor))
    assert (found.settings_hash, found.input_topic) == (processor.settings_hash, processor.input_topic)
    assert [topic.name for topic in found.topics[:-1]] == outputs


def test_everything_under_processors_and_sinks_can_be_replayed_or_says_why_not():
    for name in components():
        if name not in {*names(), "ingest"}:
            with pytest.raises(ConfigError, match=r"cannot be replayed: its log is one chain"):
                stage(name, AROUND)
    assert set(names()) <= set(components())


def test_a_name_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(ConfigError, match=r"cognigy, loss, recording_sync, silence, speech, transcription"):
        stage("silense", AROUND)


def test_bad_settings_are_the_services_own_mistakes(monkeypatch):
    monkeypatch.setenv("SILENCE_MIN_SPEECH_MS", "never")
    with pytest.raises(ConfigError, match="SILENCE_MIN_SPEECH_MS"):
        stage("silence", AROUND)


def test_a_module_must_have_exactly_one_class_to_take():
    with pytest.raises(UsageError, match="0 classes"):
        module._only("processors.silence.logic", lambda _: False)


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://endpoint.cognigy.ai", False),
        ("https://endpoint.cognigy.ai/testing", False),
        ("https://test.example/", False),
        ("https://localhost.example", False),
        ("https://endpoint.cognigy.ai/test", True),
        ("https://endpoint.cognigy.ai/test/", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080/x", True),
        ("http://[::1]:8080", True),
    ],
)
def test_a_bot_is_only_replayed_on_this_machine_or_at_its_test_address(url, fine, monkeypatch):
    monkeypatch.setenv("COGNIGY_ENDPOINT_URL", url)
    monkeypatch.setenv("COGNIGY_URL_TOKEN", TOKEN)
    assert harmless(url) is fine
    if fine:
        assert stage("cognigy", AROUND).input_topic == "calls.utterances"
    else:
        with pytest.raises(ConfigError, match="COGNIGY_ENDPOINT_URL: a replay would talk to the bot"):
            stage("cognigy", AROUND)


def test_the_time_of_a_bots_turns_is_that_of_their_records():
    clock = module._RecordTime()
    clock.set(entry(1))
    assert clock.wall_s() == 0.005
    assert clock.monotonic_s() > 0


async def test_a_bot_on_this_machine_is_asked_again_and_nothing_is_too_old(monkeypatch):
    async with CognigyServer(TOKEN) as bot:
        monkeypatch.setenv("COGNIGY_ENDPOINT_URL", bot.url)
        monkeypatch.setenv("COGNIGY_URL_TOKEN", TOKEN)
        found = stage("cognigy", AROUND)
        await found.begin([(0, 0)])
        try:
            outputs = [output for at in range(2) for output in await found.take(0, [said(at)], keep=at == 1)]
        finally:
            await found.end(kept=False)
        assert len(bot.received) == 1
    turns = [AROUND.store.decode(output.value, BotTurn) for output in outputs]
    assert turns[-1].state is TurnState.ANSWERED
    assert {turn.origin.offset for turn in turns} == {1}


def said(offset):
    """An utterance of long ago."""
    utterance = Utterance(
        kind=UtteranceKind.TEXT,
        conversation_id="c",
        session_id="0192f0c4-7a11-7cc3-98c4-dc0c0c07398f",
        channel=Channel.EXTERNAL,
        utterance_id=f"{offset}",
        input=UtteranceInput.PLATFORM,
        text="hello",
        occurred_at_us=1_000_000_000_000_000,
        origin=Origin(topic="calls.events", partition=0, offset=offset, index=0),
    )
    return LogRecord(offset, 1_000_000_000_500, b"c", AROUND.store.encode(utterance))
