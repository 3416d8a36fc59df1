import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.audiohook.messages import (
    build,
    choose,
    format_duration,
    opened_parameters,
    parse,
    parse_duration,
    parse_open,
    to_samples,
)
from ingest.text import MalformedMessage
from schemas.symbols import Channels, Codec, Direction
from tests.ingest.sources.audiohook.words import OFFERS, PROBE, SESSION, STEREO, Client, offer, open_parameters


def nested(levels: int) -> list:
    value: list = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0S", "0"),
        ("PT0.0S", "0"),
        ("PT1.2S", "1.2"),
        ("PT.5S", "0.5"),
        ("PT0.001481472S", "0.001481472"),
        ("PT86400.000125S", "86400.000125"),
    ],
)
def test_a_duration_is_read_exactly(text, seconds):
    assert parse_duration(text) == Decimal(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "PT", "PTS", "PT1S ", "PT-1S", "PT1M", "PT1,2S", "PT1.S", "PT1e3S", "1.2", "PT٣S", "PT1234567890S", None, 1.5],
)
def test_what_is_no_duration_in_seconds_is_refused(text):
    with pytest.raises(MalformedMessage):
        parse_duration(text)


@given(st.integers(0, 10**12))
def test_a_duration_written_and_read_is_the_same_and_has_no_exponent(samples):
    text = format_duration(Decimal(samples) / 8000)
    assert "E" not in text
    assert to_samples(parse_duration(text), 8000) == samples


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 1.0},
        {"seq": True},
        {"seq": "1"},
        {"seq": -1},
        {"seq": 2**53},
        {"seq": ...},
        {"serverseq": None},
        {"id": "no-uuid"},
        {"type": 7},
        {"type": ""},
        {"parameters": []},
        {"position": "PT1M"},
        {"position": 4},
    ],
)
def test_an_envelope_that_contradicts_the_protocol_is_refused(change):
    with pytest.raises(MalformedMessage):
        parse(Client().say("ping", **change))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "NaN", '{"a":NaN}', "[" * 100_000, "1" * 5000])
def test_text_that_is_no_json_object_is_refused(text):
    with pytest.raises(MalformedMessage):
        parse(text)


def test_absent_parameters_and_position_are_taken_as_empty_and_not_stated():
    message = parse(Client().say("ping", parameters=None, position=...))
    absent = parse(json.dumps({"version": "2", "id": SESSION, "type": "ping", "seq": 1, "serverseq": 0}))
    assert message.position is None
    assert absent.parameters == {}
    assert absent.position is None


def test_another_version_is_read_and_told_apart():
    assert not parse(Client().say("ping", version="3")).current
    assert parse(Client().say("ping")).current


def test_the_first_stereo_offer_is_chosen_and_echoed_unchanged_whatever_its_order():
    inverted = offer("internal", "external") | {"extra": 1}
    media = parse_open(open_parameters(media=[offer("external"), inverted, STEREO]), Codec.L16_LE).media
    chosen = choose(media)
    assert chosen is not None
    assert chosen.channels is Channels.INTERNAL_EXTERNAL
    assert opened_parameters(chosen, supported_languages=None) == {"startPaused": False, "media": [inverted]}


@pytest.mark.parametrize("levels", [*range(1, 40), *range(940, 1000)])
def test_what_an_offer_holds_is_echoed_or_passed_over_however_deep_it_is(levels):
    text = Client().open(media=[offer("external") | {"extra": "@"}]).replace('"@"', "[" * levels + "]" * levels)
    with suppress(MalformedMessage):
        opened = parse_open(parse(text).parameters, Codec.L16_LE)
        answer = build("opened", SESSION, 1, 1, opened_parameters(choose(opened.media), supported_languages=None))
        assert ("extra" in answer) == (levels < 32)


def test_without_stereo_the_first_mono_offer_is_chosen():
    chosen = choose(parse_open(open_parameters(media=OFFERS[:0:-1]), Codec.L16_LE).media)
    assert chosen is not None
    assert chosen.channels is Channels.INTERNAL


@pytest.mark.parametrize(
    "entry",
    [
        offer("external", form="OPUS"),
        offer("left"),
        offer(),
        offer("external", rate=0),
        offer("external", rate=True),
        offer("external", "external"),
        offer("external") | {"extra": nested(33)},
        offer("external") | {"extra": [float("inf")]},
        {"type": "video"},
        "audio",
        None,
    ],
)
def test_an_offer_we_do_not_know_is_passed_over(entry):
    assert parse_open(open_parameters(media=[entry]), Codec.L16_LE).media == ()


@pytest.mark.parametrize(("l16", "size"), [(Codec.L16_LE, 4), (Codec.L16_BE, 4)])
def test_l16_is_read_in_the_byte_order_of_the_setting(l16, size):
    (entry,) = parse_open(open_parameters(media=[offer("external", "internal", form="L16")]), l16).media
    assert entry.codec is l16
    assert entry.bytes_per_sample == size


@pytest.mark.parametrize(
    "change",
    [
        {"organizationId": "x"},
        {"conversationId": None},
        {"participant": None},
        {"participant": {"id": "x"}},
        {"media": {}},
    ],
)
def test_open_without_its_ids_is_refused(change):
    with pytest.raises(MalformedMessage):
        parse_open(open_parameters(**change), Codec.L16_LE)


@pytest.mark.parametrize("form", [dict, json.dumps])
def test_custom_configuration_is_read_as_an_object_and_as_a_string(form):
    custom = form({"queue": "sales", "agent": "a-7", "division": "north", "direction": "inbound"})
    opened = parse_open(open_parameters(customConfig=custom), Codec.L16_LE)
    assert (opened.queue, opened.agent, opened.division, opened.direction) == (
        "sales",
        "a-7",
        "north",
        Direction.INBOUND,
    )


@pytest.mark.parametrize("custom", ["{", "[1]", 5, {"queue": 7, "direction": []}])
def test_custom_configuration_that_cannot_be_read_is_no_reason_to_refuse_a_call(custom):
    assert parse_open(open_parameters(customConfig=custom), Codec.L16_LE).queue is None


def test_the_newest_of_the_continued_sessions_is_named():
    sessions = [{"id": PROBE}, {"id": SESSION}, {"id": 5}]
    assert parse_open(open_parameters(continuedSessions=sessions), Codec.L16_LE).continued_from == SESSION


def test_only_a_session_with_zero_conversation_and_participant_is_a_probe():
    probe = parse_open(open_parameters(conversationId=PROBE, participant={"id": PROBE}), Codec.L16_LE)
    half = parse_open(open_parameters(conversationId=PROBE), Codec.L16_LE)
    assert probe.is_probe
    assert not half.is_probe


def test_a_text_with_half_a_character_can_be_written_afterwards():
    participant = {"id": PROBE, "aniName": "\ud800x"}
    opened = parse_open(open_parameters(participant=participant), Codec.L16_LE)
    assert opened.participant.name == "?x"


def test_a_server_message_has_all_fields_and_no_position():
    assert json.loads(build("pong", SESSION, 2, 5, {})) == {
        "version": "2",
        "id": SESSION,
        "type": "pong",
        "seq": 2,
        "clientseq": 5,
        "parameters": {},
    }
