"""An archive of Kafka's classes, loaded and linked, so that Java need not work them out again at every start.

It lies beside the `jars` folder and is made once, in the background of the first start that finds none: that start
writes down which classes it loads, and a few seconds after it is ready another Java, at low priority, makes the archive
of them. It goes to a folder of its own and takes its final name by one rename, which carries the version of Java and a
digest of everything Java compares: so an archive is either absent or complete, and one of another Java, other jars or
other flags is never found. A lock file lets one process make it while others start without. Nothing here is worth an
error: where it cannot be made, or Java finds it unfit, Kafka only starts more slowly.
"""

import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path, PurePath

from callstream.embedded_lock import FileLock
from callstream.embedded_process import GuardedProcess
from callstream.embedded_settings import (
    ARCHIVE_SETTINGS,
    archive_command,
    archive_flags,
    classes_to_archive,
    recording_flags,
)

_AFTER_READY_S = 3.0
_POLL_S = 0.1
_KEPT = 3
_UNFINISHED = "classes.part-"


class ClassArchive:
    """What one start does about the archive: uses it, has it made, or goes without."""

    def __init__(self, java: Path, jars: Path, after_ready_s: float = _AFTER_READY_S) -> None:
        self._java = java
        self._jars = jars
        self._after_ready_s = after_ready_s
        self._path = _path(java, jars)
        self._making: tuple[Path, FileLock] | None = None
        if self._path and not self._path.exists():
            self._making = _begin(self._path)

    def flags(self, name: str) -> tuple[str, ...]:
        """Options for a Java of this start; `name` tells its record of classes from that of others."""
        if self._making:
            return recording_flags(self._seen(self._making[0] / f"{name}.classes"))
        return archive_flags(self._seen(self._path)) if self._path and self._path.exists() else ()

    def make_in_background(self) -> None:
        """Kafka is ready: make the archive if none was there. It ends with this process, finished or not."""
        if self._making:
            threading.Thread(target=self.make, name="class-archive", daemon=True).start()

    def make(self) -> None:
        """Do it now, from what the Javas of this start have written down; nothing happens if there is one."""
        if self._making and self._path:
            folder, lock = self._making
            threading.Event().wait(self._after_ready_s)
            try:
                self._write(folder, lock, self._path)
            except OSError:
                pass  # no room, no right to write: the next start may try again
            finally:
                self.abandon()

    def abandon(self) -> None:
        """Leave it to another start; nothing happens if it was made or not begun."""
        if self._making:
            folder, lock = self._making
            self._making = None
            shutil.rmtree(folder, ignore_errors=True)
            lock.close()

    def _seen(self, path: Path) -> PurePath:
        """The path as the Javas see it, which run in `jars`: a colon in the name of a folder would end it for them."""
        return PurePath("..", path.relative_to(self._jars.parent))

    def _write(self, folder: Path, lock: FileLock, path: Path) -> None:
        records = [file.read_text(encoding="utf-8", errors="replace") for file in sorted(folder.glob("*.classes"))]
        names = folder / "names"
        names.write_text("".join(f"{line}\n" for line in classes_to_archive(records)), encoding="utf-8")
        made = folder / "archive"
        command = archive_command(self._java, jar_names(self._jars), self._seen(names), self._seen(made))
        process = GuardedProcess(command, self._jars, folder / "log", (lock.fileno(),))
        while (code := process.exit_code()) is None:
            threading.Event().wait(_POLL_S)
        if code == 0:
            _to_disk(made)
            made.rename(path)
            _remove_all_but_the_newest(path.parent)


def jar_names(jars: Path) -> list[str]:
    """The class path, in an order of its own: Java compares it with that of the archive."""
    return sorted(path.name for path in jars.glob("*.jar"))


def _path(java: Path, jars: Path) -> Path | None:
    """Where the archive for this Java and these jars belongs; None for a Java that does not say what it is.

    As Java does, jars and Java's own classes are told apart by size and time of change, not read.
    """
    home = java.parent.parent
    try:
        release = (home / "release").read_text(encoding="utf-8", errors="replace")
        files = [home / "lib" / "modules", *(jars / name for name in jar_names(jars))]
        looks = [f"{file.name} {(stat := file.stat()).st_size} {stat.st_mtime_ns}" for file in files]
    except OSError:
        return None
    version = re.search(r'^JAVA_VERSION="([\w.+-]+)"', release, re.MULTILINE)
    digest = hashlib.sha256("\n".join([release, *ARCHIVE_SETTINGS, *looks]).encode()).hexdigest()[:16]
    return jars.parent / f"classes-{version[1] if version else 'unknown'}-{digest}.jsa"


def _begin(path: Path) -> tuple[Path, FileLock] | None:
    """Take the right to make the archive and a folder for it; None if another process has it or nothing can be written.

    Whoever has it removes what an earlier process left.
    """
    try:
        lock = FileLock(path.with_name("classes.lock"))
    except OSError:
        return None
    try:
        if lock.try_take() and not path.exists():
            _remove(path.parent.glob(f"{_UNFINISHED}*"))
            return Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=path.parent)), lock
    except OSError:
        pass
    lock.close()
    return None


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _to_disk(file: Path) -> None:
    """A name that survives a loss of power must not stand for bytes that did not."""
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _remove_all_but_the_newest(folder: Path) -> None:
    """A few may be in use by turns, one for each Java; those of a Java that is gone are 60 MB of nothing."""
    archives = sorted(folder.glob("classes-*.jsa"), key=lambda file: file.stat().st_mtime_ns)
    for old in archives[:-_KEPT]:
        old.unlink(missing_ok=True)
