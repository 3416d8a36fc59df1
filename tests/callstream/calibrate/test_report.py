import json
import shlex

import pytest

from callstream.calibrate.effect import Effect
from callstream.calibrate.proposal import ChannelLevels, Levels, Proposal
from callstream.calibrate.report import Findings, Outcome, as_json, as_text
from processors.silence.tuning import Tuning
from schemas.symbols import Channel

ALL = {"SILENCE_ON_DBFS": "-48.5", "SILENCE_OFF_DBFS": "-51.5"}
NOISE = {10: -62.0, 50: -60.0, 95: -57.1, 99: -56.0}


def effect(channel: Channel, **fields) -> Effect:
    values = {
        "active_ratio": 0.25,
        "speech_spans": 7,
        "silences": 8,
        "longest_silence_s": 3.456,
        "active_noise_ratio": 0.01234,
        "quiet_speech_ratio": -1.0,
    }
    return Effect(channel=channel, **(values | fields))


def findings(*outcomes: Outcome, doubts: tuple[str, ...] = (), left_out: tuple[str, ...] = (), calls=None) -> Findings:
    channels = (
        ChannelLevels(Channel.EXTERNAL, 2, 60.0, 40.0, 12.5, 0.0, 7.5, NOISE, -24.4),
        ChannelLevels(Channel.INTERNAL, 2, 60.0, 4.0, 0.0, 56.0, 0.0, {}, None),
    )
    return Findings(
        "calls.audio", Levels(channels, (), left_out), Proposal(-48.5, -51.5, "why", doubts), outcomes, ALL, calls or {}
    )


def outcome(key: str, detector: str = "level") -> Outcome:
    tuning = Tuning(detector=detector, on_dbfs=-40, off_dbfs=-43)
    return Outcome(key, tuning, (effect(Channel.EXTERNAL), effect(Channel.INTERNAL, active_ratio=0.5)))


def lines(found: Findings) -> list[str]:
    return list(as_text(found))


def test_the_text_ends_with_the_environment_to_paste():
    assert lines(findings(outcome("current")))[-3:] == ["", "SILENCE_ON_DBFS=-48.5", "SILENCE_OFF_DBFS=-51.5"]


def test_what_holds_for_the_chosen_calls_alone_can_be_pasted_into_a_shell():
    value = json.dumps([{"queue": "night's", "on_dbfs": -48.5}])
    text = lines(findings(outcome("current"), calls={"SILENCE_THRESHOLDS": value}))
    assert [line for line in text if line.startswith("#")] == ["# for these calls alone", "# or for all calls"]
    (line,) = [line for line in text if line.startswith("SILENCE_THRESHOLDS=")]
    assert shlex.split(line) == [f"SILENCE_THRESHOLDS={value}"]
    assert text[-2:] == ["SILENCE_ON_DBFS=-48.5", "SILENCE_OFF_DBFS=-51.5"]


def test_the_text_has_a_row_per_channel_and_one_per_channel_and_settings():
    text = lines(findings(outcome("current"), outcome("proposed")))
    heads = [line.split()[:2] for line in text if line.startswith(("external", "internal"))]
    assert heads == [
        ["external", "2"],
        ["internal", "2"],
        ["external", "current"],
        ["external", "proposed"],
        ["internal", "current"],
        ["internal", "proposed"],
    ]


def test_columns_stand_under_their_names():
    text = lines(findings(outcome("current")))
    for name in ("channel", "settings"):
        (head,) = [line for line in text if line.startswith("channel") and ("settings" in line) is (name == "settings")]
        rows = text[text.index(head) + 1 :][:2]
        assert len({len(line) for line in (head, *rows)}) == 1
    assert any("-62.0" in line and "-57.1" in line and "-24.4" in line for line in text)
    assert any("1.2 %" in line and "3.5 s" in line and "level -40.0/-43.0" in line for line in text)


def test_what_was_left_out_and_what_is_doubtful_is_said():
    text = "\n".join(lines(findings(outcome("current"), doubts=("nobody speaks",), left_out=("bot: clipped",))))
    assert "left out: bot: clipped" in text
    assert "Note: nobody speaks." in text
    assert "SILENCE_DETECTOR" not in text


@pytest.mark.parametrize(
    ("detector", "said"),
    [("voice", "SILENCE_DETECTOR=voice follows the noise by itself"), ("fixed", "has a threshold of its own")],
)
def test_where_another_detector_decides_the_text_says_what_makes_thresholds_count(detector: str, said: str):
    text = " ".join(" ".join(lines(findings(outcome("current", detector), outcome("level")))).split())
    assert said in text
    assert "decide with SILENCE_DETECTOR=level" in text


def test_lines_are_no_longer_than_a_terminal_bears():
    found = findings(outcome("current"), doubts=("a long doubt " * 30,))
    assert max(map(len, lines(found))) <= 120


def test_json_says_the_same_to_programs():
    found = json.loads(json.dumps(as_json(findings(outcome("current", "voice"), outcome("proposed"), doubts=("d",)))))
    assert found["environment"] == {"SILENCE_ON_DBFS": "-48.5", "SILENCE_OFF_DBFS": "-51.5"}
    external, internal = found["channels"]
    assert external["noise_dbfs"] == {"p10": -62.0, "p50": -60.0, "p95": -57.1, "p99": -56.0}
    assert (internal["noise_dbfs"], internal["speech_dbfs"]) == ({}, None)
    assert found["proposal"] == {"on_dbfs": -48.5, "off_dbfs": -51.5, "reason": "why", "doubts": ["d"]}
    assert found["outcomes"]["current"]["on_dbfs"] is None
    assert found["outcomes"]["proposed"]["on_dbfs"] == -40
    assert found["outcomes"]["proposed"]["channels"][0] == {
        "channel": "EXTERNAL",
        "active_ratio": 0.25,
        "speech_spans": 7,
        "silences": 8,
        "longest_silence_s": 3.46,
        "active_noise_ratio": 0.0123,
        "quiet_speech_ratio": None,
    }
