import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.conversation import MISSING, Standing, standing

LIVE = {"id": "c", "startTime": "2026-11-21T10:00:00.000Z"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["calls", "state"]), inner),
    max_leaves=8,
)


def call(**fields):
    """A conversation with one leg that has these fields."""
    return LIVE | {"participants": [{"purpose": "agent", "calls": [fields]}]}


def test_a_conversation_that_is_under_way_and_says_nothing_of_a_pause():
    assert standing(LIVE) == Standing(found=True, ended_at_s=None, paused=None)


@pytest.mark.parametrize(
    ("text", "at_s"),
    [
        ("2026-11-21T10:00:00.250Z", 1795255200.25),
        ("2026-11-21T10:00:00Z", 1795255200.0),
        ("2026-11-21T11:00:00+01:00", 1795255200.0),
        ("2026-11-21T10:00:00", 1795255200.0),
    ],
)
def test_the_end_stands_at_the_top(text, at_s):
    assert standing(LIVE | {"endTime": text}).ended_at_s == at_s


@pytest.mark.parametrize("value", [None, "", "soon", 1795255200, True, [], "9999-99-99T00:00:00Z", "0001-01-01T00:00"])
def test_an_end_that_is_no_time_says_nothing_that_could_be_raised(value):
    found = standing(LIVE | {"endTime": value})
    assert found.ended_at_s is None or found.ended_at_s < 0


def test_the_end_of_a_leg_or_of_media_is_not_the_end_of_the_conversation():
    legs = call(endTime="2026-11-21T10:00:00Z") | {"media": [{"endTime": "2026-11-21T10:00:00Z"}]}
    assert standing(legs).ended_at_s is None


@pytest.mark.parametrize(
    ("fields", "paused"),
    [
        ({"securePause": True}, True),
        ({"securePause": False}, False),
        ({"recordingState": "paused"}, True),
        ({"recordingState": "PAUSED"}, True),
        ({"recordingState": "active"}, False),
        ({"recordingState": "ACTIVE"}, False),
        ({"recordingState": "none"}, None),
        ({"recordingState": "outdated"}, None),
        ({"securePause": False, "recordingState": "paused"}, True),
        ({"securePause": True, "recordingState": "active"}, True),
        ({"securePause": False, "recordingState": "none"}, False),
        ({"securePause": "true"}, None),
        ({"securePause": 1}, None),
        ({"recordingState": ["paused"]}, None),
    ],
)
@pytest.mark.parametrize("where", ["top", "leg"])
def test_a_pause_is_told_at_the_top_or_in_a_leg(fields, paused, where):
    assert standing(LIVE | fields if where == "top" else call(**fields)).paused is paused


def test_one_paused_leg_is_enough():
    legs = [{"calls": [{"securePause": False}]}, {"calls": [{"recordingState": "active"}, {"securePause": True}]}]
    assert standing(LIVE | {"securePause": False, "participants": legs}).paused is True


@pytest.mark.parametrize("state", ["disconnected", "Terminated"])
def test_a_leg_that_is_over_says_nothing(state):
    assert standing(call(state=state, securePause=True)).paused is None
    assert standing(call(state=state, recordingState="active")).paused is None
    assert standing(call(state="connected", securePause=True)).paused is True


@pytest.mark.parametrize("body", [None, [], "text", 5, True, math.nan])
def test_a_body_that_is_no_object_says_nothing(body):
    assert standing(body) == Standing(found=True)
    assert MISSING.found is False


FIELDS = st.sampled_from(["endTime", "securePause", "recordingState", "participants"])


@given(st.dictionaries(FIELDS, JSON) | JSON)
def test_no_json_raises_and_only_these_words_tell_of_a_pause(body):
    found = standing(body)
    assert found.found is True
    if found.paused is not None:
        text = json.dumps(body).lower()
        assert "securepause" in text or "recordingstate" in text


@given(st.lists(JSON | st.fixed_dictionaries({"calls": st.lists(JSON) | JSON})))
def test_a_pause_at_the_top_holds_whatever_else_there_is(participants):
    assert standing({"securePause": True, "participants": participants}).paused is True
