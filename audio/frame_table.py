"""The columns of one poll while they are being filled: by numpy through a layout, or row by row through fastavro.

`audio.frames` decides which way a row goes and what the finished columns mean.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio.layout import BAD_CODE, FrameLayout, reader_fields
from schemas.codec import FRAMING_BYTES, SchemaStore, as_bytes
from schemas.errors import InvalidRecord

SESSION_BYTES = 16
_MAX_EXACT = 2.0**53
_MAX_EXACT_S = _MAX_EXACT / 1e6
_VARINT_LIMITS = ((1, 0, 1 << 6), (2, 1 << 6, 1 << 13), (3, 1 << 13, 1 << 20), (4, 1 << 20, 1 << 27))
_COUNTERS = (
    "payload_type",
    "sample_rate_hz",
    "source_clock_hz",
    "source_sequence_bits",
    "source_timestamp_bits",
    "stream",
    "sequence",
    "source_sequence",
    "source_timestamp",
    "position_samples",
    "duration_samples",
)
_NUMBERS = (*_COUNTERS, "captured_at_s")
_LIMITS = np.array([*[_MAX_EXACT] * len(_COUNTERS), _MAX_EXACT_S])[:, None]
_ENUMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {field.name: field.symbols for field in reader_fields() if field.avro_type == "enum"}
)
_BOOLEANS = ("late", "marker")


class FrameTable:
    """One poll's columns: enum codes, flags, numbers as doubles, and where the payloads lie.

    Rows are False in `ok` until a way of reading took them; `errors` says why one was not taken, and `identified` where
    its session and sequence could be read all the same.
    """

    def __init__(self, n: int, values: list[bytes], lengths: NDArray[np.int64]) -> None:
        self.values = values
        self.lengths = lengths
        self.joined = b"".join(values)
        self.extra: list[bytes] = []
        self.extra_bytes = 0
        self.buffer = np.frombuffer(self.joined, np.uint8)
        self.starts = np.cumsum(lengths) - lengths
        self.payload_start = np.zeros(n, np.int64)
        self.payload_bytes = np.zeros(n, np.int64)
        self.ok = np.zeros(n, np.bool_)
        self.identified = np.zeros(n, np.bool_)
        self.errors: dict[int, str] = {}
        self._code_rows = np.zeros((len(_ENUMS), n), np.uint8)
        self.codes = dict(zip(_ENUMS, self._code_rows, strict=True))
        self.flags = dict(zip(_BOOLEANS, np.zeros((len(_BOOLEANS), n), np.bool_), strict=True))
        self.matrix = np.full((len(_NUMBERS), n), -1.0)
        self.numbers = dict(zip(_NUMBERS, self.matrix, strict=True))
        self.session_id = np.zeros(n, f"V{SESSION_BYTES}")

    def fail(self, rows: NDArray[np.int64], why: str) -> None:
        """Note why these rows are no frames."""
        self.errors.update(dict.fromkeys(rows.tolist(), why))

    def view(self, rows: NDArray[np.int64], fixed: FrameLayout) -> NDArray[np.int64]:
        """Fill the rows of one schema through its layout; return those only the slow path can judge."""
        behind = FRAMING_BYTES + fixed.width_bytes
        long_enough = self.lengths[rows] > behind
        short, rows = rows[~long_enough], rows[long_enough]
        if len(rows) == 0:
            return short
        whole = len(rows) == len(self.values)
        seen = self._bytes_at(self.starts[rows] + FRAMING_BYTES, fixed.width_bytes).view(fixed.dtype).reshape(-1)
        target = slice(None) if whole else rows
        valid = self._payload(rows, behind)
        sound = self._copy(seen, fixed, target)
        self.identified[target] = True
        self.ok[target] = valid & sound
        if not sound.all():
            self._fail_unsound(rows[~sound])
        return np.concatenate((short, rows[~valid & sound]))

    def one_framing(self) -> bool:
        """Tell whether all values begin with the same framing."""
        if len(self.lengths) == 0 or int(self.lengths.min()) < FRAMING_BYTES:
            return False
        heads = self._bytes_at(self.starts, FRAMING_BYTES)
        return bool((heads == heads[0]).all())

    def _bytes_at(self, starts: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
        """Return `size` bytes from each start, a row each."""
        windows = np.ndarray((len(self.joined) - size + 1, size), np.uint8, self.joined, strides=(1, 1))
        return windows[starts]

    def _copy(self, seen: NDArray[np.void], fixed: FrameLayout, target: slice | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Copy the viewed fields into the columns; False where a byte is no symbol or no boolean."""
        for name, codes in fixed.codes.items():
            self.codes[name][target] = codes[seen[name]]
        sound: NDArray[np.bool_] = (self._code_rows[:, target] != BAD_CODE).all(axis=0)
        for name in _BOOLEANS:
            if name in fixed.names:
                self.flags[name][target] = seen[name] != 0
                sound &= seen[name] <= 1
        for name in self.numbers:
            if name in fixed.names:
                self.numbers[name][target] = seen[name]
        if "session_id" in fixed.names:
            self.session_id[target] = seen["session_id"]
        for field in fixed.missing:
            self._default(target, field.name, field.default)
        return sound

    def _fail_unsound(self, rows: NDArray[np.int64]) -> None:
        """Fail rows with a byte that is no symbol or no boolean. fastavro would take such a byte for another value."""
        self.fail(rows, "an enum or boolean byte is out of range")
        for column in self.codes.values():
            column[rows[column[rows] == BAD_CODE]] = 0

    def _payload(self, rows: NDArray[np.int64], behind: int) -> NDArray[np.bool_]:
        """Locate the payloads; False where the length written before the payload is not the length that is left."""
        rest = self.lengths[rows] - behind
        start = self.starts[rows] + behind
        valid = np.zeros(len(rows), np.bool_)
        smallest, largest = int(rest.min()), int(rest.max())
        for width, low, high in _VARINT_LIMITS:
            if largest < width + low or smallest >= width + high:
                continue
            size = rest - width
            fits = (size >= low) & (size < high)
            zigzag = 2 * size
            for index in range(width):
                byte = (zigzag >> (7 * index)) & 0x7F | (0x80 if index < width - 1 else 0)
                at = np.where(fits, start + index, 0)
                fits &= self.buffer[at] == byte
            valid |= fits
            self.payload_start[rows[fits]] = start[fits] + width
            self.payload_bytes[rows[fits]] = size[fits]
        return valid

    def _default(self, target: slice | NDArray[np.int64], name: str, default: Any) -> None:
        if name in self.codes:
            self.codes[name][target] = _ENUMS[name].index(default)
        elif name in self.flags:
            self.flags[name][target] = bool(default)
        elif name in self.numbers:
            self.numbers[name][target] = float(default)

    def read_slowly(self, row: int, schema_id: int, store: SchemaStore) -> None:
        """Fill one row through fastavro."""
        self.ok[row] = False
        try:
            datum = store.decode_datum(schema_id, self.values[row], "audio_frame")
        except InvalidRecord as error:
            self.errors[row] = str(error)
            return
        for name, symbols in _ENUMS.items():
            self.codes[name][row] = symbols.index(datum[name])
        for name in _BOOLEANS:
            self.flags[name][row] = datum[name]
        for name, column in self.numbers.items():
            column[row] = datum[name]
        self.session_id[row] = np.void(as_bytes(datum["session_id"]))
        payload = as_bytes(datum["payload"])
        self.payload_start[row] = len(self.joined) + self.extra_bytes
        self.payload_bytes[row] = len(payload)
        self.extra.append(payload)
        self.extra_bytes += len(payload)
        self.ok[row] = True
        self.identified[row] = True

    def check_numbers(self) -> None:
        """Fail the rows whose numbers are not finite, not whole or beyond what a double holds exactly."""
        with np.errstate(invalid="ignore"):
            bad = ~(np.abs(self.matrix) < _LIMITS)
            bad[:-1] |= np.floor(self.matrix[:-1]) != self.matrix[:-1]
        if not bad.any():
            return
        for index in np.flatnonzero(bad.any(axis=1)).tolist():
            name = _NUMBERS[index]
            for row in np.flatnonzero(bad[index]).tolist():
                if self.ok[row]:
                    self.errors[row] = f"{name} is not a whole number" if name != "captured_at_s" else f"{name} is bad"
            self.ok[bad[index]] = False
        self.matrix[bad] = -1.0
