"""Brings the jars of Apache Kafka from Maven Central into a folder, by jgo's resolver.

Run as a process of its own (`python -m callstream.embedded_download FOLDER`), so that an impatient Ctrl-C ends it at
once: it prints the number of bytes received so far, one number a line, and on failure one line of reason on stderr.
It checks nothing; `embedded_jars` compares what came with what is expected.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from callstream.embedded_settings import KAFKA_VERSION, SLF4J_VERSION

_REPORT_STEP_BYTES = 250_000


class _Received:
    """Counts received bytes over all files and prints the sum in steps; jgo's progress callback."""

    def __init__(self) -> None:
        self._received_bytes = 0
        self._printed_bytes = 0

    def _add(self, size_bytes: int) -> None:
        self._received_bytes += size_bytes
        if self._received_bytes - self._printed_bytes >= _REPORT_STEP_BYTES:
            self._printed_bytes = self._received_bytes
            sys.stdout.write(f"{self._received_bytes}\n")
            sys.stdout.flush()

    @contextmanager
    def __call__(self, _file_name: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield self._add


def download(folder: Path) -> None:
    """Put every jar of Kafka's run-time class path into `folder / "jars"`; raises whatever jgo raises."""
    from jgo.config import GlobalSettings  # noqa: PLC0415  (slow to import, and needed on a first start only)
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415
    from jgo.parse import Coordinate  # noqa: PLC0415

    context = MavenContext(
        resolver=PythonResolver(progress_callback=_Received()),
        repo_cache=folder / "repository",
        # A mirror configured for jgo, by name "central" or another, is used here too.
        remote_repos=GlobalSettings.load().repositories or None,
    )
    wanted = [("org.apache.kafka", "kafka_2.13", KAFKA_VERSION), ("org.slf4j", "slf4j-simple", SLF4J_VERSION)]
    dependencies = [
        context.create_dependency(Coordinate(groupId=group, artifactId=artifact, version=version, scope="compile"))
        for group, artifact, version in wanted
    ]
    inputs, transitive = context.resolver.resolve(dependencies)
    jars = folder / "jars"
    jars.mkdir()
    for dependency in [*inputs, *transitive]:
        if dependency.scope in {"compile", "runtime"}:
            source = dependency.artifact.resolve()
            source.rename(jars / source.name)


def main() -> int:
    """Download into the folder named on the command line; 0, or 1 with the reason on stderr."""
    try:
        download(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001  (whatever it is, the parent shows it to the operator)
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
