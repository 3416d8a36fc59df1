"""Which components can be replayed, each with the settings `python -m` would start it with.

Processors of the task host are found by their folders: the settings and `tuning` in `config`, the processor, whose
`group` is the folder's name, in `logic`. What talks to the outside is named here, with what it may talk to.
"""

import inspect
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from callstream.replay.forward_stage import ForwardStage
from callstream.replay.recording_stage import RecordingStage
from callstream.replay.stage import Stage, WantedConversation
from callstream.replay.task_stage import TaskStage
from processors.cognigy import config as cognigy
from processors.cognigy.forward import CognigyForward
from processors.cognigy.gate import Gate
from processors.cognigy.pace import Pace
from processors.cognigy.rest import http_client, rest_client
from processors.transcription import config as transcription
from processors.transcription.forward import Transcription
from runtime.clock import SystemClock
from runtime.config import Settings, load, prefix_of
from runtime.errors import ConfigError, UsageError
from runtime.log import get_logger
from runtime.processor import InputRecord
from runtime.tuning import ProcessorSettings
from schemas.codec import SchemaStore
from sinks.recording_sync.config import RecordingSyncSettings, check_settings

_PROCESSORS = Path(__file__).parents[2] / "processors"
_REFUSED: Mapping[str, str] = MappingProxyType(
    {"audit_log": "its log is one chain: what was audited is never written a second time"}
)


@dataclass(frozen=True, slots=True)
class Around:
    """What every component of a replay gets: its prefix and folder, the schemas, the outputs that are wanted."""

    prefix: str
    store: SchemaStore
    wanted: WantedConversation = lambda _: True

    @property
    def place(self) -> str:
        """The prefix as the name of a folder."""
        return self.prefix.rstrip(".")


def names() -> list[str]:
    """Return the components that can be replayed."""
    return sorted([*_on_task_host(), "transcription", "cognigy", "recording_sync"])


def stage(name: str, around: Around) -> Stage:
    """Return a component ready to begin. Raises `ConfigError` for bad settings or one that must not be replayed."""
    if name in _on_task_host():
        return _task_stage(name, around)
    if name == "transcription":
        return _transcription(around)
    if name == "cognigy":
        return _cognigy(around)
    if name == "recording_sync":
        return RecordingStage(recording_settings(around.prefix), around.store, around.place, around.wanted)
    why = _REFUSED.get(name, f"no such component; there are {', '.join(names())}")
    message = f"{name}: cannot be replayed: {why}"
    raise ConfigError([message])


def recording_settings(prefix: str) -> RecordingSyncSettings:
    """Return the settings of recording_sync. Raises `ConfigError`."""
    settings = load(RecordingSyncSettings, prefix_of("recording_sync"), changes={"TOPIC_PREFIX": prefix})
    check_settings(settings)
    return settings


def _on_task_host() -> list[str]:
    folders = sorted(path.parent.name for path in _PROCESSORS.glob("*/config.py"))
    return [name for name in folders if issubclass(_settings_type(name), ProcessorSettings)]


def _settings_type(name: str) -> type[Settings]:
    found: type[Settings] = _only(f"processors.{name}.config", lambda value: issubclass(value, Settings))
    return found


def _task_stage(name: str, around: Around) -> Stage:
    settings = load(_settings_type(name), prefix_of(name), changes={"TOPIC_PREFIX": around.prefix})
    tuning = import_module(f"processors.{name}.config").tuning(settings)
    processor = _only(f"processors.{name}.logic", lambda value: getattr(value, "group", None) == name)
    return TaskStage(processor(tuning), around.store)


def _only(module_name: str, wanted: Any) -> Any:
    """Return the one class a module defines that is wanted. Raises `UsageError` for none or several."""
    module = import_module(module_name)
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__ and wanted(value)
    ]
    if len(found) != 1:
        message = f"{module_name} has {len(found)} classes a replay could take, not one"
        raise UsageError(message)
    return found[0]


def _transcription(around: Around) -> Stage:
    changes = {"TOPIC_PREFIX": around.prefix}
    settings = load(transcription.TranscriptionSettings, prefix_of("transcription"), changes=changes)
    tuning = transcription.tuning(settings)
    return ForwardStage(Transcription(tuning, settings.lookback_s * 1000), around.store, tuning.settings_hash)


def _cognigy(around: Around) -> Stage:
    """Return cognigy against a stand-in or the bot's test address. Inputs are as old as they were live: not at all."""
    settings = load(cognigy.CognigySettings, prefix_of("cognigy"), changes={"TOPIC_PREFIX": around.prefix})
    if not harmless(cognigy.endpoint(settings)[0]):
        message = (
            "COGNIGY_ENDPOINT_URL: a replay would talk to the bot that callers talk to; "
            "name the bot's test address (https://host/test) or a stand-in on this machine"
        )
        raise ConfigError([message])
    clock, around_it = _RecordTime(), AsyncExitStack()
    http = http_client(settings, SystemClock(), connections=1)
    around_it.push_async_exit(http)
    client = rest_client(settings, http, clock)
    rules = cognigy.rules(settings)
    log = get_logger("replay")
    gate = Gate(Pace(*settings.pace), SystemClock(), log, settings.patience)
    forward = CognigyForward(client, rules, gate, clock, log, worker=around.place)
    return ForwardStage(forward, around.store, rules.settings_hash, before=clock.set, around=around_it)


def harmless(url: str) -> bool:
    """Return whether a bot's address is on this machine or its test address."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    return loopback or parts.path.split("/")[1:2] == ["test"]


class _RecordTime(SystemClock):
    """The time of the record at hand, so that an input is answered as if it had just been said."""

    def __init__(self) -> None:
        self._wall_s = 0.0

    def set(self, record: InputRecord) -> None:
        """Move to a record."""
        self._wall_s = record.timestamp / 1000

    def wall_s(self) -> float:
        """Return the record's time in seconds since the epoch."""
        return self._wall_s
