"""The files of a spool: segments that only grow and are removed whole. Synchronous: for threads, one writer at a time.

A folder belongs to one process, by a lock. What earlier processes left stays as it is until it is removed by name; this
process's files have higher numbers. Files are for their owner only. Damaged bytes are copied to `aside/`, files that
cannot be read are moved there; beyond a limit the oldest of it goes.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ingest.spool.aside import Aside
from ingest.spool.sealing import Seal
from ingest.spool.segments import HEAD_BYTES, SALT_BYTES, Damaged, Head, Header, Stored, decode, encode, new_head

ASIDE = "aside"
_LOCK = "lock"
_NAME = re.compile(r"(segment|journal)-(\d{8})\.spool")
_NEW = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700


class SpoolFull(Exception):
    """The spool holds as much as it may."""


class FolderTaken(Exception):
    """Another process has the folder."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Records to be written as one block."""

    header: Header
    records: Sequence[Stored]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block stands."""

    segment: int
    offset: int
    length: int


@dataclass(slots=True)
class _File:
    path: Path
    head: Head
    descriptor: int
    size_bytes: int = HEAD_BYTES


class Folder:
    """A locked folder. Raises `FolderTaken`, or `OSError` where it cannot be used."""

    def __init__(
        self, path: Path, seal: Seal, *, max_bytes: int, segment_bytes: int, aside_max_bytes: int = 4 * 2**30
    ) -> None:
        self._path = path
        self._seal = seal
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._active: _File | None = None
        self._heads: dict[int, Head] = {}
        self._sizes: dict[int, int] = {}
        path.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        self._lock = _locked(path / _LOCK)
        self.aside = Aside(path / ASIDE, aside_max_bytes)
        found = [(name, int(name[2])) for entry in path.iterdir() if (name := _NAME.fullmatch(entry.name))]
        self.strangers = sorted(
            entry.name
            for entry in path.iterdir()
            if not _NAME.fullmatch(entry.name) and entry.name not in (ASIDE, _LOCK)
        )
        self._next = max((number for _, number in found), default=0) + 1
        self._left = {name[0]: (path / name[0]).stat().st_size for name, _ in sorted(found, key=lambda item: item[1])}

    @property
    def seal(self) -> Seal:
        """What closes and opens its blocks."""
        return self._seal

    @property
    def used_bytes(self) -> int:
        """Bytes on disk, what earlier processes left included, what was set aside not."""
        # both are replaced by threads: summed over a copy
        return sum(list(self._sizes.values())) + sum(list(self._left.values()))

    def left(self, kind: str) -> list[Path]:
        """Return the files earlier processes left, oldest first: of segments, or of journals."""
        return [self._path / name for name in self._left if name.startswith(kind)]

    def remove_left(self, paths: Iterable[Path]) -> None:
        """Remove files that earlier processes left."""
        for path in paths:
            path.unlink(missing_ok=True)
            self._left.pop(path.name, None)
        self._sync_folder()

    def set_aside(self, path: Path, offset: int = 0, data: bytes | None = None) -> str:
        """Keep damaged bytes of a file, or the whole file, for somebody to look at; return the name they got."""
        name = self.aside.keep(path, offset, data)
        if data is None:
            self._left.pop(path.name, None)
        return name

    def new_file(self, kind: str) -> tuple[Path, int, Head]:
        """Create a file with its head; return path, descriptor (the caller closes it) and head. Raises `OSError`."""
        number, self._next = self._next, self._next + 1
        head = new_head(number, self._seal, secrets.token_bytes(SALT_BYTES))
        path = self._path / f"{kind}-{number:08}.spool"
        descriptor = os.open(path, _NEW, _PRIVATE_FILE)
        try:
            _write_all(descriptor, head.raw)
            self._sync_folder()
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return path, descriptor, head

    def append(self, drafts: Sequence[Draft]) -> list[Place]:
        """Write blocks and have them on the disk; return where they stand. All of them or none.

        Raises `SpoolFull` and `OSError`.
        """
        file = self._active
        if file is None:
            file = self._active = self._open()
        blocks = [encode(file.head, draft.header, draft.records, self._seal) for draft in drafts]
        data = b"".join(blocks)
        if self.used_bytes + len(data) > self._max_bytes:
            raise SpoolFull
        try:
            _write_all(file.descriptor, data)
            os.fdatasync(file.descriptor)
        except OSError:
            self._give_up(file)
            raise
        places = []
        for block in blocks:
            places.append(Place(file.head.number, file.size_bytes, len(block)))
            file.size_bytes += len(block)
        self._sizes[file.head.number] = file.size_bytes
        if file.size_bytes >= self._segment_bytes:
            self._retire()
        return places

    def read(self, places: Sequence[Place]) -> list[list[Stored] | Damaged]:
        """Return what blocks hold, or why one cannot be read (it is set aside). Raises `OSError`."""
        found: list[list[Stored] | Damaged] = []
        for place in places:
            path = self._segment(place.segment)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(descriptor, place.length, place.offset)
            finally:
                os.close(descriptor)
            try:
                found.append(decode(self._heads[place.segment], data, self._seal)[1])
            except Damaged as error:
                with suppress(OSError):
                    self.set_aside(path, place.offset, data)
                found.append(error)
        return found

    def remove(self, segments: Iterable[int]) -> None:
        """Remove segments of this process; the one that is written to is ended first."""
        for number in segments:
            if self._active is not None and self._active.head.number == number:
                self._retire()
            self._segment(number).unlink(missing_ok=True)
            self._sizes.pop(number, None)
            self._heads.pop(number, None)

    def close(self) -> None:
        """End writing and give the folder free. Files that hold nothing are removed."""
        self._retire()
        for number in [number for number, size in self._sizes.items() if size <= HEAD_BYTES]:
            self.remove([number])
        os.close(self._lock)

    def _open(self) -> _File:
        path, descriptor, head = self.new_file("segment")
        self._heads[head.number] = head
        self._sizes[head.number] = HEAD_BYTES
        return _File(path, head, descriptor)

    def _give_up(self, file: _File) -> None:
        """Cut off what was not wholly written, and write no more to this file."""
        with suppress(OSError):
            os.ftruncate(file.descriptor, file.size_bytes)
        self._retire()

    def _retire(self) -> None:
        file, self._active = self._active, None
        if file is not None:
            os.close(file.descriptor)

    def _segment(self, number: int) -> Path:
        return self._path / f"segment-{number:08}.spool"

    def _sync_folder(self) -> None:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        message = "another process uses the folder"
        raise FolderTaken(message) from None
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
