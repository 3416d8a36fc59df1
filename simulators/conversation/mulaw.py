"""Linear samples in [-1, 1] to G.711 mu-law bytes, for audio the simulators make themselves. It decodes nothing."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

SILENCE: Final = 0xFF
NEGATIVE_SILENCE: Final = 0x7F
"""Both bytes decode to 0; platforms send either."""

_BIAS: Final = 33
_CLIP: Final = 8158


def encode(samples: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Encode full-scale-1 samples; louder ones clip. Segment and step as in ITU-T G.711 table 2a (14-bit, bias 33)."""
    scaled = np.rint(samples * 8192.0).astype(np.int64)
    magnitude = np.minimum(np.abs(scaled), _CLIP) + _BIAS
    segment = np.floor(np.log2(magnitude)).astype(np.int64) - 5
    step = (magnitude >> (segment + 1)) & 0x0F
    sign = np.where(scaled < 0, 0x80, 0x00)
    encoded: NDArray[np.uint8] = (~(sign | (segment << 4) | step) & 0xFF).astype(np.uint8)
    return encoded
