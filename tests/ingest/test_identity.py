from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from ingest.identity import Lineage, Predecessor, one_spelling, uuid7
from schemas.symbols import Source

S = Source.MEDIA_STREAMS


def test_a_uuid_is_the_same_however_it_is_written_and_other_ids_are_not():
    spellings = ["0B2C3D4E-ABCD-4222-8333-94445556667F", "0b2c3d4eabcd4222833394445556667f"]
    assert {one_spelling(spelling) for spelling in spellings} == {"0b2c3d4e-abcd-4222-8333-94445556667f"}
    assert [one_spelling(other) for other in ("Call", "call", "")] == ["Call", "call", ""]


@given(st.floats(0, 2**40), st.binary(min_size=10, max_size=10))
def test_a_session_id_is_a_uuid_of_version_7_that_starts_with_its_time(wall_s, random):
    drawn = uuid7(wall_s, random)
    assert (drawn.version, drawn.variant) == (7, RFC_4122)
    assert int.from_bytes(drawn.bytes[:6], "big") == int(wall_s * 1000) & 0xFFFF_FFFF_FFFF


@given(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_ids_differ_by_their_random_bits_and_sort_by_time(a, b):
    kept = 2**74 - 1
    same = int.from_bytes(a, "big") & kept == int.from_bytes(b, "big") & kept
    assert (uuid7(1.7e9, a) == uuid7(1.7e9, b)) is same
    assert uuid7(1.7e9, a) < uuid7(1.7e9 + 0.002, b)


def test_a_key_becomes_the_session_id_it_got_and_the_oldest_are_forgotten():
    lineage = Lineage(limit=2)
    for key in "abc":
        lineage.note(S, key, f"id-{key}")
    assert [lineage.find(S, key) for key in ("a", "b", "c", None)] == ["a", "id-b", "id-c", None]


def test_a_key_that_was_taken_over_goes_on_from_the_other_process_and_says_once_since_when():
    lineage = Lineage(limit=2)
    lineage.take_over(S, "a", Predecessor("id-elsewhere", 12.5))
    assert lineage.earlier(S, "a") == "id-elsewhere"
    assert (lineage.left_s(S, "a"), lineage.left_s(S, "a")) == (12.5, None)
    lineage.take_over(S, "a", Predecessor("id-ended", None))
    assert (lineage.earlier(S, "a"), lineage.left_s(S, "a")) == ("id-ended", None)


def test_what_was_forgotten_is_not_said_later():
    lineage = Lineage(limit=1)
    lineage.take_over(S, "a", Predecessor("id-a", 1.0))
    lineage.note(S, "b", "id-b")
    assert lineage.left_s(S, "a") is None


def test_the_same_key_of_two_sources_is_two_sessions():
    lineage = Lineage()
    lineage.take_over(S, "a", Predecessor("one", 1.0))
    lineage.take_over(Source.APPFOUNDRY, "a", Predecessor("other", 2.0))
    assert (lineage.earlier(S, "a"), lineage.left_s(S, "a")) == ("one", 1.0)
    assert (lineage.earlier(Source.APPFOUNDRY, "a"), lineage.left_s(Source.APPFOUNDRY, "a")) == ("other", 2.0)
    assert lineage.find(Source.CONVERSATION_AUDIO, "a") == "a"
