"""Puts broker, topics and services together and takes them down again."""

import asyncio
import base64
import json
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from callstream.audit_command import check as verify_audit_log
from callstream.demo.checks import Check
from callstream.demo.evidence import Withheld
from callstream.demo.pause_checks import withheld_of
from callstream.demo.services import DemoError, ServiceProcess, free_port
from callstream.demo.source import DemoSource
from callstream.demo.stand_ins import StandIns
from callstream.demo.sweep import Starts, check_pause, check_secrets, ends
from callstream.embedded_errors import KafkaStartError
from callstream.embedded_folder import DataFolder
from callstream.embedded_kafka import EmbeddedKafka
from callstream.topics_command import apply_catalogue
from runtime.config import KafkaSettings
from runtime.errors import CallstreamError
from runtime.http import HttpClient
from schemas.topics import EMBEDDED_PARTITIONS
from simulators.audiohook.signature import Credentials
from sinks.audit_log.verification import BrokenChain

MODULES = (
    "ingest",
    "processors.silence",
    "processors.loss",
    "processors.transcription",
    "processors.cognigy",
    "sinks.audit_log",
    "sinks.recording_sync",
)
_MARKER = "callstream-demo.json"
_READY_BUDGET_S = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to show: which source, how many calls, how fast, where the files go, which Kafka if not the embedded one."""

    source: DemoSource
    calls: int
    speed: float
    folder: Path
    kafka: KafkaSettings
    embedded: bool


@dataclass(slots=True)
class Stage:
    """The running demo."""

    options: DemoOptions
    say: Say
    kafka: KafkaSettings
    others: StandIns
    services: list[ServiceProcess] = field(default_factory=list)
    audiohook_url: str = ""
    starts: Starts = field(default_factory=dict)
    credentials: Credentials = field(default_factory=lambda: Credentials(_api_key(), _secret()))

    @property
    def audit_store(self) -> Path:
        """Folder of the audit log."""
        return self.options.folder / "audit"

    @property
    def audit_heads(self) -> Path:
        """Folder of the audit log's head."""
        return self.options.folder / "audit-heads"

    @property
    def recordings(self) -> Path:
        """Folder of the recordings."""
        return self.options.folder / "recordings"

    @property
    def way(self) -> str:
        """Say how the calls reach ingest."""
        if self.options.source is DemoSource.AUDIOHOOK:
            return f"to {self.audiohook_url}"
        return f"from {self.others.url}"

    async def start_services(self) -> None:
        """Start every component and wait until all are ready. Raises `DemoError`."""
        port = free_port()
        self.audiohook_url = f"ws://127.0.0.1:{port}/audiohook/v2"
        self._write_keys()
        for module in MODULES:
            process = ServiceProcess(
                module=module,
                variables={
                    "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
                    **self._variables(module, port),
                    **self.others.variables.get(module, {}),
                },
                admin_port=free_port(),
                log=self.options.folder / "logs" / f"{module.rpartition('.')[2]}.log",
                folder=self.options.folder,
            )
            process.start()
            self.services.append(process)
        async with HttpClient("admin", timeout_s=2.0, any_status=True) as http, asyncio.TaskGroup() as group:
            for service in self.services:
                group.create_task(service.until_ready(http, _READY_BUDGET_S))

    def _variables(self, module: str, port: int) -> dict[str, str]:
        folder = self.options.folder
        return {
            "ingest": {
                "INGEST_AUDIOHOOK_PORT": str(port),
                "INGEST_AUDIOHOOK_KEYS_FILE": str(self._keys_file),
                "INGEST_AUDIOHOOK_PUBLISH_DIGITS": "true",
            },
            "sinks.audit_log": {
                "AUDIT_LOG_STORE_URL": str(self.audit_store),
                "AUDIT_LOG_HEADS_URL": str(self.audit_heads),
                "AUDIT_LOG_DIGEST_KEY_FILE": str(folder / "digest.key"),
                "AUDIT_LOG_INTERVAL_S": "0.5",
            },
            "sinks.recording_sync": {
                "RECORDING_SYNC_STORE_URL": str(self.recordings),
                "RECORDING_SYNC_WORK_FOLDER": str(folder / "recording-work"),
            },
        }.get(module, {})

    @property
    def _keys_file(self) -> Path:
        return self.options.folder / "audiohook-keys.json"

    def _write_keys(self) -> None:
        _write_private(self._keys_file, json.dumps({self.credentials.api_key: self.credentials.secret_base64 or ""}))
        _write_private(self.options.folder / "digest.key", secrets.token_urlsafe(32))

    async def stop_services(self) -> list[Check]:
        """End every component as an operator would; each must say it drained."""
        async with asyncio.TaskGroup() as group:
            stopping = {service.name: group.create_task(service.stop()) for service in self.services}
        codes = {name: task.result() for name, task in stopping.items()}
        bad = {name: code for name, code in codes.items() if code not in {0, None}}
        found = ", ".join(f"{name} {code}" for name, code in bad.items()) or "all 0"
        return [Check("every service drained and ended with exit code 0", not bad, found)]

    def check_running(self) -> None:
        """Raise `DemoError` when a component has ended."""
        for service in self.services:
            service.check_running()

    async def withheld(self) -> Withheld:
        """Return how often ingest met something of a paused call and kept it back. Raises `Unavailable`."""
        port = next(service.admin_port for service in self.services if service.name == "ingest")
        async with HttpClient("admin", timeout_s=5.0) as http:
            answer = await http.request("GET", f"http://127.0.0.1:{port}/metrics")
        return withheld_of(answer.body.decode())

    async def pause_check(self) -> Check:
        """Look everywhere for what was said in the pause. The services have ended, the broker runs."""
        return await check_pause(self.kafka, self.starts, self.options.folder, broker_files=self.options.embedded)

    async def secret_check(self, conversation: str) -> Check:
        """Look everywhere for tokens and secrets; `conversation` is a call that must be found."""
        return await check_secrets(self.kafka, self.starts, self.options.folder, self.others.secrets(), conversation)

    async def audit_check(self) -> Check:
        """Verify the audit log's chain."""
        name = "the audit log's chain is verified"
        try:
            summary = await verify_audit_log(str(self.audit_store), str(self.audit_heads))
        except (BrokenChain, CallstreamError) as error:
            return Check(name, ok=False, found=str(error))
        return Check(name, ok=True, found=f"{summary.entries} entries in {summary.objects} batches")


@asynccontextmanager
async def stage(options: DemoOptions, say: Say, others: StandIns) -> AsyncIterator[Stage]:
    """Yield a stage with Kafka, topics and services running; everything is ended on the way out."""
    broker = EmbeddedKafka(options.folder / "kafka", report=say) if options.embedded else None
    kafka = options.kafka
    try:
        if (leftovers := _leftovers(options.folder)) is not None:
            (await leftovers.take_lock()).close()  # refused while the broker of another demo runs there
        _prepare_folder(options.folder)
        if broker is not None:
            say("starting Apache Kafka")
            await broker.start()
            kafka = kafka.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        say("creating the topics")
        await apply_catalogue(kafka, EMBEDDED_PARTITIONS if options.embedded else None, None, force=False)
        running = Stage(options, say, kafka, others, starts=await ends(kafka))
        try:
            say(f"starting {', '.join(module.rpartition('.')[2] for module in MODULES)}")
            await running.start_services()
            yield running
        finally:
            await running.stop_services()
    except KafkaStartError as error:
        raise DemoError(str(error)) from error
    finally:
        if broker is not None:
            await broker.stop()


def _leftovers(folder: Path) -> DataFolder | None:
    """Return the broker's folder of an earlier demo, None where there is none."""
    kafka = folder / "kafka"
    return DataFolder(kafka) if (folder / _MARKER).exists() and kafka.is_dir() else None


def _prepare_folder(folder: Path) -> None:
    """Empty the folder of an earlier demo. Raises `DemoError` when it holds anything else."""
    marker = folder / _MARKER
    if folder.exists() and any(folder.iterdir()):
        if not marker.exists():
            message = f"{folder} holds files that are not a demo's; choose another --data-dir"
            raise DemoError(message)
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    marker.write_text("{}\n", encoding="utf-8")


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _api_key() -> str:
    return secrets.token_urlsafe(24)


def _secret() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()
