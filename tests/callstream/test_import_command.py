"""Mistakes are refused before any connection, each in a line; imports on a real broker: tests/integration."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from audio.wav import WavFormat
from callstream import import_command
from callstream.import_command import command, report
from ingest.sources.capture.findings import Damage, Defect, Findings
from ingest.sources.capture.wanted import Wanted
from runtime.errors import ConfigError
from schemas.symbols import Channels, Codec
from tests.captures.files import pcap_header

NOWHERE = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def run(environment: dict[str, str], *arguments: object) -> Result:
    # in a thread of its own: the command runs a loop, and the loop of this thread is pytest's
    app = typer.Typer()
    app.command()(command)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, app, [*map(str, arguments)], env=environment).result()


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "call.pcap"
    path.write_bytes(pcap_header())
    return path


MISTAKES = {
    "an encoding": (["--payload-type", "96=G729/8000"], "known encodings are PCMU"),
    "a type": (["--payload-type", "L16"], "is not of the form 96=L16/16000/1"),
    "a stream": (["--external", "customer"], "is neither an SSRC"),
    "a port": (["--internal", "192.0.2.1:99999"], "ends with no port"),
    "half a pair": (["--external", "1", "--external", "2", "--internal", "3"], "each needs both directions"),
    "one id for two calls": (["--external", "1", "--external", "2", "--conversation", "c"], "is for one call"),
    "no id": (["--conversation", ""], "is not of 1 to"),
    "a time": (["--started-at", "soon"], "Invalid isoformat string"),
    "a time before all times": (["--started-at", "1969-12-31T23:00:00+00:00"], "is before 1970"),
    "a layout": (["--channels", "stereo"], "is not one of"),
    "a length": (["--frame-ms", "5"], "--frame-ms"),
}


@pytest.mark.parametrize(("arguments", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_before_any_connection(arguments: list[str], named: str, capture: Path) -> None:
    result = run(NOWHERE, capture, *arguments)
    assert result.exit_code == 2
    assert named in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("name", "found"), [("call.pcap", "call"), ("a.b.wav", "a.b"), (os.fsdecode(b"plain\xe9.pcap"), "plain?")]
)
def test_a_file_gives_its_name_to_the_calls_whatever_it_is(name: str, found: str) -> None:
    assert import_command._name(Path(name)) == found
    assert (
        len(import_command._name(Path("a" * 240 + ".pcap"))) + len("-[2001:db8:1111:2222:3333:4444:5555:6666]:65535")
        <= 200
    )


def test_a_file_of_another_kind_is_named_before_any_connection(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a text that is no capture")
    result = run(NOWHERE, path)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.mistakes == (f"{path}: is no pcap, pcapng or WAV file",)


def test_what_does_not_fit_the_file_is_named_before_any_connection(tmp_path: Path, capture: Path) -> None:
    wav = tmp_path / "call.wav"
    wav.write_bytes(WavFormat(Codec.PCMU, Channels.MIXED, 8000).header(0))
    for path, arguments, why in (
        (wav, ["--external", "1"], "has no streams to choose from"),
        (wav, ["--channels", "external-internal"], "has 1 channel, which is not external_internal"),
        (capture, ["--channels", "internal-external"], "each of its streams has one channel"),
    ):
        result = run(NOWHERE, path, *arguments)
        assert isinstance(result.exception, ConfigError)
        assert why in str(result.exception)


def test_what_an_operator_can_do_about_what_was_passed_over_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    findings = Findings()
    findings.passed_over.update({Defect.LOOKS_ENCRYPTED: 7, Defect.RTCP: 2})
    import_command._tell(findings, Wanted("call"), 0.5, as_json=False)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "passed over: looks_encrypted 7 (SRTP? decrypt the capture first; numbers are imported, payloads left out)",
        "passed over: rtcp 2",
    ]


def test_what_was_found_is_told_as_json_has_it() -> None:
    findings = Findings(9, 7, 2, 1120, 10.0, 12.5, damage=Damage(99, "a block of 3 bytes"), cut_off_bytes=4)
    findings.passed_over[Defect.RTCP] = 2
    findings.passed_over[Defect.STRAY] = 0
    findings.payload_types[96] = 3
    assert json.loads(json.dumps(report(findings, Wanted("call", import_id="id"), 0.5))) == {
        "import_id": "id",
        "sessions": 2,
        "packets": 7,
        "audio_bytes": 1120,
        "capture_s": 2.5,
        "seconds": 0.5,
        "passed_over": {"rtcp": 2},
        "payload_types": {"96": 3},
        "cut_off_bytes": 4,
        "damage": "damaged at byte 99: a block of 3 bytes",
    }
