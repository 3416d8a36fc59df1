"""Ranges of bytes → the 16-bit samples of each side."""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from audio import g711
from processors.silence.media import SWAPPED, Numbers
from processors.silence.voices import SIDES
from schemas.symbols import Channels, Codec

Pcm = NDArray[np.int16]
Element = TypeVar("Element", bound=np.generic)

_STEREO: Final = (Channels.EXTERNAL_INTERNAL.code, SWAPPED)
_TABLES: Final = {Codec.PCMU.code: g711.PCMU, Codec.PCMA.code: g711.PCMA}
_DTYPES: Final = {Codec.L16_LE.code: "<i2", Codec.L16_BE.code: ">i2"}


def sides_of(channels: int) -> int:
    """Return how many channels lie in the bytes of a layout, given by its code."""
    return SIDES if channels in _STEREO else 1


def decoded(buffer: NDArray[np.uint8], begin: Numbers, samples: Numbers, code: int) -> Pcm:
    """Return the samples of ranges of one codec and layout, one after another: (SIDES, samples).

    A range has `samples` of each channel from byte `begin` on; `code` is the codec's times 256, plus the layout's. One
    channel fills the first row.
    """
    codec, channels = code >> 8, code & 0xFF
    sides, table = sides_of(channels), _TABLES.get(codec)
    raw = _join(buffer, begin, samples * (sides if table is not None else 2 * sides))
    linear: NDArray[np.generic] = raw.view(_DTYPES[codec]) if table is None else table.take(raw)
    if sides == 1:
        pcm = np.zeros((SIDES, len(linear)), np.int16)
        pcm[0] = linear
        return pcm
    pairs = linear.reshape(-1, SIDES).T
    return np.ascontiguousarray(pairs[::-1] if channels == SWAPPED else pairs, np.int16)


def ranges_of(buffer: NDArray[Element], begin: Numbers, length: int) -> NDArray[Element]:
    """Return ranges of `length` elements as rows."""
    size = buffer.itemsize
    # every range of this length as a row of a view; picking rows copies each at once
    view = np.ndarray((len(buffer) - length + 1, length), buffer.dtype, buffer, 0, (size, size))
    rows: NDArray[Element] = view[begin]
    return rows


def _join(buffer: NDArray[np.uint8], begin: Numbers, length: Numbers) -> NDArray[np.uint8]:
    """Return the bytes of these ranges, one after another."""
    usual = int(length[0])
    if np.count_nonzero(length != usual) == 0:
        return ranges_of(buffer, begin, usual).reshape(-1)
    view = buffer.data
    ranges = zip(begin.tolist(), (begin + length).tolist(), strict=True)
    return np.frombuffer(b"".join([view[a:b] for a, b in ranges]), np.uint8)
