"""The chain: canonical lines, hashes that anyone can compute again, names that state positions."""

import hashlib
import json

import pytest

from sinks.audit_log import chain


def test_a_line_is_hashed_with_the_hash_before_it_as_the_contract_says():
    _, data, head = chain.seal(chain.Head(), [{"line": "entry", "é": 1}, {"line": "marks"}])
    first, second = data.splitlines()

    text = '{"line":"entry","position":0,"previous":"' + "0" * 64 + '","é":1}'
    expected = hashlib.sha256(b"\x00" + bytes(32) + text.encode()).hexdigest()
    assert json.loads(first)["hash"] == expected
    assert json.loads(second)["previous"] == expected
    assert head == chain.Head(2, json.loads(second)["hash"], 0)


def test_the_keys_of_a_line_are_sorted_and_nothing_is_escaped_or_spaced():
    assert chain.canonical({"b": [1, None, True], "a": "ü"}) == '{"a":"ü","b":[1,null,true]}'.encode()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused(number):
    with pytest.raises(ValueError, match="JSON"):
        chain.canonical({"number": number})


def test_the_next_object_goes_on_where_the_last_one_ended():
    name, _, head = chain.seal(chain.Head(), [{}, {}])
    next_name, data, _ = chain.seal(head, [{}])

    assert (name, next_name) == ("0" * 20 + ".jsonl", "0" * 19 + "2.jsonl")
    assert json.loads(data)["previous"] == head.hash
    assert json.loads(data)["position"] == 2


@pytest.mark.parametrize("name", ["2.jsonl", "0" * 20 + ".json", "9" * 20 + ".jsonl", "a/" + "0" * 20 + ".jsonl", ""])
def test_a_name_of_another_shape_states_no_position(name):
    assert chain.first_position(name) is None


def test_a_name_states_the_position_it_was_made_of():
    assert chain.first_position(chain.object_name(1234)) == 1234
