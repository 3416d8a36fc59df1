import os

import pytest

from ingest.spool.aside import Aside
from runtime import metrics
from tests.ingest.spool.bridged import Bridged


def names(path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


def test_beyond_its_limit_the_oldest_goes_and_is_told_once(tmp_path):
    aside = Aside(tmp_path / "aside", 1000)
    first, second = [aside.keep(tmp_path / "segment-1.spool", number, bytes(400)) for number in range(2)]
    assert aside.take_removed() == []
    third = aside.keep(tmp_path / "segment-1.spool", 2, bytes(300))
    assert names(tmp_path / "aside") == {second, third}
    assert aside.used_bytes == 700
    assert aside.take_removed() == [(first, 400)]
    assert aside.take_removed() == []


def test_what_stood_there_before_counts_and_is_the_oldest(tmp_path):
    before = Aside(tmp_path / "aside", 1000)
    kept = [before.keep(tmp_path / "a", number, bytes(300)) for number in range(3)]
    for age, name in enumerate(reversed(kept)):
        os.utime(tmp_path / "aside" / name, (1e9 - age, 1e9 - age))
    aside = Aside(tmp_path / "aside", 700)
    assert names(tmp_path / "aside") == set(kept[1:])
    new = aside.keep(tmp_path / "a", 4, bytes(300))
    assert names(tmp_path / "aside") == {kept[2], new}
    assert [name for name, _ in aside.take_removed()] == kept[:2]


def test_a_whole_file_is_moved_and_is_not_kept_where_it_is_more_than_may_be_kept(tmp_path):
    small, large = tmp_path / "segment-00000001.spool", tmp_path / "segment-00000002.spool"
    small.write_bytes(bytes(100))
    large.write_bytes(bytes(2000))
    aside = Aside(tmp_path / "aside", 1000)
    aside.keep(small, 0, None)
    name = aside.keep(large, 0, None)
    assert not small.exists()
    assert not large.exists()
    assert names(tmp_path / "aside") == set()
    assert [one for one, _ in aside.take_removed()][-1] == name


def test_one_that_somebody_took_away_is_no_mistake(tmp_path):
    aside = Aside(tmp_path / "aside", 500)
    name = aside.keep(tmp_path / "a", 0, bytes(400))
    (tmp_path / "aside" / name).unlink()
    aside.keep(tmp_path / "a", 1, bytes(400))
    assert aside.used_bytes == 400


async def test_what_is_removed_is_counted_and_named_in_the_log(tmp_path, capfd):
    use = Bridged(tmp_path)
    use.folder.aside = Aside(tmp_path / "aside", 1000)
    before = metrics.INGEST_SPOOL_ASIDE_REMOVED_BYTES._value.get()
    first = use.folder.set_aside(tmp_path / "segment-00000001.spool", 0, bytes(700))
    use.folder.set_aside(tmp_path / "segment-00000001.spool", 9, bytes(800))
    await use.spool.tidy(busy=False)
    assert metrics.INGEST_SPOOL_ASIDE_BYTES._value.get() == 800
    assert metrics.INGEST_SPOOL_ASIDE_REMOVED_BYTES._value.get() == before + 700
    assert first in capfd.readouterr().err
    await use.spool.close()


@pytest.mark.parametrize("limit", [0, 4 * 2**30])
def test_a_folder_that_is_not_there_holds_nothing(tmp_path, limit):
    assert Aside(tmp_path / "aside", limit).used_bytes == 0
    assert not (tmp_path / "aside").exists()
