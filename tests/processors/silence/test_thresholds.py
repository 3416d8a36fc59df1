import json

import pytest

from processors.silence.config import SilenceSettings, tuning
from processors.silence.logic import SilenceProcessor
from processors.silence.tuning import Override, Tuning
from runtime.config import load
from runtime.errors import ConfigError
from schemas.symbols import Channels, SilenceEventKind
from tests.processors.silence.calls import FIVE_S, QUIET, Call, Run, log_of, sine, stereo

ENTRIES = [
    {"organisation": "acme", "queue": "night", "dead_air_min_ms": 1000, "dead_air_alarm_ms": 3000},
    {"queue": "night", "dead_air_alarm_ms": 4000},
    {"organisation": "acme", "min_silence_ms": 500},
]


def made(text: str, **environ: str) -> Tuning:
    return tuning(load(SilenceSettings, "SILENCE_", {"SILENCE_THRESHOLDS": text} | environ, None))


def test_the_first_entry_that_fits_a_call_counts_and_says_only_what_differs():
    found = made(json.dumps(ENTRIES), SILENCE_OVERTALK_MIN_MS="300")
    chosen = [
        found.at(found.place(*who))
        for who in (("acme", "night"), ("other", "night"), ("acme", None), (None, "day"), (None, None))
    ]
    assert [each.dead_air_alarm_ms for each in chosen] == [3000, 4000, 8000, 8000, 8000]
    assert [each.min_silence_ms for each in chosen] == [260, 260, 500, 260, 260]
    assert {each.overtalk_min_ms for each in chosen} == {300}


def test_a_file_says_the_same_as_the_text_and_the_digest_follows_what_it_says(tmp_path):
    file = tmp_path / "thresholds.json"
    file.write_text(json.dumps(ENTRIES, indent=2))
    assert made(str(file)) == made(json.dumps(ENTRIES))
    assert made(str(file)).settings_hash != made("").settings_hash
    file.write_text(json.dumps(ENTRIES[:2]))
    assert made(str(file)).settings_hash != made(json.dumps(ENTRIES)).settings_hash
    assert made("[]").settings_hash == made("").settings_hash


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/nowhere/at/all.json", "No such file"),
        ("[{]", "is no JSON: line 1"),
        ("[1]", "entry 1 should be an object"),
        ('[{"min_speech_ms": 100}]', "entry 1 should name an organisation or a queue"),
        ('[{"queue": 7}]', "entry 1 should name"),
        ('[{"queue": "a"}, {"queue": "q", "detector": "level"}]', "entry 2 sets detector"),
        ('[{"queue": "q", "min_speech_ms": 1}]', "entry 1: min_speech_ms Input should be greater"),
        ('[{"queue": "q", "min_speech_ms": "much"}]', "entry 1: min_speech_ms Input should be"),
        ('[{"queue": "q", "dead_air_alarm_ms": 300}]', "entry 1: dead_air_alarm_ms must not be below"),
    ],
)
def test_what_cannot_be_meant_is_a_mistake_with_the_setting_and_the_entry(text, said):
    with pytest.raises(ConfigError) as error:
        made(text)
    assert "SILENCE_THRESHOLDS: " in str(error.value)
    assert said in str(error.value)
    assert "much" not in str(error.value)


def alarms(run: Run) -> list[tuple[str | None, int]]:
    return [
        (e.queue, row)
        for row, e in run.found
        if getattr(e, "kind", None) is SilenceEventKind.DEAD_AIR_STARTED and e.alarm
    ]


def quiet_call(number: int, queue: str | None) -> Call:
    call = Call(number, channels=Channels.EXTERNAL_INTERNAL).open(queue=queue)
    return call.say(stereo((QUIET, QUIET), (QUIET, QUIET)), 640)


def by_level(*overrides: Override) -> SilenceProcessor:
    return SilenceProcessor(Tuning(detector="level", overrides=overrides))


NIGHT = Override(None, "night", Tuning(detector="level", dead_air_alarm_ms=3000))


@pytest.mark.parametrize("poll", [1, 64, 10_000])
def test_each_call_has_the_thresholds_of_its_queue(poll):
    for queue, row in (("night", 151), ("day", 401), (None, 401)):
        found = Run(by_level(NIGHT)).feed(log_of(quiet_call(0, queue)), poll)
        assert alarms(found) == [(queue, row)]


def test_what_an_info_says_counts_from_there_on_and_through_a_restart():
    call = Call(channels=Channels.EXTERNAL_INTERNAL).open()
    call.say(stereo((QUIET[:8000], QUIET[:8000])), 640).open(queue="night").say(stereo((QUIET, QUIET)), 640)
    found = Run(by_level(NIGHT)).feed(log_of(call))
    assert len(alarms(found)) == 1
    again = Run(by_level(NIGHT))
    for entry in log_of(call):
        again.restart().feed([entry])
    assert again.found == found.found


def test_the_level_of_a_queue_counts_for_its_calls_alone():
    loud = Override(None, "loud line", Tuning(detector="level", on_dbfs=-20, off_dbfs=-25))
    calls = [
        Call(number).open(queue=queue).say(sine(0.03, FIVE_S)) for number, queue in enumerate(("loud line", "day"))
    ]
    found = Run(by_level(loud)).feed([entry for pair in zip(*map(log_of, calls), strict=True) for entry in pair])
    kinds = {e.queue: e.kind for e in found.events}
    assert kinds == {"loud line": SilenceEventKind.SILENCE_STARTED, "day": SilenceEventKind.SPEECH_STARTED}
