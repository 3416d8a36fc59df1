"""The data folder of an embedded Kafka: whose it is, whether it is in use, where things are in it.

    callstream-broker.json   the Kafka version and cluster id that own the folder, written before anything else
    server.properties        the settings of the last start
    broker.log, broker.log.1 what Kafka printed since the last start, and before
    broker.lock              held by the running broker, with the process that started it
    topics/                  Kafka's own files; it appears, complete, when formatting is done

A folder that this version of Kafka did not write is refused, never repaired.
"""

import asyncio
import base64
import json
import os
import shutil
import uuid
from pathlib import Path

from callstream.embedded_errors import KafkaStartError
from callstream.embedded_lock import FileLock
from callstream.embedded_settings import KAFKA_VERSION

_ORPHAN_WAIT_S = 15.0


class DataFolder:
    """Paths and checks of one data folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.topics = self.path / "topics"
        self.formatting = self.path / "formatting"
        self.settings = self.path / "server.properties"
        self.log = self.path / "broker.log"
        self.crash_file = self.path / "java-crash.log"
        self._marker = self.path / "callstream-broker.json"
        self._lock = self.path / "broker.lock"

    def create(self) -> None:
        """Make the folder if need be; raises KafkaStartError when that or its name is impossible."""
        if "," in str(self.path):
            message = f"Kafka cannot use a data folder with a comma in its name: {self.path}. {_CHOOSE}"
            raise KafkaStartError(message)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"The data folder {self.path} cannot be made: {error}. {_CHOOSE}"
            raise KafkaStartError(message) from error

    async def take_lock(self) -> FileLock:
        """Lock the folder, waiting for a broker whose starter is gone; KafkaStartError if it is in use."""
        try:
            lock = FileLock(self._lock)
        except OSError as error:
            message = f"The data folder {self.path} cannot be written: {error}. {_CHOOSE}"
            raise KafkaStartError(message) from error
        try:
            if not lock.try_take():
                await self._wait_for_orphan(lock)
            lock.write(b"%d" % os.getpid())
        except BaseException:
            lock.close()
            raise
        return lock

    async def _wait_for_orphan(self, lock: FileLock) -> None:
        note = lock.read()
        owner = int(note) if note.isdigit() else 0
        if not _alive(owner):
            try:
                async with asyncio.timeout(_ORPHAN_WAIT_S):
                    await lock.take()
            except TimeoutError:
                pass
            else:
                return
        message = f"The data folder {self.path} is in use by a running broker (process {owner}). Stop it. {_CHOOSE}"
        raise KafkaStartError(message)

    def claim(self) -> str:
        """Check that the folder is ours or empty and make it ours; return its cluster id.

        Raises KafkaStartError that names the folder to remove when it belongs to something else.
        """
        if not self._marker.exists():
            if self.topics.exists() or (self.path / "meta.properties").exists():
                owner = "belongs to another Kafka"
                raise self._foreign(owner)
            cluster_id = _new_cluster_id()
            text = json.dumps({"kafka_version": KAFKA_VERSION, "cluster_id": cluster_id}, indent=2) + "\n"
            fresh = self._marker.with_suffix(".new")
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(self._marker)
            return cluster_id
        version, cluster_id = self._read_marker()
        if version != KAFKA_VERSION:
            owner = f"was written by Kafka {version}, and this is Kafka {KAFKA_VERSION}"
            raise self._foreign(owner)
        if self.topics.exists() and _cluster_id(self.topics / "meta.properties") != cluster_id:
            owner = f"holds the topics of another cluster than {cluster_id}"
            raise self._foreign(owner)
        return cluster_id

    def is_formatted(self) -> bool:
        """Say whether Kafka's own files are there."""
        return self.topics.exists()

    def begin_format(self, settings: str) -> None:
        """Make room for a format into `formatting`, with these settings."""
        shutil.rmtree(self.formatting, ignore_errors=True)
        self.formatting.mkdir()
        self.settings.write_text(settings, encoding="ascii")

    def finish_format(self) -> None:
        """Give the formatted files their final name, in one step."""
        self.formatting.rename(self.topics)

    def begin_run(self, settings: str) -> None:
        """Write the settings of a run and put the log of the last one aside."""
        self.settings.write_text(settings, encoding="ascii")
        if self.log.exists():
            self.log.replace(self.log.with_name("broker.log.1"))

    def _read_marker(self) -> tuple[str, str]:
        try:
            marker = json.loads(self._marker.read_text(encoding="utf-8"))
            return str(marker["kafka_version"]), str(marker["cluster_id"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            owner = f"has an unreadable {self._marker.name} ({error})"
            raise self._foreign(owner) from error

    def _foreign(self, what: str) -> KafkaStartError:
        message = f"The data folder {self.path} {what}. Remove the folder (its topics are lost then). {_CHOOSE}"
        return KafkaStartError(message)


def _new_cluster_id() -> str:
    """Draw an id as Kafka does: never with a leading dash, which its tools would take for an option."""
    while (cluster_id := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return cluster_id


def _cluster_id(meta_properties: Path) -> str:
    try:
        lines = meta_properties.read_text(encoding="latin-1").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id=")), "")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


_CHOOSE = "Or choose another folder with --data-dir."
