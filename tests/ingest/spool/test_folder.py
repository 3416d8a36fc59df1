import os
import subprocess
import sys

import pytest

from ingest.spool import folder as module
from ingest.spool.folder import Draft, Folder, FolderTaken, SpoolFull
from ingest.spool.sealing import AesGcm
from ingest.spool.segments import HEAD_BYTES, Damaged, Header, Kind, Stored, Whole, scan

SEAL = AesGcm(bytes(32))
ROOM = {"max_bytes": 100_000, "segment_bytes": 2_000}


def draft(number: int, size: int = 100) -> Draft:
    return Draft(Header(Kind.RECORDS, 0, 1, number), [Stored(b"key", b"%d" % number + bytes(size))])


def blocks(path) -> list[int]:
    parts = [part for file in sorted(path.glob("segment-*")) for part in scan(file.read_bytes(), SEAL)]
    assert all(isinstance(part, Whole) for part in parts)
    return [part.header.number for part in parts]


def test_blocks_are_read_where_they_were_written_and_files_end_at_their_size(tmp_path):
    folder = Folder(tmp_path, SEAL, **ROOM)
    places = [place for number in range(30) for place in folder.append([draft(number), draft(number + 100)])]
    assert len({place.segment for place in places}) > 2
    assert folder.read(places) == [draft(n + hundred).records for n in range(30) for hundred in (0, 100)]
    assert folder.used_bytes == sum(path.stat().st_size for path in tmp_path.glob("segment-*"))


def test_files_and_folder_are_for_their_owner_only(tmp_path):
    old = os.umask(0)
    try:
        folder = Folder(tmp_path / "spool", SEAL, **ROOM)
        folder.append([draft(1)])
        folder.set_aside(tmp_path / "spool" / "segment-00000001.spool", 5, b"bytes")
    finally:
        os.umask(old)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "spool").rglob("*")}
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert modes.pop("aside") == 0o700
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path):
    folder = Folder(tmp_path, SEAL, **ROOM)
    program = (
        "import sys; from pathlib import Path\n"
        "from ingest.spool.folder import Folder, FolderTaken; from ingest.spool.sealing import Plain\n"
        "try: Folder(Path(sys.argv[1]), Plain(), max_bytes=9, segment_bytes=9)\n"
        "except FolderTaken: print('taken')\n"
        "else: print('free')"
    )

    def ask() -> str:
        done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert ask() == "taken"
    with pytest.raises(FolderTaken):
        Folder(tmp_path, SEAL, **ROOM)
    folder.close()
    assert ask() == "free"


def test_what_an_earlier_process_left_stays_until_it_is_removed_and_counts(tmp_path):
    first = Folder(tmp_path, SEAL, **ROOM)
    for number in range(30):
        first.append([draft(number)])
    path, descriptor, _ = first.new_file("journal")
    os.close(descriptor)
    first.close()
    second = Folder(tmp_path, SEAL, **ROOM)
    assert second.used_bytes == first.used_bytes + HEAD_BYTES
    assert second.left("journal") == [path]
    second.append([draft(99)])
    assert blocks(tmp_path) == [*range(30), 99]
    second.remove_left([*second.left("segment"), *second.left("journal")])
    assert blocks(tmp_path) == [99]
    assert second.left("segment") == []


def test_more_than_its_limit_is_not_written_and_what_was_removed_makes_room(tmp_path):
    folder = Folder(tmp_path, SEAL, max_bytes=3_000, segment_bytes=1_000)
    places = []
    while folder.used_bytes < 2_800:
        places += folder.append([draft(len(places))])
    with pytest.raises(SpoolFull):
        folder.append([draft(100), draft(101)])
    assert folder.used_bytes <= 3_000
    folder.remove([places[0].segment])
    assert folder.append([draft(200)])
    assert folder.used_bytes <= 3_000


def test_removing_the_file_that_is_written_to_ends_it(tmp_path):
    folder = Folder(tmp_path, SEAL, **ROOM)
    [first] = folder.append([draft(1)])
    folder.remove([first.segment])
    [second] = folder.append([draft(2)])
    assert second.segment > first.segment
    assert blocks(tmp_path) == [2]


def test_a_write_that_breaks_off_leaves_no_half_block_and_the_next_goes_to_a_new_file(tmp_path, monkeypatch):
    folder = Folder(tmp_path, SEAL, **ROOM)
    folder.append([draft(1)])

    def half(descriptor, data):
        os.write(descriptor, bytes(data)[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_write_all", half)
        with pytest.raises(OSError, match="No space"):
            folder.append([draft(2)])
    [place] = folder.append([draft(3)])
    assert blocks(tmp_path) == [1, 3]
    assert place.segment == 2


def test_a_damaged_block_is_named_kept_aside_and_no_other_is_touched(tmp_path):
    folder = Folder(tmp_path, SEAL, **ROOM)
    places = folder.append([draft(1), draft(2)])
    path = tmp_path / "segment-00000001.spool"
    data = bytearray(path.read_bytes())
    data[places[0].offset + 60] ^= 4
    path.write_bytes(bytes(data))
    found = folder.read(places)
    assert isinstance(found[0], Damaged)
    assert found[1] == draft(2).records
    [kept] = (tmp_path / "aside").iterdir()
    assert kept.read_bytes() == bytes(data[places[0].offset : places[1].offset])
    assert kept.name.startswith("segment-00000001-")


def test_files_of_others_are_named_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    folder = Folder(tmp_path, SEAL, **ROOM)
    assert folder.strangers == ["notes.txt"]
    folder.close()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_end_without_blocks_leaves_no_file(tmp_path):
    folder = Folder(tmp_path, SEAL, **ROOM)
    [place] = folder.append([draft(1)])
    folder.remove([place.segment])
    folder.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
