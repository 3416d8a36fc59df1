"""Logging: static text, values in declared keys, one JSON line each on standard error.

A message is a fixed sentence; what varies stands in keys, and a key is used only when `KEYS` declares it. A name that
any schema marks as personal is refused whatever `KEYS` says. Before `configure` (tests, tools) a key that is not
allowed raises `UsageError`; in a running service it is left out and counted, for a log line must never end a call.
"""

import logging
import sys
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Any, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

from runtime.clock import SystemClock
from runtime.errors import CallstreamError, UsageError
from runtime.metrics import LOG_KEYS_DROPPED
from schemas.versions import released

Logger = FilteringBoundLogger

KEYS: Mapping[str, str] = MappingProxyType(
    {
        # every service
        "component": "which component logs",
        "version": "version of the product",
        "endpoint": "host:port we listen on or connect to",
        "exit_code": "0 drained, 1 fault, 2 bad configuration",
        "cause": "why something happened, a fixed phrase",
        "condition": "name of a readiness condition",
        "mistakes": "what is wrong with the configuration",
        "error": "text of one of our own errors, which never quote content",
        "error_class": "class of an error",
        "frames": "where an unexpected error came from: file, line, function",
        "budget_s": "time allowed, s",
        "seconds": "a duration, s",
        "attempt": "number of a try",
        "retry_after_s": "how long until the next try, s",
        "library": "logger of a library we use",
        "library_text": "a library's message without its values",
        "count": "how many",
        # Kafka and the task host
        "group": "consumer group",
        "topic": "topic name",
        "topics": "topic names",
        "partition": "partition number",
        "partitions": "partition numbers",
        "offset": "offset of a record",
        "records": "number of records",
        "position": "next offset to process",
        "lag": "records behind the end",
        "state_bytes": "size of a state",
        "schema_id": "id of a schema",
        "subject": "registry subject",
        # connections we dial
        "peer": "name of the other side of a connection",
        "status": "HTTP status of an answer",
        "closed_by": "who ended a connection",
        "quiet_s": "since the last message, s",
        # ingest
        "session": "our session id",
        "source": "source name",
        "close_code": "WebSocket close code",
        "connection": "which connection of a source we call",
        "sessions": "number of sessions",
        "frames_sent": "number of frames",
        "conversation": "conversation id",
        "correlation": "the platform's correlation id of a connection",
        "reason": "why a session ended or a request was refused, a fixed word",
        "defect": "what a peer did wrong, a fixed phrase",
        "media_frames": "media messages received",
        "media_bytes": "bytes of media received",
        "position_samples": "position on the media clock",
        "drift_samples": "stated position minus ours",
        # cognigy
        "turn": "id of a bot turn",
        "outcome": "how a turn ended",
        # sinks
        "entries": "number of entries written",
        "location": "object key of a recording or log part, without personal data",
    }
)
"""Key → what it means. Others are dropped from the line."""


@cache
def personal() -> frozenset[str]:
    """Return the field names that some schema marks as personal."""
    return frozenset(name for schema in released() for name in _personal_names(schema.definition))


def get_logger(component: str) -> Logger:
    """Return the logger of a component."""
    if not structlog.is_configured():
        _configure("info", "console", strict=True)
    return cast("Logger", structlog.get_logger(component=component))


def configure(level: str, form: str) -> None:
    """Set up logging for a running service: `level` debug … error, `form` json or console.

    Libraries' warnings come out in our form, without the values they quote.
    """
    _configure(level, form, strict=False)
    root = logging.getLogger()
    root.handlers[:] = [_Foreign()]
    root.setLevel(logging.WARNING)


def _configure(level: str, form: str, *, strict: bool) -> None:
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(event_key="message", timestamp_key="at", colors=sys.stderr.isatty())
        if form == "console"
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _plain_error,
            _strict_keys if strict else _allowed_keys,
            structlog.processors.add_log_level,
            _stamp,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=_to_standard_error,
        cache_logger_on_first_use=False,
    )


def _to_standard_error(*_: Any) -> structlog.WriteLogger:
    return structlog.WriteLogger(cast("TextIO", sys.stderr))


def _allowed(key: str) -> bool:
    return key == "event" or (key in KEYS and key not in personal())


def _strict_keys(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    wrong = sorted(key for key in event if not _allowed(key))
    if wrong:
        message = f"log keys that runtime/log.py does not declare, or that are personal: {', '.join(wrong)}"
        raise UsageError(message)
    return event


def _allowed_keys(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in [key for key in event if not _allowed(key)]:
        del event[key]
        LOG_KEYS_DROPPED.inc()
    return event


def _plain_error(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace `exc_info` by class and place: only our own errors are known to quote no content."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["error_class"] = type(error).__name__
        event["frames"] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, CallstreamError):
            event["error"] = str(error)
    return event


def _stamp(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    at = datetime.fromtimestamp(SystemClock().wall_s(), UTC).isoformat(timespec="milliseconds")
    return {"at": at, "level": event.pop("level"), "message": event.pop("event"), **event}


class _Foreign(logging.Handler):
    """Brings a library's warnings into our form: its message's first line with the place-holders left in."""

    def emit(self, record: logging.LogRecord) -> None:
        line = str(record.msg).partition("\n")[0][:200]
        log = get_logger("library")
        write = log.error if record.levelno >= logging.ERROR else log.warning
        error = record.exc_info[1] if record.exc_info else None
        write(
            "a library reports",
            library=record.name,
            library_text=line,
            error_class=type(error).__name__ if error else "",
        )


def _personal_names(definition: Any) -> Iterator[str]:
    if isinstance(definition, Mapping):
        if definition.get("pii") is True and isinstance(definition.get("name"), str):
            yield definition["name"]
        for value in definition.values():
            yield from _personal_names(value)
    elif isinstance(definition, list):
        for value in definition:
            yield from _personal_names(value)
