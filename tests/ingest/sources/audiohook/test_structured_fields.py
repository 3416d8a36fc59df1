from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.audiohook.structured_fields import (
    InnerList,
    Item,
    MalformedField,
    parse_dictionary,
    serialise,
)


def test_an_inner_list_with_parameters_is_read_in_order():
    found = parse_dictionary('sig1=("a" "b";req);keyid="k";created=12, other=:AAE=:')
    assert found == {
        "sig1": InnerList((Item("a"), Item("b", {"req": True})), {"keyid": "k", "created": 12}),
        "other": Item(b"\x00\x01"),
    }


def test_padding_is_gone_in_the_canonical_form():
    found = parse_dictionary('s=(  "a"   "b" ); keyid="k";  x="q\\"\\\\"')["s"]
    assert isinstance(found, InnerList)
    assert serialise(found) == '("a" "b");keyid="k";x="q\\"\\\\"'


@pytest.mark.parametrize(
    "text",
    [
        "=1",
        "a=",
        "a=(",
        'a=("x"',
        'a=("x""y")',
        'a="x',
        "a=1,",
        "a=1 b=2",
        "a=:*:",
        "a=:A:",
        "a=token",
        "a=1.5",
        'A="x"',
    ],
)
def test_what_is_no_dictionary_is_refused(text):
    with pytest.raises(MalformedField):
        parse_dictionary(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    found = None
    with suppress(MalformedField):
        found = parse_dictionary(text)
    assert found is None or isinstance(found, dict)


_STRINGS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
_VALUES = st.one_of(_STRINGS, st.integers(-(10**14), 10**14), st.binary(max_size=9), st.booleans())
_PARAMETERS = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_-]{0,5}", fullmatch=True), _VALUES, max_size=4)


@given(st.lists(st.builds(Item, _VALUES, _PARAMETERS), max_size=4), _PARAMETERS)
def test_what_is_written_is_read_back(items, parameters):
    inner = InnerList(tuple(items), parameters)
    assert parse_dictionary(f"sig={serialise(inner)}")["sig"] == inner
