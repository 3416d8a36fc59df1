import pytest

from audio.wav import WavFormat
from schemas.symbols import Channels, Codec
from sinks.recording_sync.work_folder import Mark, WorkFolder

MONO = WavFormat(Codec.PCMU, Channels.EXTERNAL, 8000)


@pytest.fixture
def folder(tmp_path):
    found = WorkFolder(tmp_path / "calls.audio-0", most_open=2)
    assert found.lock()
    yield found
    found.close()


def test_bytes_lie_where_they_were_put_however_few_files_may_be_open(folder, tmp_path):
    for name in ("a", "b", "c", "a", "b", "c"):
        folder.put(name, 2, b"xy")
        folder.fill(name, 4, 600_000, b"\xff")
    folder.sync()
    for name in "abc":
        assert (tmp_path / "calls.audio-0" / f"{name}.wav").read_bytes() == b"\0\0xy" + b"\xff" * 600_000


def test_finishing_twice_gives_the_same_file(folder):
    folder.put("a", MONO.header_bytes, b"abc" + b"beyond the end")
    first = folder.finish("a", MONO, 3)
    content = first.path.read_bytes()
    assert content == MONO.header(3) + b"abc\0"
    assert folder.finish("a", MONO, 3) == first
    assert first.path.read_bytes() == content
    assert first.size_bytes == len(content) == 62


def test_a_mark_is_replaced_whole(folder, tmp_path):
    assert folder.read_mark() is None
    folder.write_mark(Mark(7, "state one"))
    folder.write_mark(Mark(9, "state two"))
    assert folder.read_mark() == Mark(9, "state two")
    assert sorted(path.name for path in (tmp_path / "calls.audio-0").iterdir()) == ["lock", "mark.json"]


def test_a_folder_has_one_owner_at_a_time(folder, tmp_path):
    other = WorkFolder(tmp_path / "calls.audio-0", most_open=2)
    assert not other.lock()
    folder.close()
    assert other.lock()
    other.close()


def test_files_shorter_than_they_must_be_are_named_missing_ones_too(folder):
    folder.put("a", 0, bytes(10))
    folder.put("b", 0, bytes(10))
    assert folder.too_short({"a": 10, "b": 11, "c": 1}) == ["b", "c"]


def test_only_the_wanted_files_stay(folder, tmp_path):
    for name in "abc":
        folder.put(name, 0, b"x")
    folder.keep_only(["b"])
    folder.remove("never there")
    assert sorted(path.name for path in (tmp_path / "calls.audio-0").glob("*.wav")) == ["b.wav"]
