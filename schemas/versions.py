"""The released schemas of the package, their fingerprints and their local ids.

A local id is `0x40000000` plus the low 24 bits of the schema's CRC-64-AVRO fingerprint (Avro 1.12 specification,
"Schema Fingerprints"). Readers resolve that range from the package whether or not a registry is configured.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

from schemas import records
from schemas.records import Record

LOCAL_ID_BASE = 0x40000000
_LOCAL_ID_BITS = 0xFFFFFF

RECORD_TYPES: Mapping[str, type[Record]] = MappingProxyType(
    {
        "activity_window": records.ActivityWindow,
        "audio_frame": records.AudioFrame,
        "audit_event": records.AuditEvent,
        "bot_audio": records.BotAudio,
        "bot_turn": records.BotTurn,
        "call_event": records.CallEvent,
        "changelog_entry": records.ChangelogEntry,
        "loss_report": records.LossReport,
        "recording_event": records.RecordingEvent,
        "session_info": records.SessionInfo,
        "silence_event": records.SilenceEvent,
        "subscription": records.Subscription,
        "turn_entry": records.TurnEntry,
        "utterance": records.Utterance,
    }
)
"""Schema folder → the dataclass of its newest version."""

FOLDERS: Mapping[type[Record], str] = MappingProxyType({record: folder for folder, record in RECORD_TYPES.items()})


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """One released version of one record's schema.

    `text` is the file as released; `definition` the parsed JSON; `parsed` fastavro's form without logical types, so
    that times stay integers.
    """

    folder: str
    version: int
    text: str
    definition: Mapping[str, Any]
    parsed: Any
    fingerprint: int

    @property
    def full_name(self) -> str:
        """Namespace and name, as registries and other tools see it."""
        return f"{self.definition['namespace']}.{self.definition['name']}"

    @property
    def local_id(self) -> int:
        """The schema id in a world without registry."""
        return LOCAL_ID_BASE + (self.fingerprint & _LOCAL_ID_BITS)


def without_logical_types(definition: Any) -> Any:
    """Return a schema's JSON with every `logicalType` left out. Readers then see plain integers."""
    if isinstance(definition, dict):
        return {key: without_logical_types(value) for key, value in definition.items() if key != "logicalType"}
    if isinstance(definition, list):
        return [without_logical_types(item) for item in definition]
    return definition


def parse(definition: Any) -> Any:
    """Return fastavro's parsed form of a schema's JSON, without logical types."""
    return parse_schema(without_logical_types(definition))


def canonical_fingerprint(definition: Any) -> int:
    """Return the CRC-64-AVRO fingerprint of a schema's parsing canonical form as an unsigned number."""
    return int.from_bytes(bytes.fromhex(fingerprint(to_parsing_canonical_form(definition), "CRC-64-AVRO")), "little")


@cache
def released() -> tuple[SchemaVersion, ...]:
    """Return every released schema, by folder and version."""
    found = []
    for folder in sorted(RECORD_TYPES):
        for entry in resources.files("schemas").joinpath(folder).iterdir():
            match = re.fullmatch(r"v(\d+)\.avsc", entry.name)
            if match is None:
                continue
            text = entry.read_text(encoding="utf-8")
            definition = json.loads(text)
            found.append(
                SchemaVersion(
                    folder=folder,
                    version=int(match[1]),
                    text=text,
                    definition=definition,
                    parsed=parse(definition),
                    fingerprint=canonical_fingerprint(definition),
                )
            )
    return tuple(sorted(found, key=lambda schema: (schema.folder, schema.version)))


@cache
def newest(folder: str) -> SchemaVersion:
    """Return the newest released schema of a record's folder."""
    return max((schema for schema in released() if schema.folder == folder), key=lambda schema: schema.version)


def fingerprint_lines() -> str:
    """Return the text of `schemas/fingerprints.txt`: one line per released schema."""
    return "".join(
        f"{schema.folder} v{schema.version} {schema.fingerprint:016x} {schema.local_id}\n" for schema in released()
    )
