"""The demo as a stranger runs it: it ends with 0 and says what it saw; its checks and its end are real."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


def demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}  # noqa: TID251 - the child's
    return subprocess.Popen(
        [sys.executable, "-m", "callstream", "demo", "--data-dir", str(folder), *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_demo_of_numbered_packets_holds_every_check_and_tells_their_loss(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    process = demo(folder, "--calls", "2", "--source", "media-streams", "--speed", "4")
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output
    assert "All checks hold" in output
    assert "46 of 2254 packets lost (2.0%)" in output
    assert len(list(folder.glob("recordings/**/*.wav"))) == 2


@pytest.mark.parametrize(
    ("source", "disturbance"),
    [
        ("media-websocket", "a token that is not answered ends a session, and the"),
        ("conversation-audio", "every binary ping is answered with its own bytes"),
        ("appfoundry", "an expired token is replaced by another"),
    ],
)
def test_the_demo_of_calls_without_numbers_holds_every_check_through_a_lost_connection(
    tmp_path: Path, source: str, disturbance: str
) -> None:
    folder = tmp_path / "demo"
    process = demo(folder, "--calls", "1", "--source", source)
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output
    assert "All checks hold" in output
    assert disturbance in output
    (recording,) = folder.glob("recordings/**/*.json")
    sidecar = json.loads(recording.read_text())
    assert [gap["reason"] for gap in sidecar["gaps"]] == ["reconnect"]
    assert sidecar["closed_reason"] == "end"


def test_calls_without_numbers_are_played_as_fast_as_they_are(tmp_path: Path) -> None:
    process = demo(tmp_path / "demo", "--source", "media-websocket", "--speed", "2")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "only speed 1 tells" in " ".join(output.replace("│", " ").split())
    assert not (tmp_path / "demo").exists()


def test_a_stopped_demo_drains_and_a_killed_one_does_not_hurt_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    killed = demo(folder)
    _until(killed, "placing")
    killed.kill()
    killed.wait()
    killed.stdout.close()
    stopped = demo(folder)
    _until(stopped, "placing")
    stopped.send_signal(signal.SIGINT)
    output, _ = stopped.communicate(timeout=300)
    assert stopped.returncode == 130, output
    assert "services drain" in output
    ended = [json.loads(path.read_text().splitlines()[-1]) for path in sorted((folder / "logs").glob("*.log"))]
    assert [line["exit_code"] for line in ended] == [0] * 7


def test_a_folder_with_other_files_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    process = demo(tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "not a demo's" in output
    assert "Traceback" not in output
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_demo_that_stays_holds_its_folder_and_ends_with_its_findings(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    staying = demo(folder, "--stay", "--speed", "5")
    _until(staying, "until Ctrl-C")
    second = demo(folder)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "in use by a running broker" in output
    assert "Traceback" not in output
    staying.send_signal(signal.SIGINT)
    output, _ = staying.communicate(timeout=300)
    assert staying.returncode == 0, output
    assert "All checks hold" in output


def _until(process: subprocess.Popen[str], word: str) -> None:
    for line in process.stdout:
        if word in line:
            return
    raise AssertionError(word)
