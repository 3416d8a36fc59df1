import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.text import MAX_STRING_CHARACTERS, MalformedMessage, object_of, text_of, whole_number_of


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"a":NaN}', "not JSON"),
        ('{"a":-Infinity}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 5_000, "not JSON"),
        ("[]", "not a JSON object"),
        ("1", "not a JSON object"),
        ("null", "not a JSON object"),
    ],
)
def test_what_is_no_json_object_is_refused_without_a_quote(text, defect):
    with pytest.raises(MalformedMessage) as refused:
        object_of(text)
    assert str(refused.value) == defect


def test_an_object_is_returned_as_it_is():
    assert object_of('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}


@pytest.mark.parametrize("value", [None, "", 1, True, [], {}, b"x"])
def test_what_is_no_text_is_none(value):
    assert text_of(value) is None


def test_a_long_text_is_cut():
    assert text_of("x" * (MAX_STRING_CHARACTERS + 1)) == "x" * MAX_STRING_CHARACTERS


@given(st.text(st.characters(), min_size=1))
def test_a_text_can_always_be_written(text):
    taken = text_of(text)
    assert taken is not None
    assert taken.encode("utf-8").decode("utf-8") == taken


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(0, 0), (9, 9), (10, None), (-1, None), (True, None), (1.0, None), ("1", None), (None, None), (10**400, None)],
)
def test_a_whole_number_is_taken_where_it_is_one_and_within_its_limit(value, wanted):
    assert whole_number_of(value, below=10) == wanted
