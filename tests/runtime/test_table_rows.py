"""One partition of a table: read to its end, then followed."""

from runtime.table_rows import PartitionRows, Row


def row(offset: int, key: bytes, value: bytes | None) -> Row:
    return Row(key, value, 0, offset, 0)


def loaded(*rows: Row) -> PartitionRows:
    partition = PartitionRows()
    partition.begin(0, len(rows))
    for one in rows:
        assert not partition.take(one)
    assert partition.reached(len(rows)) == list(partition.rows.values())
    return partition


def test_nothing_counts_before_the_end_is_reached():
    partition = PartitionRows()
    partition.begin(3, 7)
    assert not partition.take(row(3, b"a", b"1"))
    assert partition.reached(6) is None
    assert not partition.counts
    assert partition.reached(7) == [row(3, b"a", b"1")]
    assert partition.counts


def test_an_empty_partition_counts_at_once():
    partition = PartitionRows()
    partition.begin(5, 5)
    assert partition.reached(5) == []
    assert partition.counts


def test_only_the_newest_value_counts_and_a_tombstone_is_none():
    partition = loaded(row(0, b"a", b"1"), row(1, b"b", b"1"), row(2, b"a", b"2"), row(3, b"b", None))
    assert [(one.key, one.value) for one in partition.rows.values()] == [(b"a", b"2")]


def test_a_live_change_is_told_and_a_tombstone_of_nothing_is_not():
    partition = loaded(row(0, b"a", b"1"))
    assert partition.take(row(1, b"b", b"1"))
    assert partition.take(row(2, b"a", None))
    assert not partition.take(row(3, b"c", None))
    assert set(partition.rows) == {b"b"}


def test_a_record_read_before_changes_nothing():
    partition = loaded(row(0, b"a", b"1"), row(1, b"a", b"2"))
    assert not partition.take(row(0, b"a", b"1"))
    assert partition.rows[b"a"].value == b"2"


def test_reading_once_more_keeps_what_counts_and_tells_only_what_differs():
    partition = loaded(row(0, b"a", b"1"), row(1, b"b", b"1"), row(2, b"c", b"1"))
    partition.begin(0, 4)
    assert not partition.counts
    assert set(partition.rows) == {b"a", b"b", b"c"}
    assert not partition.take(row(0, b"a", b"1"))
    assert not partition.take(row(1, b"b", b"1"))
    assert not partition.take(row(3, b"b", b"2"))
    assert partition.reached(4) == [row(2, b"c", None), row(3, b"b", b"2")]
    assert set(partition.rows) == {b"a", b"b"}


def test_the_same_offsets_of_another_log_are_other_rows():
    partition = loaded(row(0, b"a", b"1"))
    partition.begin(0, 1)
    assert not partition.take(row(0, b"b", b"1"))
    assert partition.reached(1) == [row(0, b"a", None), row(0, b"b", b"1")]
