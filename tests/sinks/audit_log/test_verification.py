"""Every way to tamper with a log is found, and its first place is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.audit_log import chain
from sinks.audit_log.chain import GENESIS, Head, canonical, link, object_name
from sinks.audit_log.logic import End, seal
from sinks.audit_log.verification import BrokenChain, Kind, Verifier, parse_head, previous_of
from tests.sinks.audit_log.logs import EVENTS, STAMP, bodies, objects

LOG = objects(6, 2)
"""Three objects, at the positions 0, 3 and 6: two entries and their marks in each."""
HEAD = parse_head(LOG[-1].head)


def files(sealed=LOG):
    return {each.name: each.data for each in sealed}


def verify(store, head=HEAD):
    verifier = Verifier(head, store)
    while (data := store.get(verifier.expected)) is not None:
        verifier.check(data)
    return verifier.finish()


def broken(store, head=HEAD):
    with pytest.raises(BrokenChain) as caught:
        verify(store, head)
    return caught.value.kind, caught.value.position, caught.value.name


def changed(name, change):
    """The log with the lines of one object changed by a function from list to list."""
    store = files()
    lines = change(store[name].splitlines())
    return {**store, name: b"".join(line + b"\n" for line in lines)}


def rehashed(line, **fields):
    """The line with other fields, and a hash that fits them."""
    body = {name: value for name, value in {**json.loads(line), **fields}.items() if name != "hash"}
    return canonical({**body, "hash": link(body["previous"], body)})


def resealed(previous, position, lines):
    """The lines chained anew behind a hash, as somebody would who knows the contract."""
    found = []
    for line in lines:
        found.append(rehashed(line, previous=previous, position=position))
        previous, position = json.loads(found[-1])["hash"], position + 1
    return found


SECOND = object_name(3)


def test_a_log_as_it_was_written_is_verified():
    summary = verify(files())
    assert str(summary) == f"6 entries in 3 batches, head {HEAD.hash}, verified"
    assert verify({}, Head()).entries == 0


def test_a_head_that_lags_is_no_fault():
    assert verify(files(), parse_head(LOG[0].head)).entries == 6
    assert verify(files(), Head()).entries == 6


def test_an_edit_is_found():
    store = changed(SECOND, lambda lines: [lines[0], lines[1].replace(b'"OPENED"', b'"CLOSED"'), lines[2]])
    assert broken(store) == (Kind.EDIT, 4, SECOND)


def test_an_edit_that_says_the_same_in_other_bytes_is_found():
    store = changed(SECOND, lambda lines: [lines[0].replace(b":", b": ", 1), *lines[1:]])
    assert broken(store) == (Kind.EDIT, 3, SECOND)


def test_an_edit_with_a_hash_made_anew_is_found_at_the_next_line():
    store = changed(SECOND, lambda lines: [lines[0], rehashed(lines[1], timestamp_ms=1), lines[2]])
    assert broken(store) == (Kind.FORK, 5, SECOND)


def test_an_edited_last_marks_line_is_found_by_the_head():
    last = object_name(6)
    store = changed(last, lambda lines: [*lines[:2], rehashed(lines[2], written_at_us=1)])
    assert broken(store) == (Kind.FORK, 8, last)


@pytest.mark.parametrize(("index", "position"), [(0, 3), (1, 4)])
def test_a_deleted_line_is_found(index, position):
    store = changed(SECOND, lambda lines: lines[:index] + lines[index + 1 :])
    assert broken(store) == (Kind.DELETION, position, SECOND)


def test_deleted_marks_are_found():
    assert broken(changed(SECOND, lambda lines: lines[:2])) == (Kind.DELETION, 5, SECOND)


def test_a_deleted_object_is_found():
    store = files()
    del store[SECOND]
    assert broken(store) == (Kind.DELETION, 3, object_name(6))


def test_a_deleted_first_object_is_found_without_a_head_too():
    store = files()
    del store[object_name(0)]
    assert broken(store, None) == (Kind.DELETION, 0, SECOND)


def test_an_inserted_line_is_found():
    def insert(lines):
        (forged,) = resealed(json.loads(lines[0])["hash"], 4, [lines[0]])
        return [lines[0], forged, *lines[1:]]

    assert broken(changed(SECOND, insert)) == (Kind.OFFSETS, 4, SECOND)


def test_an_inserted_line_with_an_offset_of_its_own_is_found():
    def insert(lines):
        (forged,) = resealed(json.loads(lines[0])["hash"], 4, [rehashed(lines[0], topic="calls.audit")])
        return [lines[0], forged, *lines[1:]]

    assert broken(changed(SECOND, insert)) == (Kind.INSERTION, 4, SECOND)


def test_lines_behind_the_marks_are_found():
    store = changed(SECOND, lambda lines: [*lines, *files()[object_name(6)].splitlines()])
    assert broken(store) == (Kind.INSERTION, 6, SECOND)


def test_an_inserted_object_is_found():
    assert broken({**files(), object_name(4): LOG[1].data}) == (Kind.INSERTION, 4, object_name(4))


def test_two_swapped_lines_are_found():
    store = changed(SECOND, lambda lines: [lines[1], lines[0], lines[2]])
    assert broken(store) == (Kind.SWAP, 3, SECOND)


def test_two_swapped_objects_are_found():
    store = {**files(), SECOND: LOG[2].data, object_name(6): LOG[1].data}
    assert broken(store) == (Kind.SWAP, 3, SECOND)


def test_a_line_that_stands_twice_is_found():
    store = changed(SECOND, lambda lines: [lines[0], lines[0], *lines[1:]])
    assert broken(store) == (Kind.DUPLICATE, 3, SECOND)


def test_an_object_that_stands_twice_is_found():
    assert broken({**files(), object_name(9): LOG[1].data}) == (Kind.DUPLICATE, 9, object_name(9))


def test_a_cut_off_end_is_found_by_the_head_only():
    store = files(LOG[:2])
    assert broken(store) == (Kind.TRUNCATION, 6, object_name(6))
    assert verify(store, None).entries == 4


def test_an_emptied_store_is_found():
    assert broken({}) == (Kind.TRUNCATION, 0, object_name(0))


def test_a_log_made_anew_is_found_by_the_head_only():
    forged = seal(End(), [{**body, "timestamp_ms": 1} for body in bodies(6)], {}, STAMP, 2)
    assert broken(files(forged)) == (Kind.FORK, 8, object_name(6))
    assert verify(files(forged), None).entries == 6


def test_an_object_of_another_chain_is_found():
    foreign = seal(End(Head(3, "ab" * 32, 0)), bodies(2), {}, STAMP, 2)
    assert broken({**files(), SECOND: foreign[0].data}) == (Kind.FORK, 3, SECOND)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"garbage\n",
        b"[]\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"line":"entry"}\n',
        b'{"line":[]}\n',
        b'{"entries":0,"hash":"","line":"marks","next_offsets":{"a":1},"position":3,"previous":""}\n',
        LOG[1].data[:40],
    ],
)
def test_an_object_that_is_no_log_is_garbage(data):
    assert broken({**files(), SECOND: data}) == (Kind.GARBAGE, 3, SECOND)


def test_an_object_cut_inside_a_line_is_garbage_from_there():
    assert broken({**files(), SECOND: LOG[1].data[:-1]}) == (Kind.GARBAGE, 5, SECOND)


def test_a_hash_that_is_no_hash_is_an_edit():
    store = changed(SECOND, lambda lines: [canonical({**json.loads(lines[0]), "previous": "x"}), *lines[1:]])
    assert broken(store) == (Kind.EDIT, 3, SECOND)


def test_a_foreign_file_is_found():
    assert broken({**files(), "notes.txt": b""}) == (Kind.GARBAGE, 0, "notes.txt")


def test_the_first_fault_is_named_when_there_are_several():
    store = changed(SECOND, lambda lines: [lines[1], lines[2].replace(b"writer", b"eraser")])
    assert broken(store) == (Kind.DELETION, 3, SECOND)


def chained(*lines):
    name, data, _ = chain.seal(Head(), [dict(line) for line in lines])
    return {name: data}


ENTRY = {"line": "entry", "topic": EVENTS, "partition": 0}
GAP = {**ENTRY, "line": "gap"}


def marks(entries, **offsets):
    return {"line": "marks", "entries": entries, "next_offsets": {EVENTS: offsets} if offsets else {}}


@pytest.mark.parametrize(
    ("lines", "position"),
    [
        ([{**ENTRY, "offset": 1}, {**ENTRY, "offset": 1}, marks(2, **{"0": 2})], 1),
        ([{**ENTRY, "offset": 1}, marks(1, **{"0": 1})], 1),
        ([{**ENTRY, "offset": 1}, marks(1)], 1),
        ([{**ENTRY, "offset": 1}, marks(2, **{"0": 2})], 1),
        ([{**GAP, "offset": 1, "next_offset": 5}, {**ENTRY, "offset": 4}, marks(1, **{"0": 5})], 1),
    ],
    ids=["offset twice", "mark before its entry", "mark missing", "entries miscounted", "entry inside a gap"],
)
def test_offsets_and_marks_that_cannot_be_are_found(lines, position):
    assert broken(chained(*lines), None) == (Kind.OFFSETS, position, object_name(0))


def test_marks_that_go_back_are_found():
    first, data, head = chain.seal(Head(), [marks(0, **{"0": 5})])
    second, more, _ = chain.seal(head, [marks(0, **{"0": 4})])
    assert broken({first: data, second: more}, None) == (Kind.OFFSETS, 1, second)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"positions":"1","hash":"","object":0}', b"\xff"])
def test_a_head_that_cannot_be_read_is_named(text):
    with pytest.raises(BrokenChain, match="head"):
        parse_head(text)


def test_the_hash_before_an_object_is_that_of_its_first_line():
    assert previous_of(LOG[0].data) == GENESIS
    assert previous_of(LOG[1].data) == LOG[0].end.head.hash
    assert previous_of(b"garbage") == GENESIS


@given(st.integers(0, 8), st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_found(line, at, difference):
    sealed = LOG[line // 3]
    start = sum(len(each) + 1 for each in sealed.data.splitlines()[: line % 3])
    at = start + at % (len(sealed.data.splitlines()[line % 3]) + 1)
    data = bytearray(sealed.data)
    data[at] ^= difference
    kind, position, name = broken({**files(), sealed.name: bytes(data)})
    assert name == sealed.name
    assert position == line, kind
