import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.spool.sealing import AesGcm, Plain
from ingest.spool.segments import (
    HEAD_BYTES,
    Bad,
    Damaged,
    Foreign,
    Header,
    Kind,
    Stored,
    Torn,
    Whole,
    decode,
    encode,
    new_head,
    read_head,
    scan,
)

SEALS = [Plain(), AesGcm(bytes(32))]
both_seals = pytest.mark.parametrize("seal", SEALS, ids=["plain", "sealed"])
stored = st.lists(st.builds(Stored, st.none() | st.binary(max_size=8), st.binary(max_size=40)), min_size=1, max_size=4)
blocks = st.lists(stored, min_size=1, max_size=5)


def segment(contents, seal, number=7, salt=b"s" * 16) -> tuple[bytes, list[int]]:
    """A segment's bytes, and where each block begins, the end included."""
    head = new_head(number, seal, salt)
    data, starts = head.raw, []
    for index, records in enumerate(contents):
        starts.append(len(data))
        data += encode(head, Header(Kind.RECORDS, index % 2, index, index + 100), records, seal)
    return data, [*starts, len(data)]


def whole(data, seal) -> list[tuple[int, list[Stored]]]:
    return [(part.header.number, part.records) for part in scan(data, seal) if isinstance(part, Whole)]


@both_seals
@given(contents=blocks)
def test_what_was_written_is_read_with_its_places(seal, contents):
    data, starts = segment(contents, seal)
    parts = list(scan(data, seal))
    assert [part.records for part in parts] == contents
    assert [(part.header.topic, part.header.partition) for part in parts] == [(n % 2, n) for n in range(len(parts))]
    assert [part.offset for part in parts] == starts[:-1]
    head = read_head(data, seal)
    for part in parts:
        assert decode(head, data[part.offset : part.offset + part.length], seal) == (part.header, part.records)


@both_seals
@given(contents=blocks, rest=st.data())
def test_of_any_torn_tail_all_whole_blocks_are_read_and_the_tail_is_told(seal, contents, rest):
    data, starts = segment(contents, seal)
    cut = rest.draw(st.integers(HEAD_BYTES, len(data)))
    parts = list(scan(data[:cut], seal))
    kept = [start for start in starts[1:] if start <= cut]
    assert whole(data[:cut], seal) == [(n + 100, contents[n]) for n in range(len(kept))]
    end = kept[-1] if kept else HEAD_BYTES
    assert parts[len(kept) :] == ([Torn(end, cut - end)] if cut > end else [])


@both_seals
@given(contents=blocks, rest=st.data())
def test_a_flipped_bit_costs_its_own_block_at_most_and_never_gives_a_wrong_record(seal, contents, rest):
    data, starts = segment(contents, seal)
    place = rest.draw(st.integers(0, len(data) * 8 - 1))
    flipped = bytearray(data)
    flipped[place // 8] ^= 1 << place % 8
    if place // 8 < HEAD_BYTES:
        with pytest.raises(Foreign):
            list(scan(bytes(flipped), seal))
        return
    hit = max(n for n, start in enumerate(starts[:-1]) if start <= place // 8)
    wanted = [(n + 100, records) for n, records in enumerate(contents) if n != hit]
    assert whole(bytes(flipped), seal) == wanted
    others = [part for part in scan(bytes(flipped), seal) if not isinstance(part, Whole)]
    assert [(part.offset, part.length) for part in others] == [(starts[hit], starts[hit + 1] - starts[hit])]
    # damage within the file is never taken for the tail of a crash
    assert all(isinstance(part, Bad) for part in others)


@both_seals
@given(contents=blocks, junk=st.binary(max_size=80), rest=st.data())
def test_bytes_from_elsewhere_between_blocks_are_named_and_the_blocks_around_them_read(seal, contents, junk, rest):
    data, starts = segment(contents, seal)
    at = rest.draw(st.sampled_from(starts))
    mixed = data[:at] + junk + data[at:]
    assert whole(mixed, seal) == [(n + 100, records) for n, records in enumerate(contents)]
    parts = list(scan(mixed, seal))
    assert sum(part.length for part in parts) == len(mixed) - HEAD_BYTES


@both_seals
def test_a_block_of_another_file_does_not_count_in_this_one(seal):
    data, _ = segment([[Stored(b"k", b"one")]], seal)
    other, starts = segment([[Stored(b"k", b"two")]], seal, salt=b"t" * 16)
    parts = list(scan(data + other[starts[0] :], seal))
    assert [type(part) for part in parts] == [Whole, Bad]
    with pytest.raises(Damaged):
        decode(read_head(data, seal), other[starts[0] :], seal)


def test_a_record_that_looks_like_a_block_is_a_record():
    seal = Plain()
    inner, starts = segment([[Stored(b"k", b"inner")]], seal, salt=b"x" * 16)
    data, outer = segment([[Stored(b"k", inner[starts[0] :])], [Stored(None, b"later")]], seal)
    broken = bytearray(data)
    broken[outer[0]] ^= 1
    assert whole(bytes(broken), seal) == [(101, [Stored(None, b"later")])]


def test_zeros_behind_the_last_block_are_a_torn_tail():
    data, _ = segment([[Stored(b"k", b"one")]], Plain())
    assert list(scan(data + bytes(500), Plain()))[1:] == [Torn(len(data), 500)]


def test_a_file_without_its_whole_head_is_torn_unless_it_begins_otherwise():
    data, _ = segment([[Stored(b"k", b"one")]], Plain())
    for cut in (0, 5, HEAD_BYTES - 1):
        assert list(scan(data[:cut], Plain())) == [Torn(0, cut)]
    with pytest.raises(Foreign):
        list(scan(b"something else", Plain()))


def test_another_key_or_none_is_told_from_damage():
    data, _ = segment([[Stored(b"k", b"secret")]], AesGcm(bytes(32)))
    for other in (AesGcm(b"k" * 32), Plain()):
        with pytest.raises(Foreign, match="another key"):
            list(scan(data, other))
    assert b"secret" not in data


def test_what_is_sealed_for_one_place_does_not_open_in_another():
    seal = AesGcm(bytes(32))
    head = new_head(1, seal, b"s" * 16)
    one = encode(head, Header(Kind.RECORDS, 0, 0, 1), [Stored(b"k", b"one")], seal)
    body = one[-(len(one) - len(encode(head, Header(Kind.RECORDS, 0, 0, 1), [], Plain()))) :]

    class Fixed(Plain):
        key_id = seal.key_id

        def close(self, plain, place):
            return body

    moved = encode(head, Header(Kind.RECORDS, 0, 5, 1), [Stored(b"k", b"one")], Fixed())
    with pytest.raises(Damaged, match="sealed"):
        decode(head, moved, seal)
