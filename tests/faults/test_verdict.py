"""The judge sees what is missing, what is there twice, and what stands in another order."""

from tests.faults.verdict import Verdict, judge

A, B, C = (b"a", 1, b"1", ()), (b"b", 2, b"2", ()), (b"c", 3, b"3", (("h", b"x"),))


def test_the_same_records_are_exact():
    assert judge({"t": [[A, B], [C]]}, {"t": [[A, B], [C]]}).exact


def test_missing_surplus_and_exchanged_records_are_counted_by_partition():
    assert judge({"t": [[A, B], [C]]}, {"t": [[A], [C]]}) == Verdict(1, 0, 0, 0)
    assert judge({"t": [[A, B], [C]]}, {"t": [[A, B, B], [C]]}) == Verdict(0, 1, 0, 0)
    assert judge({"t": [[A, B], [C]]}, {"t": [[B, A], [C]]}) == Verdict(0, 0, 1, 0)
    assert judge({"t": [[A, B], [C]]}, {"t": [[A], [C, B]]}) == Verdict(1, 1, 0, 0)


def test_other_headers_are_another_record():
    assert judge({"t": [[C]]}, {"t": [[(*C[:3], ())]]}) == Verdict(1, 1, 0, 0)


def test_a_topic_nothing_was_expected_on_counts():
    assert judge({}, {"t": [[A], []]}) == Verdict(0, 1, 0, 0)


def test_a_wrong_state_is_not_exact():
    assert not judge({}, {}, wrong_states=1).exact
