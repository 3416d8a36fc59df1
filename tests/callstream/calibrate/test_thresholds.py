import json

import pytest

from callstream.calibrate.proposal import Proposal
from callstream.calibrate.thresholds import Calls, environment, environment_of, of_calls, with_proposal
from processors.silence.config import SilenceSettings, tuning
from runtime.config import load

FOUND = Proposal(-48.5, -51.5, "why", ())
LEVELS = {"on_dbfs": -48.5, "off_dbfs": -51.5}
NIGHT = {"queue": "night", "on_dbfs": -30.0, "off_dbfs": -33.0, "dead_air_alarm_ms": 4000}
ACME = {"organisation": "acme", "min_speech_ms": 60}


def entries(calls: Calls, *given: dict) -> list[dict]:
    return json.loads(environment_of(calls, FOUND, given)["SILENCE_THRESHOLDS"])


def settings(value: str) -> SilenceSettings:
    return load(SilenceSettings, "SILENCE_", {"SILENCE_THRESHOLDS": value}, None)


def test_for_all_calls_there_are_two_variables():
    assert environment(FOUND) == {"SILENCE_ON_DBFS": "-48.5", "SILENCE_OFF_DBFS": "-51.5"}
    assert environment_of(Calls(), FOUND, [NIGHT]) == {}


def test_the_calls_that_were_chosen_get_an_entry():
    assert entries(Calls(queue="support")) == [{"queue": "support", **LEVELS}]
    assert entries(Calls("acme", "support")) == [{"organisation": "acme", "queue": "support", **LEVELS}]


def test_what_counted_for_them_goes_on_to_count_and_the_other_entries_stay():
    assert entries(Calls(queue="night"), ACME, NIGHT) == [ACME, {**NIGHT, **LEVELS}]
    assert entries(Calls("acme", "support"), NIGHT, ACME) == [
        NIGHT,
        {"organisation": "acme", "queue": "support", "min_speech_ms": 60, **LEVELS},
        ACME,
    ]


def test_calls_with_an_entry_of_their_own_keep_it():
    given = [NIGHT, ACME]
    new = tuning(settings(environment_of(Calls("acme"), FOUND, given)["SILENCE_THRESHOLDS"]))
    assert of_calls(new, Calls("acme", "night")).on_dbfs == -30
    assert of_calls(new, Calls("acme", "day")).on_dbfs == -48.5


@pytest.mark.parametrize("calls", [Calls(queue="night"), Calls("acme"), Calls("acme", "night"), Calls(queue="other")])
@pytest.mark.parametrize("given", [[], [NIGHT], [ACME, NIGHT]])
def test_the_service_takes_what_is_pasted_and_only_levels_change_for_the_chosen_calls(calls: Calls, given: list):
    old = tuning(settings(json.dumps(given) if given else ""))
    new = tuning(settings(environment_of(calls, FOUND, given)["SILENCE_THRESHOLDS"]))
    for name in old.names():
        expected = LEVELS.get(name, getattr(of_calls(old, calls), name))
        assert getattr(of_calls(new, calls), name) == expected


def test_a_proposal_is_tried_on_the_calls_of_every_queue():
    tried = with_proposal(tuning(settings(json.dumps([NIGHT, ACME]))), FOUND)
    for calls in (Calls(), Calls(queue="night"), Calls("acme")):
        assert (of_calls(tried, calls).on_dbfs, of_calls(tried, calls).off_dbfs) == (-48.5, -51.5)
    assert of_calls(tried, Calls(queue="night")).dead_air_alarm_ms == 4000


def test_what_counts_for_calls_goes_by_their_queue_and_the_common_detector():
    current = tuning(settings(json.dumps([NIGHT])))
    assert of_calls(current, Calls(queue="night")).on_dbfs == -30
    assert of_calls(current, Calls(queue="day")).on_dbfs == -40
    assert of_calls(current, Calls(queue="night")).detector == current.detector
