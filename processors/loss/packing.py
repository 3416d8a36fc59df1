"""Columns of whole numbers ↔ bytes: each column in the narrowest integer that fits all its values."""

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

_WIDTHS: Final = ("<i1", "<i2", "<i4", "<i8")
_LIMITS: Final = np.array((0x7F, 0x7FFF, 0x7FFFFFFF))
_HEAD: Final = struct.Struct("<II")


def pack(columns: NDArray[np.int64]) -> bytes:
    """Return columns (the first axis) of numbers as bytes."""
    width, count = columns.shape
    head = _HEAD.pack(count, width)
    if count == 0:
        return head
    magnitude = np.maximum(columns, ~columns).max(axis=1)
    codes = np.searchsorted(_LIMITS, magnitude).tolist()
    body = [column.astype(_WIDTHS[code]).tobytes() for column, code in zip(columns, codes, strict=True)]
    return b"".join((head, bytes(codes), *body))


def unpack(content: memoryview) -> tuple[NDArray[np.int64], memoryview]:
    """Return what was packed, and the bytes behind it. Other bytes raise what struct and numpy raise."""
    count, width = _HEAD.unpack_from(content)
    columns = np.zeros((width, count), np.int64)
    at = _HEAD.size
    if count == 0:
        return columns, content[at:]
    codes = bytes(content[at : at + width])
    if len(codes) != width:
        message = "the columns end too early"
        raise ValueError(message)
    at += width
    for index, code in enumerate(codes):
        columns[index] = np.frombuffer(content, _WIDTHS[code], count, at)
        at += count << code
    return columns, content[at:]
