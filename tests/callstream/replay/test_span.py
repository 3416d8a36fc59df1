from datetime import UTC, datetime, timedelta

import pytest

from callstream.replay.span import Wanted, epoch_ms, moment, place


def test_a_time_without_an_offset_is_local():
    assert moment("2026-11-21T10:00") == datetime(2026, 11, 21, 10).astimezone()
    assert moment("2026-11-21T10:00+02:00") == datetime(2026, 11, 21, 8, tzinfo=UTC)


def test_a_time_of_day_is_on_the_day_and_by_the_clock_of_the_other():
    before = moment("2026-11-21T10:00+02:00")
    assert moment("11:00", before) - before == timedelta(hours=1)
    assert moment("11:00+01:00", before) - before == timedelta(hours=2)
    assert moment("2026-11-22T10:00+02:00", before) - before == timedelta(days=1)


@pytest.mark.parametrize("text", ["11:00", "yesterday", "", "2026-13-01"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        moment(text)


def test_times_are_milliseconds_since_the_epoch():
    assert epoch_ms(datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)) == 1_700_000_000_123


def test_a_place_is_a_partition_and_an_offset():
    assert place("3:1024") == (3, 1024)
    for text in ("3", "3:", ":4", "a:4", "-1:4", "3:4:5"):
        with pytest.raises(ValueError, match=r"."):
            place(text)


def test_what_is_wanted_reads_well_in_an_audit_log():
    assert str(Wanted()) == "the beginning to the end"
    assert str(Wanted(firsts=((0, 5), (1, 6)), ends=((1, 9),))) == "offsets 0:5 1:6 to 1:9"
    assert str(Wanted(from_ms=1_700_000_000_000)).endswith(" to the end")
    assert Wanted().partitions is None
    assert Wanted(firsts=((0, 5), (1, 6))).partitions == {0, 1}
