"""What the recorder asks the writer to do. Offsets are bytes in the work file, the header included."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audio.wav import WavFormat
from schemas.records import RecordingEvent


@dataclass(frozen=True, slots=True)
class Put:
    """Write these bytes at this place of a work file; doing it again changes nothing."""

    name: str
    offset_bytes: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Fill:
    """Write one byte value over and over, from this place on."""

    name: str
    offset_bytes: int
    length_bytes: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """Finish a work file, store it with its sidecar, and announce it.

    `sidecar` and `event` lack only what is known of the finished file: its size and digest.
    """

    name: str
    form: WavFormat
    samples: int
    location: str
    sidecar_location: str
    sidecar: Mapping[str, Any]
    event: RecordingEvent
    partition: int
    timestamp_ms: int


Entry = Put | Fill | Seal


@dataclass(frozen=True, slots=True)
class Batch:
    """What the records of one partition ask for; entries of one file stand in order."""

    partition: int
    entries: tuple[Entry, ...]
