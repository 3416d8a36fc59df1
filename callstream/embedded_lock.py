"""A lock on a file that the system releases with the last process that holds it, however that process ends."""

import asyncio
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.platform != "win32":
    import fcntl

_POLL_S = 0.1


class FileLock:
    """An exclusive lock on one file. A child that is given `fileno()` holds it too, until it ends."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b")

    def fileno(self) -> int:
        """Return the descriptor to hand to a child."""
        return self._file.fileno()

    def try_take(self) -> bool:
        """Take the lock if nobody else has it."""
        if sys.platform == "win32":
            message = "file locks need a POSIX system"
            raise OSError(message)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def take(self) -> None:
        """Wait until the lock is ours; put a deadline around it."""
        while not self.try_take():  # noqa: ASYNC110  (the other side is another process, it can set no event)
            await asyncio.sleep(_POLL_S)

    def read(self) -> bytes:
        """Return what the holder wrote about itself."""
        self._file.seek(0)
        return self._file.read()

    def write(self, note: bytes) -> None:
        """Replace the note about the holder."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(note)
        self._file.flush()

    def close(self) -> None:
        """Let go of the file; a child that holds the lock too keeps it."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
