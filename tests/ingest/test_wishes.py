"""What is wanted and what stands → what to write."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.protocol import Call
from ingest.wishes import (
    FILE,
    SETTINGS,
    Change,
    UnreadableWishes,
    call_of,
    changes,
    keyed,
    moment_us,
    of_calls,
    of_file,
)
from schemas.records import Subscription

NOW_US = 1_700_000_000_000_000
UPPER, LOWER = "0B2C3D4E-ABCD-4222-8333-94445556667F", "0b2c3d4e-abcd-4222-8333-94445556667f"


def wish(conversation_id: str = "c-1", source_name: str = "media-streams", **changed) -> Subscription:
    return Subscription(conversation_id=conversation_id, source_name=source_name, **changed)


def standing(*wishes: Subscription, by: str = SETTINGS) -> dict[str, Subscription]:
    return {key: replace(one, requested_by=by, requested_at_us=1) for key, one in keyed(wishes, {}).items()}


def test_what_is_new_is_written_with_who_asked_and_when():
    (change,) = changes([wish()], {}, SETTINGS, NOW_US)
    assert change == Change("c-1", "c-1", wish(requested_by=SETTINGS, requested_at_us=NOW_US))


def test_what_stands_already_is_not_written_again():
    assert changes([wish()], standing(wish()), SETTINGS, NOW_US) == []
    assert changes([wish(UPPER)], standing(wish(LOWER)), SETTINGS, NOW_US) == []


def test_what_changed_is_written_again():
    (change,) = changes([wish(connection_id="x")], standing(wish()), SETTINGS, NOW_US)
    assert change.subscription is not None
    assert change.subscription.connection_id == "x"


def test_only_what_the_mode_itself_asked_for_is_taken_back():
    before = {**standing(wish("a")), **standing(wish("b"), by=FILE), **standing(wish("c"), by="operator")}
    assert changes([], before, SETTINGS, NOW_US) == [Change("a", "a", None)]
    assert changes([], before, FILE, NOW_US) == [Change("b", "b", None)]


def test_what_somebody_else_asked_for_is_left_as_it_is():
    assert changes([wish(connection_id="mine")], standing(wish(), by="operator"), SETTINGS, NOW_US) == []


def test_a_second_source_of_a_conversation_has_a_key_of_its_own():
    both = [wish(), wish(source_name="appfoundry", connection_id="s")]
    first, second = changes(both, {}, SETTINGS, NOW_US)
    assert (first.key, second.key, second.conversation_id) == ("c-1", "c-1/appfoundry", "c-1")
    before = standing(*both)
    assert changes(both, before, SETTINGS, NOW_US) == []
    assert changes([both[1]], before, SETTINGS, NOW_US) == [Change("c-1", "c-1", None)]
    assert changes([both[0]], before, SETTINGS, NOW_US) == [Change("c-1/appfoundry", "c-1", None)]


def test_a_conversation_s_key_is_its_id_in_one_spelling():
    assert list(keyed([wish(UPPER)], {})) == [LOWER]


WISHES = st.lists(
    st.builds(
        Subscription,
        conversation_id=st.sampled_from(["a", "b", UPPER, LOWER]),
        source_name=st.sampled_from(["s", "t"]),
        connection_id=st.sampled_from([None, "x"]),
    ),
    max_size=6,
)


@given(WISHES, WISHES, WISHES)
def test_after_the_changes_the_topic_says_what_is_wanted_and_what_others_want(wanted, earlier, others):
    topic: dict[str, Subscription] = {}
    for wishes, who in ((others, "operator"), (earlier, SETTINGS), (wanted, SETTINGS)):
        for change in changes(wishes, topic, who, NOW_US):
            if change.subscription is None:
                del topic[change.key]
            else:
                topic[change.key] = change.subscription
    calls = {(one.source_name, call_of(one).conversation_id) for one in topic.values()}
    assert calls == {(one.source_name, call_of(one).conversation_id) for one in [*wanted, *others]}
    assert len(calls) == len(topic)
    assert changes(wanted, topic, SETTINGS, NOW_US + 1) == []


def test_a_listed_call_becomes_a_wish_and_the_wish_the_same_call():
    call = Call("c-1", "m-1", ("pcmu",), "o", "q", "a", MappingProxyType({"k": "v"}))
    (made,) = of_calls({"media-websocket": [call]})
    assert made.source_name == "media-websocket"
    assert call_of(made) == call


def test_a_file_holds_one_wish_a_line():
    text = """
# the two of this morning
{"conversation_id": "a", "source_name": "media-streams", "codec_preferences": ["pcma"], "parameters": {"k": "v"}}
{"conversation_id": "b", "source_name": "media-websocket", "connection_id": "m", "expires_at": "2023-11-14T22:13:20Z"}
"""
    first, second = of_file(text)
    assert (first.codec_preferences, first.parameters, first.expires_at_us) == (("pcma",), {"k": "v"}, -1)
    assert (second.connection_id, second.expires_at_us) == ("m", NOW_US)


BAD = [
    ("nonsense", "line 2: is no JSON"),
    ("[" * 100_000, "line 2: is no JSON"),
    (r'{"conversation_id": "a", "source_name": "s", "parameters": {"\ud800": "v"}}', "line 2: is no JSON"),
    ("[]", "line 2: is no JSON object"),
    ('{"conversation_id": "a"}', "line 2: source_name: Field required"),
    ('{"conversation_id": "", "source_name": "s"}', "line 2: conversation_id: String should have at least 1 character"),
    ('{"conversation_id": "a", "source_name": "s", "sourec": 1}', "line 2: sourec: Extra inputs are not permitted"),
    ('{"conversation_id": "a", "source_name": "s", "expires_at": "soon"}', "line 2: 'soon' is no time like"),
    ('{"conversation_id": "a", "source_name": "s", "parameters": {"k": 1}}', "line 2: parameters.k: Input should be"),
]


@pytest.mark.parametrize(("line", "named"), BAD, ids=[line[:80] for line, _ in BAD])
def test_a_bad_line_is_named_and_nothing_of_the_file_counts(line, named):
    with pytest.raises(UnreadableWishes) as caught:
        of_file('{"conversation_id": "a", "source_name": "s"}\n' + line)
    assert named in str(caught.value)


def test_all_bad_lines_are_named():
    with pytest.raises(UnreadableWishes) as caught:
        of_file("{\n\n{")
    assert str(caught.value) == "line 1: is no JSON; line 3: is no JSON"


def test_a_time_before_all_others_is_over_and_not_never():
    assert moment_us("1969-07-20") == moment_us("0001-01-01T00:00+12:00") == 0


def test_a_time_is_utc_unless_it_says():
    assert moment_us("2023-11-14T22:13:20") == moment_us("2023-11-14T23:13:20+01:00") == NOW_US
