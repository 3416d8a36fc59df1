"""Keeps the jars of Apache Kafka in a cache folder: downloaded and checked once, then used without any network.

A download goes to a folder of its own beside the final one, is compared with the SHA-256 of every expected jar, and
takes its final name by one rename; a lock file lets one process do it while others wait. So the final folder is
either absent or complete, and it is never resolved again.
"""

import asyncio
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from callstream.embedded_errors import ELSEWHERE, KafkaStartError
from callstream.embedded_lock import FileLock
from callstream.embedded_settings import KAFKA_VERSION

DEFAULT_CACHE_DIR = Path.home() / ".cache" / "callstream"

Report = Callable[[str], None]
"""Takes one line for the operator: what is going on, and how far it is."""

Resolver = Callable[[Path, Callable[[int], None]], Awaitable[None]]
"""Fills `<folder>/jars` and calls back with the bytes received so far; raises KafkaStartError when it cannot."""

_POLL_S = 0.1
_REPORT_EVERY_S = 1.0
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Jar:
    """One expected file of the class path."""

    sha256: str
    size_bytes: int
    name: str


def expected_jars() -> list[Jar]:
    """Read the list of jars that make up this version of Kafka, by name."""
    lines = Path(__file__).with_name("embedded_jars.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return sorted((Jar(sha256, int(size), name) for sha256, size, name in rows), key=lambda jar: jar.name)


async def ensure_jars(cache_dir: Path, resolver: Resolver, report: Report) -> Path:
    """Return the folder that holds every jar, downloading them first if it does not exist yet.

    Raises KafkaStartError when they are neither there nor to be had.
    """
    final = cache_dir / f"kafka-{KAFKA_VERSION}"
    if not _complete(final):
        try:
            with _open_lock(final) as lock:
                if not lock.try_take():
                    report(f"waiting for another process that downloads Apache Kafka {KAFKA_VERSION} …")
                    await lock.take()
                if not _complete(final):
                    await _fill(final, resolver, report)
        except OSError as error:
            message = f"The cache folder {cache_dir} cannot be used: {error}. Make room, or set CALLSTREAM_CACHE_DIR."
            raise KafkaStartError(message) from error
    return final / "jars"


def _complete(final: Path) -> bool:
    jars = final / "jars"
    return all((jars / jar.name).is_file() and (jars / jar.name).stat().st_size == jar.size_bytes for jar in _EXPECTED)


def _open_lock(final: Path) -> FileLock:
    final.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(final.with_name(f"{final.name}.lock"))


async def _fill(final: Path, resolver: Resolver, report: Report) -> None:
    """Download, check and rename; the caller holds the lock, so whatever an earlier process left is removed."""
    _remove_parts(final)
    part = Path(tempfile.mkdtemp(prefix=_part(final), dir=final.parent))
    try:
        await resolver(part, _progress(report))
        _check(part / "jars")
        _publish(part, final)
    finally:
        _remove_parts(final)


def _part(final: Path) -> str:
    return f"{final.name}.part-"


def _remove_parts(final: Path) -> None:
    for leftover in final.parent.glob(f"{_part(final)}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _publish(part: Path, final: Path) -> None:
    shutil.rmtree(part / "repository", ignore_errors=True)
    if final.exists():
        final.rename(final.with_name(f"{_part(final)}broken"))
    part.rename(final)


def _check(jars: Path) -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in jars.glob("*.jar")}
    expected = {jar.name: jar.sha256 for jar in _EXPECTED}
    wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if wrong:
        message = (
            f"The download of Apache Kafka {KAFKA_VERSION} is not what was expected ({', '.join(wrong)} missing or "
            f"changed) and was thrown away. Try again; if it happens again, look at the mirror or proxy between. "
            f"{ELSEWHERE}"
        )
        raise KafkaStartError(message)


def _progress(report: Report) -> Callable[[int], None]:
    """Turn received bytes into lines, about one a second."""
    total_mb = sum(jar.size_bytes for jar in _EXPECTED) // _MEGABYTE
    clock = asyncio.get_running_loop().time
    started_s = clock()
    reported_s = started_s
    title = f"downloading Apache Kafka {KAFKA_VERSION} ({total_mb} MB, first start only)"
    report(f"{title} …")

    def received(size_bytes: int) -> None:
        nonlocal reported_s
        now_s = clock()
        if now_s - reported_s >= _REPORT_EVERY_S:
            reported_s = now_s
            report(f"{title}: {size_bytes // _MEGABYTE} of {total_mb} MB after {now_s - started_s:.0f} s")

    return received


async def download(folder: Path, received: Callable[[int], None]) -> None:
    """Resolve from Maven Central in a process of its own, which ends when this call is cancelled."""
    process = _spawn_download(folder)
    try:
        while process.poll() is None:
            await asyncio.sleep(_POLL_S)
            received(_last_number(folder / "received"))
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        reason = (folder / "reason").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        message = (
            f"Apache Kafka {KAFKA_VERSION} is not in {folder.parent} yet and cannot be downloaded from Maven Central "
            f"({_shorten(reason[-1]) if reason else 'no reason given'}). The first start needs the network once: "
            f"connect and try again. {ELSEWHERE}"
        )
        raise KafkaStartError(message)


def _spawn_download(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "received").open("wb") as received, (folder / "reason").open("wb") as reason:
        command = [sys.executable, "-m", "callstream.embedded_download", str(folder)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=received, stderr=reason)


def _last_number(path: Path) -> int:
    lines = path.read_bytes().split(b"\n")[:-1]
    return int(lines[-1]) if lines else 0


def _shorten(reason: str, limit: int = 200) -> str:
    return reason if len(reason) <= limit else f"{reason[:limit]} …"


_EXPECTED = expected_jars()
