"""The command on files, and what it refuses; on a real broker: tests/integration/test_calibrate.py."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from audio.wav import WavFormat
from callstream import calibrate_command
from callstream.calibrate.proposal import NoProposal
from callstream.calibrate.topic_calls import Collected
from callstream.calibrate_command import command
from runtime.errors import ConfigError
from schemas.codec import SchemaStore
from schemas.symbols import Channels, Codec
from simulators.conversation import script
from tests.callstream.calibrate.sounds import as_l16, noise

NOWHERE = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "COLUMNS": "300"}
CONVERSATION = Path(script.__file__).with_name("conversation.wav")


def run(*arguments: object, **environment: str) -> Result:
    # in a thread of its own: the command runs a loop, and the loop of this thread is pytest's
    app = typer.Typer()
    app.command()(command)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, app, [*map(str, arguments)], env=NOWHERE | environment).result()


def wav(path: Path, samples: np.ndarray, rate_hz: int = 8000) -> Path:
    data = as_l16(samples)
    path.write_bytes(WavFormat(Codec.L16_LE, Channels.MIXED, rate_hz).header(len(samples)) + data)
    return path


@pytest.fixture
def ambient(tmp_path: Path) -> Path:
    return wav(tmp_path / "ambient.wav", noise(12, -50))


def test_ambient_noise_gives_thresholds_under_which_it_is_quiet(ambient: Path):
    result = run(ambient, "--json", SILENCE_ON_DBFS="-60", SILENCE_OFF_DBFS="-63")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    (channel,) = found["channels"]
    assert channel["noise_s"] == 12
    assert channel["noise_dbfs"]["p50"] == pytest.approx(-50, abs=0.2)
    assert found["proposal"]["on_dbfs"] == pytest.approx(channel["noise_dbfs"]["p95"] + 6, abs=0.5)
    outcomes = found["outcomes"]
    assert (outcomes["level"]["on_dbfs"], outcomes["level"]["off_dbfs"]) == (-60, -63)
    assert outcomes["level"]["channels"][0]["active_noise_ratio"] == 1
    assert outcomes["proposed"]["channels"][0]["active_noise_ratio"] == 0
    assert outcomes["proposed"]["channels"][0]["longest_silence_s"] == 12


def test_where_thresholds_decide_already_there_are_two_settings_to_compare(ambient: Path):
    found = json.loads(run(ambient, "--json", SILENCE_DETECTOR="level").output)
    assert [(key, each["detector"]) for key, each in found["outcomes"].items()] == [
        ("current", "level"),
        ("proposed", "level"),
    ]


def test_a_conversation_gives_thresholds_between_its_noise_and_its_speech():
    result = run(CONVERSATION, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    external = found["channels"][0]
    assert external["noise_dbfs"]["p95"] + 3 < found["proposal"]["on_dbfs"] < external["speech_dbfs"] - 15
    (proposed,) = [each for each in found["outcomes"]["proposed"]["channels"] if each["channel"] == "EXTERNAL"]
    assert proposed["active_noise_ratio"] == 0
    assert proposed["quiet_speech_ratio"] < 0.1


def test_a_person_gets_a_table_that_ends_with_the_environment(ambient: Path):
    lines = run(ambient).output.splitlines()
    assert lines[0] == "ambient.wav, 12.0 s of L16_LE at 8000 Hz"
    assert lines[-2].startswith("SILENCE_ON_DBFS=-")
    assert lines[-1].startswith("SILENCE_OFF_DBFS=-")


def test_the_example_of_the_documentation_is_what_the_command_says():
    page = (Path(__file__).parents[2] / "docs/calibrate.md").read_text(encoding="utf-8")
    assert f"```text\n{run(CONVERSATION).output}```" in page


def test_only_the_asked_seconds_of_a_file_are_heard(ambient: Path):
    assert run(ambient, "--seconds", 11).output.startswith("ambient.wav, the first 11.0 s of")


def test_the_sides_of_a_file_can_be_named(ambient: Path):
    assert json.loads(run(ambient, "--channels", "internal", "--json").output)["channels"][0]["channel"] == "INTERNAL"


AUDIO = {
    "too short": (noise(5, -50), 8000, "too little noise to measure: 10 s are needed"),
    "digital silence": (np.zeros(160_000), 8000, "digital silence only"),
    "clipped": (np.tile([32_767.0, -32_768.0], 80_000), 8000, "100.0 % of the samples are at full scale"),
    "of another rate": (noise(12, -50, 44_100), 44_100, "12.0 s of 44100 Hz"),
    "empty": (np.zeros(0), 8000, "there is no audio"),
}


@pytest.mark.parametrize(("samples", "rate_hz", "why"), AUDIO.values(), ids=AUDIO)
def test_audio_without_an_honest_answer_gets_none(samples: np.ndarray, rate_hz: int, why: str, tmp_path: Path):
    result = run(wav(tmp_path / "a.wav", samples, rate_hz))
    assert isinstance(result.exception, NoProposal)
    assert why in str(result.exception)
    assert result.output == ""


def test_a_file_that_cannot_be_read_is_a_mistake_of_the_operator(tmp_path: Path):
    (tmp_path / "notes.wav").write_text("no audio at all")
    for name, why in (("none.wav", "No such file"), ("notes.wav", "is no WAV file"), (".", "Is a directory")):
        result = run(tmp_path / name)
        assert isinstance(result.exception, ConfigError)
        assert why in str(result.exception)


def test_a_layout_that_does_not_fit_the_file_is_named(ambient: Path):
    result = run(ambient, "--channels", "external-internal")
    assert isinstance(result.exception, ConfigError)
    assert "has 1 channel, which is not external_internal" in str(result.exception)


MISTAKES = {
    "nothing": ([], "give a WAV file, or --from-topic"),
    "both": (["a.wav", "--from-topic"], "give a WAV file, or --from-topic"),
    "a queue of a file": (["a.wav", "--queue", "q"], "they go with --from-topic"),
    "a time of a file": (["a.wav", "--from", "10:00"], "they go with --from-topic"),
    "channels of calls": (["--from-topic", "--channels", "external"], "is for a file"),
    "a time": (["--from-topic", "--from", "soon"], "is no time like"),
    "too little": (["a.wav", "--seconds", "5"], "--seconds"),
}


@pytest.mark.parametrize(("arguments", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_before_any_connection(arguments: list[str], named: str):
    result = run(*arguments)
    assert result.exit_code == 2
    assert named in " ".join(result.output.replace("│", " ").split())


def test_wrong_settings_of_the_service_are_named(ambient: Path):
    result = run(ambient, SILENCE_ON_DBFS="-60")
    assert isinstance(result.exception, ConfigError)
    assert "SILENCE_OFF_DBFS: must not be above on_dbfs" in str(result.exception)


def test_a_queue_without_calls_is_answered_with_the_queues_there_are(monkeypatch):
    async def nothing(*_: object) -> Collected:
        found = Collected(SchemaStore(), unknown=2)
        found.queues.update(support=3, sales=1)
        return found

    monkeypatch.setattr(calibrate_command, "_collected", nothing)
    result = run("--from-topic", "--queue", "helpdesk")
    assert isinstance(result.exception, NoProposal)
    assert str(result.exception) == (
        "calls.audio holds nothing of queue helpdesk; queues and their calls: support (3), sales (1); "
        "of 2 calls the beginning is not among what was read"
    )
