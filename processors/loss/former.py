"""Segments that a restart ended, as long as packets of them may still come: a FINAL is kept as whole numbers.

Such a packet is late. It counts in its stream and in its own segment, whose FINAL is corrected at the end of the next
report; the segment that is under way knows nothing of it.
"""

import dataclasses
import struct
import typing
from typing import Any, Final, NamedTuple

from audio.numbers import MAX_MISORDER, NEVER_WRAPS
from processors.loss.rows import AUDIBLE, Row
from processors.loss.session import Session
from processors.loss.streams import Counted, Stream
from schemas.records import LossReport
from schemas.symbols import Codec

_KEY: Final = 32
"""Added to the channel of a stream's key in `Session.told`."""
_OF_THE_RECORD: Final = frozenset({"stream", "sample_rate_hz", "anchor_at_us", "captured_at_us", "partial"})
_HINTS: Final = typing.get_type_hints(LossReport)
_NUMBERS: Final = tuple(
    field.name
    for field in dataclasses.fields(LossReport)
    if _HINTS[field.name] in {int, float, bool, int | None, float | None} and field.name not in _OF_THE_RECORD
)
_FLOATS: Final = frozenset(name for name in _NUMBERS if _HINTS[name] in {float, float | None})
_BOOLEANS: Final = frozenset(name for name in _NUMBERS if _HINTS[name] is bool)
_NULL: Final = -(1 << 63)
_CODECS: Final = tuple(Codec)


class Former(NamedTuple):
    """A segment that is over: the numbers that may still come, as the source gives them.

    `frames` and `payload_bytes` came since it was told; `said` are the codec and the numbers of what was told.
    """

    missing: tuple[int, ...]
    frames: int
    payload_bytes: int
    said: tuple[int, ...]

    def as_numbers(self) -> tuple[int, ...]:
        """Return all of it as one row of numbers."""
        return (len(self.missing), self.frames, self.payload_bytes, *self.missing, *self.said)

    @classmethod
    def of_numbers(cls, numbers: tuple[int, ...]) -> "Former":
        """Return what a row of numbers says."""
        count, frames, payload_bytes, *rest = numbers
        return cls(tuple(rest[:count]), frames, payload_bytes, tuple(rest[count:]))


def former_key(key: tuple[int, int]) -> tuple[int, int]:
    """Return where in `Session.told` the former segment of a stream is."""
    return key[0] + _KEY, key[1]


def missing_of(stream: Stream) -> tuple[int, ...]:
    """Return the numbers of a stream that may still come: the missing ones that are not too far behind."""
    numbering = stream.numbering
    first = max(numbering.base, numbering.highest - MAX_MISORDER)
    mask = -1 if numbering.bits == NEVER_WRAPS else (1 << numbering.bits) - 1
    return tuple(number & mask for number in numbering.missing if number >= first)


def take(session: Session, key: tuple[int, int], stream: Stream, row: Row) -> bool:
    """Count a packet of the segment before; tell whether it is one."""
    told = session.told.get(former_key(key))
    if told is None:
        return False
    former, numbering = Former.of_numbers(told), stream.numbering
    near = numbering.bits and abs(numbering.step(row.number)) <= MAX_MISORDER
    if row.number not in former.missing or near or numbering.begins_anew(row.number, row.number_bits):
        return False
    samples = row.samples if row.codec in AUDIBLE else 0
    numbering.unique += 1
    numbering.reordered += 1
    numbering.late += 1
    came = Counted(1, row.payload_bytes, samples, received=1, unique=1, reordered=1, late=1, lost=-1)
    stream.frames, stream.payload_bytes = stream.frames + 1, stream.payload_bytes + row.payload_bytes
    stream.audio += samples
    stream.segment_mark = stream.segment_mark.plus(came)
    left = tuple(number for number in former.missing if number != row.number)
    former = Former(left, former.frames + 1, former.payload_bytes + row.payload_bytes, former.said)
    session.told[former_key(key)] = former.as_numbers()
    return True


def numbers_of(values: dict[str, Any]) -> tuple[int, ...]:
    """Return the codec and the numbers of a FINAL, doubles as the integers of the same bits."""
    return (values["codec"].code, *(_number(name, values.get(name, _DEFAULTS[name])) for name in _NUMBERS))


def values_of(said: tuple[int, ...]) -> dict[str, Any]:
    """Return what `numbers_of` was made of."""
    code, *numbers = said
    return {"codec": _CODECS[code]} | {
        name: _value(name, number) for name, number in zip(_NUMBERS, numbers, strict=True)
    }


def corrected(values: dict[str, Any], former: Former, frame_ms: float) -> dict[str, Any]:
    """Return the values of a FINAL with the packets that came since."""
    came, frames, size = former.frames, values["frames"], values["bytes"]
    now = values | {name: values[name] + came for name in ("frames", "received", "unique", "reordered", "late")}
    now |= {name: values[name] - came for name in ("lost", "lost_signed", "cumulative_lost")}
    now |= {"bytes": size + former.payload_bytes}
    now |= {"lost_ms": now["lost"] * frame_ms, "late_ms": now["late"] * frame_ms}
    now |= {"loss_ratio": now["lost"] / now["expected"]}
    now |= {"cumulative_loss_ratio": now["cumulative_lost"] / now["cumulative_expected"]}
    for name, part in (
        ("frames_per_s", now["frames"] / frames),
        ("media_ratio", now["frames"] / frames),
        ("bytes_per_s", now["bytes"] / max(1, size)),
    ):
        now[name] = values[name] * part if values[name] >= 0 else values[name]
    return now


_DEFAULTS: Final = {field.name: field.default for field in dataclasses.fields(LossReport)}


def _number(name: str, value: Any) -> int:
    if value is None:
        return _NULL
    if name in _FLOATS:
        bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
        return bits
    return int(value)


def _value(name: str, number: int) -> Any:
    if number == _NULL:
        return None
    if name in _FLOATS:
        return struct.unpack("<d", struct.pack("<q", number))[0]
    return bool(number) if name in _BOOLEANS else number
