"""Sharing partitions out so that little moves."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.sticky import Claim, claim_of, share

CLAIMS = st.builds(Claim, st.integers(-1, 5), st.dictionaries(st.integers(0, 11), st.integers(0, 9), max_size=12))


def test_the_first_member_gets_everything():
    assert share(range(4), {"a": Claim()}) == {"a": [0, 1, 2, 3]}


def test_a_join_moves_only_what_the_new_member_must_get_and_the_emptiest_first():
    held = {0: 0, 1: 7, 2: 1, 3: 2}
    assert share(range(4), {"a": Claim(1, held), "b": Claim()}) == {"a": [1, 3], "b": [0, 2]}


def test_of_equally_empty_partitions_the_highest_go():
    assert share(range(4), {"a": Claim(1, dict.fromkeys(range(4), 0)), "b": Claim()}) == {"a": [0, 1], "b": [2, 3]}


def test_what_a_dead_member_held_goes_to_the_others_who_keep_theirs():
    shares = share(range(6), {"a": Claim(3, {0: 1, 1: 1}), "b": Claim(3, {4: 1, 5: 1})})
    assert shares == {"a": [0, 1, 2], "b": [3, 4, 5]}


def test_who_was_away_loses_against_who_took_over():
    away, successor = Claim(4, {0: 1, 1: 1}), Claim(5, {0: 1, 1: 0})
    assert share(range(2), {"away": away, "there": successor}) == {"away": [1], "there": [0]}


def test_two_who_were_both_thrown_out_and_come_back_one_after_the_other_have_what_they_had():
    alone = share(range(4), {"a": Claim(3, {0: 5, 1: 1})})
    assert alone == {"a": [0, 1, 2, 3]}
    first, second = Claim(4, {0: 5, 1: 1, 2: 3, 3: 7}), Claim(3, {2: 3, 3: 7})
    assert share(range(4), {"a": first, "b": second}) == {"a": [0, 1], "b": [2, 3]}
    assert share(range(4), {"b": first, "a": second}) == {"b": [0, 1], "a": [2, 3]}


def test_more_members_than_partitions_leave_some_without():
    shares = share(range(2), {"a": Claim(1, {0: 0, 1: 0}), "b": Claim(), "c": Claim()})
    assert sorted(map(len, shares.values())) == [0, 1, 1]
    assert shares["a"] == [0]


def test_nobody_shares_nothing():
    assert share(range(2), {}) == {}


@given(st.integers(0, 12), st.dictionaries(st.sampled_from("abcdef"), CLAIMS, min_size=1))
def test_every_partition_has_one_owner_and_shares_are_even(count, members):
    shares = share(range(count), members)
    assert sorted(number for share_ in shares.values() for number in share_) == list(range(count))
    assert max(map(len, shares.values())) - min(map(len, shares.values())) <= 1


@given(st.integers(1, 12), st.lists(st.sampled_from("abcdef"), min_size=1, unique=True))
def test_the_same_members_keep_what_they_have(count, members):
    first = share(range(count), {member: Claim() for member in members})
    claims = {member: Claim(1, dict.fromkeys(numbers, 1)) for member, numbers in first.items()}
    assert share(range(count), claims) == first


@given(CLAIMS)
def test_a_claim_travels_as_bytes(claim):
    assert claim_of(claim.to_bytes()) == claim


def test_what_is_no_claim_claims_nothing():
    for data in (b"", b"{}", b"[]", b"\xff", b'{"generation": 1, "held": 3}', b'{"generation": null, "held": {}}'):
        assert claim_of(data) == Claim()
