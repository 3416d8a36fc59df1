"""The small network that weighs a frame's features: one gated recurrent unit of 32 states per stream, and its heads.

What it sums are whole numbers: features and states of at most 255 steps times weights of at most 255, less than 2^24
in all, so the products are exact (`audio.vad_matrix`). Everything else is one IEEE operation per number. No
library function with a last bit of its own is used: the curve for both gates is a quotient of polynomials.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from audio.vad_features import FEATURES
from audio.vad_matrix import Scratch, multiply

Single = NDArray[np.float32]

UNITS: Final = 32
"""Numbers of state per stream."""

DELAYS: Final = 3
"""The first heads say whether there was speech 0, 1, … frames ago; the last one whether anybody means to be heard."""

HEADS: Final = DELAYS + 1
STEPS: Final = 255.0
_FORMAT: Final = "%.9g"


@dataclass(frozen=True, slots=True)
class Weights:
    """Whole numbers, a step per row: `inputs` (3 UNITS, FEATURES), `state` (3 UNITS, UNITS), `heads` (HEADS, UNITS)."""

    inputs: Single
    inputs_step: Single
    state: Single
    state_step: Single
    bias: Single
    heads: Single
    heads_step: Single
    shift: Single

    @classmethod
    def of(cls, inputs: Single, state: Single, bias: Single, heads: Single, shift: Single) -> Self:
        """Round trained weights. The states they meet are in steps of 1/255."""
        rows = [_rounded(matrix) for matrix in (inputs, state / STEPS, heads / STEPS)]
        return cls(*rows[0], *rows[1], _column(bias), *rows[2], _column(shift))

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what `written` wrote."""
        rows = [np.array(line.split(), np.float32) for line in text.splitlines() if line and not line.startswith("#")]
        table = np.stack(rows[: 3 * UNITS])
        heads = np.stack(rows[3 * UNITS :])
        inputs, state = np.ascontiguousarray(table[:, 3 : 3 + FEATURES]), np.ascontiguousarray(table[:, 3 + FEATURES :])
        head_weights = np.ascontiguousarray(heads[:, 2:])
        columns = [np.ascontiguousarray(part[:, at : at + 1]) for part, at in ((table, 0), (table, 1), (table, 2))]
        return cls(inputs, columns[0], state, columns[1], columns[2], head_weights, heads[:, :1], heads[:, 1:2])


def written(weights: Weights) -> str:
    """Return weights as text: a row per gate and unit, then per head; steps and bias first, then whole numbers."""
    lines = ["# weights of audio/vad_network.py, made by benchmarks/silence/training.py; 3 x units rows, then heads"]
    table = (weights.inputs_step, weights.state_step, weights.bias)
    for row in range(len(weights.inputs)):
        scales = " ".join(_FORMAT % column[row, 0] for column in table)
        numbers = " ".join(f"{value:.0f}" for part in (weights.inputs, weights.state) for value in part[row])
        lines.append(f"{scales} {numbers}")
    for row in range(len(weights.heads)):
        scales = " ".join(_FORMAT % column[row, 0] for column in (weights.heads_step, weights.shift))
        lines.append(f"{scales} " + " ".join(f"{value:.0f}" for value in weights.heads[row]))
    return "\n".join(lines) + "\n"


def trained() -> Weights:
    """Return the weights that come with the package."""
    return Weights.read(files("audio").joinpath("vad_weights.txt").read_text(encoding="utf-8"))


def advance(weights: Weights, state: Single, features: Single, scratch: Scratch) -> Single:
    """Bring `state` (UNITS, streams) one frame on; return the heads' log odds, (HEADS, streams)."""
    streams = state.shape[1]
    given, fed, gates, square, below = (
        scratch.singles(name, 3 * UNITS, streams) for name in ("given", "fed", "gates", "square", "below")
    )
    steps = np.float32(STEPS)
    multiply(weights.inputs, features, given)
    given *= weights.inputs_step
    given += weights.bias
    multiply(weights.state, np.rint(state * steps), fed)
    fed *= weights.state_step
    both = slice(0, 2 * UNITS)
    np.add(given[both], fed[both], out=gates[both])
    gates[both] *= np.float32(0.5)
    _curve(gates[both], square[both], below[both])
    gates[both] *= np.float32(0.5)
    gates[both] += np.float32(0.5)
    fresh = fed[2 * UNITS :]
    fresh *= gates[UNITS : 2 * UNITS]
    fresh += given[2 * UNITS :]
    _curve(fresh, square[:UNITS], below[:UNITS])
    state -= fresh
    state *= gates[:UNITS]
    state += fresh
    odds = np.empty((HEADS, streams), np.float32)
    multiply(weights.heads, np.rint(state * steps), odds)
    odds *= weights.heads_step
    odds += weights.shift
    return odds


def _curve(value: Single, square: Single, below: Single) -> None:
    """Set x to x (27 + x²) / (27 + 9 x²), kept within ±1: close to tanh, and 1 from 3 on."""
    np.multiply(value, value, out=square)
    np.multiply(square, np.float32(9), out=below)
    below += np.float32(27)
    square += np.float32(27)
    square *= value
    np.divide(square, below, out=value)
    np.maximum(value, np.float32(-1), out=value)
    np.minimum(value, np.float32(1), out=value)


def _rounded(matrix: Single) -> tuple[Single, Single]:
    step = (np.abs(matrix).max(axis=1, keepdims=True) / STEPS + 1e-12).astype(np.float32)
    return np.rint(matrix / step).astype(np.float32), step


def _column(values: Single) -> Single:
    return np.ascontiguousarray(values.reshape(-1, 1).astype(np.float32))
