"""Where damaged bytes and files that cannot be read are kept for somebody to look at: bounded. For threads.

Above the limit the oldest go; what went is told to whoever asks. Everything is for its owner only.
"""

import os
import secrets
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700


class Kept(NamedTuple):
    """A file, and its size."""

    name: str
    size_bytes: int


class Aside:
    """A folder, made when it is first needed. Files that stood there before count too."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._removed: list[Kept] = []
        found: list[Path] = []
        with suppress(FileNotFoundError):
            found = sorted(path.iterdir(), key=lambda entry: entry.stat().st_mtime_ns)
        self._kept = deque(Kept(entry.name, entry.stat().st_size) for entry in found)
        self.used_bytes = sum(one.size_bytes for one in self._kept)
        self._make_room()

    def keep(self, path: Path, offset: int, data: bytes | None) -> str:
        """Keep bytes that stood in a file, or the whole file; return the name they got. Raises `OSError`."""
        self._path.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        name = f"{path.stem}-{offset:010}-{secrets.token_hex(4)}"
        if data is None:
            size_bytes = path.stat().st_size
            path.rename(self._path / name)
        else:
            size_bytes = len(data)
            self._write(name, data)
        self._kept.append(Kept(name, size_bytes))
        self.used_bytes += size_bytes
        self._make_room()
        return name

    def take_removed(self) -> list[Kept]:
        """Return what was removed since the last call, oldest first."""
        removed, self._removed = self._removed, []
        return removed

    def _write(self, name: str, data: bytes) -> None:
        descriptor = os.open(self._path / name, _NEW, _PRIVATE_FILE)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)

    def _make_room(self) -> None:
        while self.used_bytes > self._max_bytes:
            oldest = self._kept.popleft()
            # somebody may have taken it away
            (self._path / oldest.name).unlink(missing_ok=True)
            self.used_bytes -= oldest.size_bytes
            self._removed.append(oldest)
