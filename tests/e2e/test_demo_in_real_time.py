"""The demo at the speed of speech: the only stall it may find is the one it makes."""

import json
import re
from pathlib import Path

import pytest

from tests.e2e.test_demo import demo

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_demo_in_real_time_holds_every_check_and_leaves_what_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    process = demo(folder, "--calls", "2")
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output
    assert "All checks hold" in output
    assert "NO" not in re.findall(r"│ (yes|NO) +│", output)
    assert "Frames: 285 sent, 285 stored." in output
    assert "Bot: 20 turns" in output
    assert "2.4 s skipped by the platform, 6.0 s paused, held up" in output
    recordings = sorted(folder.glob("recordings/**/*.wav"))
    assert len(recordings) == 5
    for path in recordings:
        assert str(path) in output
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert sidecar["closed_reason"] == "end"
