import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.audiohook.messages import Head, Media, Violation, choose_media, duration, encode, parse, parse_duration

GOOD = {"version": "2", "id": "s", "type": "pong", "seq": 1, "clientseq": 1, "parameters": {}}
OPENED = {"media": [], "startPaused": False}
STEREO = Media(("external", "internal"))


@given(st.integers(min_value=0, max_value=10**12))
def test_a_duration_of_samples_is_exact_and_without_exponent(samples):
    text = duration(samples)
    assert "E" not in text.upper().removeprefix("PT")
    assert parse_duration(text) * 8000 == samples


@pytest.mark.parametrize(("samples", "text"), [(0, "PT0S"), (9600, "PT1.2S"), (1, "PT0.000125S"), (800_000, "PT100S")])
def test_durations_are_written_short(samples, text):
    assert duration(samples) == text


@pytest.mark.parametrize("text", ["PT1M", "P1D", "1", "PT-1S", "PT1e3S", "PTS", "PT.S", None, 3])
def test_other_durations_are_refused(text):
    with pytest.raises(Violation):
        parse_duration(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"id": "other"},
        {"seq": "1"},
        {"seq": True},
        {"clientseq": 1.0},
        {"type": "error"},
        {"type": 7},
        {"parameters": None},
        {"parameters": {"extra": 1}},
        {"position": "PT0S"},
        {"type": "event", "parameters": {"entities": []}},
        {"type": "event", "parameters": {"entities": [{"type": "transcript"}]}},
        {"type": "disconnect", "parameters": {"reason": ["error"]}},
        {"type": "disconnect", "parameters": {}},
        {"type": "opened", "parameters": {}},
        {"type": "opened", "parameters": OPENED | {"startPaused": 0}},
        {"type": "opened", "parameters": OPENED | {"discardTo": "900 ms"}},
        {"type": "opened", "parameters": OPENED | {"supportedLanguages": "en"}},
        {"type": "opened", "parameters": OPENED | {"codec": "PCMU"}},
    ],
)
def test_what_the_platform_would_not_take_is_a_violation(changes):
    with pytest.raises(Violation) as caught:
        parse(json.dumps(GOOD | changes), "s")
    assert caught.value.code == 400


@pytest.mark.parametrize("field", sorted(GOOD))
def test_no_field_of_the_envelope_may_be_missing(field):
    with pytest.raises(Violation):
        parse(json.dumps({name: value for name, value in GOOD.items() if name != field}), "s")


def test_text_that_is_no_json_or_too_long_is_a_violation():
    with pytest.raises(Violation, match="JSON"):
        parse("{", "s")
    with pytest.raises(Violation, match="too large"):
        parse(json.dumps(GOOD) + " " * 65_536, "s")


def test_a_good_message_is_read_whole():
    message = parse(json.dumps(GOOD | {"type": "disconnect", "parameters": {"reason": "completed"}}), "s")
    assert (message.kind, message.seq, message.clientseq, message.parameters["reason"]) == (
        "disconnect",
        1,
        1,
        "completed",
    )


def test_only_an_offer_as_it_stands_is_a_choice():
    inverted = Media(("internal", "external")).as_json()
    assert choose_media([STEREO.as_json()], [STEREO]) is STEREO
    assert choose_media([], [STEREO]) is None
    for wrong in ([inverted], [STEREO.as_json()] * 2, STEREO.as_json(), [None], "PCMU"):
        with pytest.raises(Violation):
            choose_media(wrong, [STEREO])


def test_a_client_message_has_its_seven_fields():
    text = encode("ping", Head("s", 3, 2, "PT1S"), {"rtt": "PT0.1S"})
    assert json.loads(text) == {
        "version": "2",
        "id": "s",
        "type": "ping",
        "seq": 3,
        "serverseq": 2,
        "position": "PT1S",
        "parameters": {"rtt": "PT0.1S"},
    }
