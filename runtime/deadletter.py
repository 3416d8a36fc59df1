"""The headers of a dead letter, named as Kafka Connect names them (KIP-298), so that every tool can show them.

Key and value travel as received, to `schemas.topics.dead_letters(group)`, on the input's partition number. The headers
say where the record came from and why it failed: no stack trace, and no content of the record.

What holds a key that a caller pressed is the exception to "as received": call events, and utterances that are one. What
cannot be decoded of their topics leaves its length and digest only, what can be its fields without the personal ones.
"""

import hashlib
import json
from collections.abc import Mapping

from runtime.version import version
from schemas.codec import SchemaStore, as_datum, from_datum
from schemas.records import CallEvent, Record, Utterance
from schemas.symbols import UtteranceInput
from schemas.topics import EVENTS, UTTERANCES
from schemas.versions import FOLDERS, newest

_PREFIX = "__connect.errors."
_LONGEST_TEXT = 500
_SECRETIVE = (EVENTS.name, UTTERANCES.name)


def headers(  # noqa: PLR0913, PLR0917 - one argument per header
    error: str,
    stage: str,
    topic: str,
    partition: int,
    offset: int,
    group: str,
    error_class: str,
    more: Mapping[str, str] | None = None,
) -> list[tuple[str, bytes]]:
    """Return the headers, values as UTF-8 text.

    `error` names the defect and never quotes the content; `stage` is the step that failed; `topic` (catalogue name),
    `partition` and `offset` are the record's own; `group` is the consumer group that gave up; `error_class` the name of
    the error's class; `more` are headers of our own by name. Text longer than 500 characters is cut.
    """
    return [
        (name, text[:_LONGEST_TEXT].encode())
        for name, text in (
            (f"{_PREFIX}topic", topic),
            (f"{_PREFIX}partition", str(partition)),
            (f"{_PREFIX}offset", str(offset)),
            (f"{_PREFIX}connector.name", group),
            (f"{_PREFIX}task.id", str(partition)),
            (f"{_PREFIX}stage", stage),
            (f"{_PREFIX}class.name", group),
            (f"{_PREFIX}exception.class.name", error_class),
            (f"{_PREFIX}exception.message", error),
            ("callstream.version", version()),
            *(more or {}).items(),
        )
    ]


def reduced(value: bytes | None) -> bytes | None:
    """Return all that may be kept of a value whose content may not: its length and its SHA-256, as JSON."""
    if value is None:
        return None
    kept = {"length_bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    return json.dumps(kept, sort_keys=True).encode()


def kept(topic: str, value: bytes | None) -> bytes | None:
    """Return what a dead letter of `topic` (catalogue name) keeps of a value nobody could decode."""
    return reduced(value) if topic in _SECRETIVE else value


def remains(kind: type[Record] | None, value: bytes | None, record: Record | None, store: SchemaStore) -> bytes | None:
    """Return what a dead letter keeps of a value that should be a `kind`, `record` where it could be decoded."""
    if record is None:
        return reduced(value) if kind in (CallEvent, Utterance) else value
    pressed = isinstance(record, Utterance) and record.input is UtteranceInput.DTMF
    return blanked(record, store) if pressed or isinstance(record, CallEvent) else value


def blanked(record: Record, store: SchemaStore) -> bytes:
    """Return a record as framed bytes without the fields its schema marks as personal, or does not mark at all.

    Such a field becomes null where the schema allows it, else the nothing of its type. A field that holds personal ones
    is itself marked.
    """
    datum = as_datum(record)
    for field in newest(FOLDERS[type(record)]).definition["fields"]:
        if field.get("pii", True):
            name, kind = field["name"], field["type"]
            datum[name] = None if isinstance(kind, list) and "null" in kind else type(datum[name])()
    return store.encode(from_datum(type(record), datum))
