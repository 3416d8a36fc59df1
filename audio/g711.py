"""G.711 bytes → linear samples, by table (ITU-T G.711, tables 1a to 2b).

Samples are 16-bit: the 14-bit values of mu-law times 4, the 13-bit values of A-law times 8. It encodes nothing: payload
bytes are kept as they came, because encoders differ and 0x7F does not survive decoding and encoding.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray


def _pcmu() -> NDArray[np.int16]:
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 0x0F) * 2 + 33) << (code >> 4 & 7)) - 33
    table: NDArray[np.int16] = (np.where(code & 0x80, -magnitude, magnitude) * 4).astype(np.int16)
    return table


def _pcma() -> NDArray[np.int16]:
    code = np.arange(256) ^ 0x55
    segment = code >> 4 & 7
    step = (code & 0x0F) * 2 + 1
    magnitude = np.where(segment == 0, step, (step + 32) << np.maximum(segment - 1, 0))
    table: NDArray[np.int16] = (np.where(code & 0x80, magnitude, -magnitude) * 8).astype(np.int16)
    return table


def _squares(table: NDArray[np.int16]) -> NDArray[np.int64]:
    return np.square(table.astype(np.int64))


PCMU: Final = _pcmu()
"""Sample of each mu-law byte; 0xFF and 0x7F are 0, 0x80 and 0x00 the largest, ±32,124."""

PCMA: Final = _pcma()
"""Sample of each A-law byte; 0xD5 and 0x55 are ±8, the nearest to silence it has; 0xAA and 0x2A ±32,256."""

PCMU_SQUARES: Final = _squares(PCMU)
"""Square of each mu-law byte's sample."""

PCMA_SQUARES: Final = _squares(PCMA)
"""Square of each A-law byte's sample."""


def decode_pcmu(payload: bytes) -> NDArray[np.int16]:
    """Return one sample per mu-law byte."""
    return PCMU[np.frombuffer(payload, np.uint8)]


def decode_pcma(payload: bytes) -> NDArray[np.int16]:
    """Return one sample per A-law byte."""
    return PCMA[np.frombuffer(payload, np.uint8)]
