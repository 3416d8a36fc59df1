"""What one 20-ms frame of each of many streams sounds like, as whole numbers a small network can weigh.

One step takes the next frame of every stream: 160 samples at 8 kHz. All streams are columns of the same arrays, and
each operation works on every column alone, so neither the neighbours nor their number can change a result. Sums are
of whole numbers below 2^53, so their order cannot either. Logarithms are made of the bits of a double and a parabola
(error below 0.03 dB), because libraries differ in the last bit.

Of the spectrum (256 samples with the 96 of the frame before, Hann window) the bins below 94 Hz are left out: direct
current and most of mains hum never count.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]
Memory = NDArray[np.float32]

FRAME: Final = 160
"""Samples of a frame: 20 ms at 8 kHz."""

HISTORY: Final = 96
"""Samples a stream keeps of its last frame."""

_SIZE: Final = FRAME + HISTORY
_WINDOW: Final = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_SIZE) / _SIZE)
_FIRST_BIN: Final = 3
_EDGES: Final = (0, 3, 6, 9, 13, 17, 22, 27, 33, 40, 48, 57, 67, 79, 92, 107)
_LAST_BIN: Final = 127
BANDS: Final = len(_EDGES)
"""Bands from 94 to 3950 Hz; one to a third of an octave wide."""

_BAND_RANGES: Final = tuple(pairwise((*_EDGES, _LAST_BIN - _FIRST_BIN)))
_BAND_THIRDS: Final = ((0, 9), (9, 13), (13, BANDS))
_QUARTERS: Final = tuple(pairwise(range(0, BANDS + 1, 4)))
_BIN_THIRDS: Final = tuple((_BAND_RANGES[low][0], _BAND_RANGES[high - 1][1]) for low, high in _BAND_THIRDS)
_PER_BIN: Final = np.array([[1 / (high - low)] for low, high in _BIN_THIRDS])

_VOICED_BINS: Final = slice(2, 56)
_LAG_BINS: Final = 65
_LAGS: Final = slice(10, 62)
_PARTS: Final = 8
_STEPS: Final = 8.0
"""Steps of a level per doubling of power: 0.38 dB."""

_FULL: Final = float(32_768**2) * float(np.sum(_WINDOW**2)) * _SIZE / 2
"""Sum of the bins' powers of a signal of 0 dBFS."""

_HUSH: Final = float(round(_FULL * 10**-7.6 / (_LAST_BIN - _FIRST_BIN)))
"""Added to each bin: -76 dBFS in all, so that levels of nearly nothing do not wander."""

_HUSH_PART: Final = 400.0
_REST: Final = 400.0
"""An eighth of a thousandth of power: how little counts in a tone's neighbourhood and between glottal pulses."""

# Rows of a stream's memory.
_FLOOR: Final = slice(0, BANDS)
_MEAN: Final = slice(BANDS, 2 * BANDS)
_SPREAD: Final = slice(2 * BANDS, 3 * BANDS)
_LOW, _PEAK, _AGE, _LAST_PITCH, _SWING = range(3 * BANDS, 3 * BANDS + 5)
MEMORY: Final = 3 * BANDS + 5
"""Numbers of memory per stream; all 0 before the first frame."""

SCALARS: Final = 22
FEATURES: Final = 3 * BANDS + BANDS // 4 + SCALARS
LIMIT: Final = 255.0
"""No feature is larger, either way."""

_RISE: Final = 0.16
_FALL: Final = 0.3
_RISE_LOW: Final = 0.8
_START: Final = 400.0 - 128.0
_OLD: Final = 250.0
_CLEAR: Final = 16.0


def _log2(values: Real) -> Real:
    """Return binary logarithms of positive doubles from their bits."""
    bits = values.view(np.int64) * 2.0**-52 - 1023.0
    rest = bits - np.floor(bits)
    logs: Real = bits + 0.3465 * rest * (1.0 - rest)
    return logs


def _group_sums(rows: Real | NDArray[np.int64], ranges: Iterable[tuple[int, int]]) -> Real:
    """Return the sums of ranges of rows: whole numbers, so any order will do."""
    return np.stack([np.add.reduce(rows[low:high], axis=0) for low, high in ranges]).astype(np.float64, copy=False)


def _levels(power: Real) -> Real:
    return np.rint(_log2(power) * _STEPS)


class Scratch:
    """Room for what lives no longer than a step, kept from step to step: to fetch it anew costs as much as the work.

    Nothing is read from it that the same step has not written. One name is one place: what is no longer needed makes
    room, so that a step stays in the cache.
    """

    def __init__(self) -> None:
        self._room: dict[str, Real] = {}

    def array(self, name: str, rows: int, columns: int) -> Real:
        """Return (rows, columns) of doubles with anything in them."""
        size = rows * columns
        room = self._room.get(name)
        if room is None or len(room) < size:
            room = self._room[name] = np.empty(size)
        return room[:size].reshape(rows, columns)


def extract(
    history: NDArray[np.int16], memory: Memory, samples: NDArray[np.int16], scratch: Scratch
) -> NDArray[np.float32]:
    """Return the features of the next frame, (FEATURES, streams), whole numbers from -LIMIT to LIMIT, in `scratch`.

    `samples` is (streams, FRAME). `history`, (streams, HISTORY), and `memory`, (MEMORY, streams), go one frame on.
    """
    streams = len(samples)
    whole = scratch.array("whole", streams, _SIZE)
    whole[:, :HISTORY] = history
    new = memory[_AGE] == 0
    if new.any():
        # before its first frame a stream was as it begins: a direct current has no edge then
        whole[new, :HISTORY] = samples[new, :1]
    whole[:, HISTORY:] = samples
    history[:] = samples[:, FRAME - HISTORY :]
    power = _power(whole, scratch)
    bins = scratch.array("bins", _LAST_BIN - _FIRST_BIN, streams)
    np.add(power[:, _FIRST_BIN:_LAST_BIN].T, _HUSH, out=bins)
    sums = _group_sums(bins, _BAND_RANGES)
    out = scratch.array("features", FEATURES, streams)
    scalars = out[3 * BANDS + BANDS // 4 :]
    _track(sums, memory, out, scalars)
    strongest = np.argmax(power[:, _FIRST_BIN:_LAST_BIN], axis=1)
    _tone(bins, sums, strongest, scalars[6:11], scratch)
    _voice(power, memory, scalars[11:13], scratch)
    _shape(whole, scalars[13:22], scratch)
    np.clip(np.rint(out, out=out), -LIMIT, LIMIT, out=out)
    found = scratch.array("found", FEATURES, streams).view(np.float32).reshape(-1, streams)[:FEATURES]
    np.copyto(found, out, casting="same_kind")
    return found


def _power(whole: Real, scratch: Scratch) -> Real:
    """Return the power of each bin, (streams, bins), as whole numbers."""
    windowed = np.multiply(whole, _WINDOW, out=scratch.array("windowed", *whole.shape))
    parts = scratch.array("spectrum", len(whole), _SIZE + 2)
    np.fft.rfft(windowed, out=parts.view(np.complex128))
    np.square(parts, out=parts)
    power = np.add(parts[:, 0::2], parts[:, 1::2], out=scratch.array("power", len(whole), _SIZE // 2 + 1))
    return np.rint(power, out=power)


def _track(sums: Real, memory: Memory, out: Real, scalars: Real) -> None:
    """Set the features of level against what was before, and follow it: floor, mean, spread, peak."""
    bands = _levels(sums)
    level = _levels(sums.sum(axis=0))
    age = memory[_AGE]
    new = age == 0
    floor, mean, spread = memory[_FLOOR], memory[_MEAN], memory[_SPREAD]
    np.copyto(floor, np.minimum(bands, _START), where=new)
    np.copyto(mean, bands, where=new)
    np.copyto(memory[_LOW], np.minimum(level, _START + 16), where=new)
    np.copyto(memory[_PEAK], np.maximum(level, _START), where=new)
    change = bands - mean
    out[:BANDS] = (bands - floor) * 1.5
    out[BANDS : 2 * BANDS] = bands - level + 24
    out[2 * BANDS : 3 * BANDS] = change * 1.5
    low, peak = memory[_LOW], memory[_PEAK]
    mean += 0.12 * change
    spread += 0.06 * (change * change - spread)
    deviation = np.sqrt(spread)
    groups = _group_sums(np.rint(deviation * 16), _QUARTERS)
    out[3 * BANDS : 3 * BANDS + BANDS // 4] = groups * 0.125
    gap = bands - floor
    floor += np.where(gap < 0, gap * _FALL, np.minimum(gap, _RISE))
    rise = level - low
    low += np.where(rise < 0, rise * _FALL, np.minimum(rise, _RISE_LOW))
    fall = level - peak
    peak += np.where(fall > 0, fall * _FALL, np.maximum(fall, -0.06))
    clear = np.count_nonzero(gap > _CLEAR, axis=0)
    swing = np.abs(level - low) - memory[_SWING]
    memory[_SWING] += 0.02 * swing
    scalars[0] = (level - _START) * 0.75
    scalars[1] = rise * 1.5
    scalars[2] = level - peak
    scalars[3] = clear * 12
    scalars[4] = memory[_SWING]
    scalars[5] = age
    memory[_AGE] = np.minimum(age + 1, _OLD)


def _tone(bins: Real, sums: Real, at: NDArray[np.intp], scalars: Real, scratch: Scratch) -> None:
    """Set how much stands in single bins: the strongest with its neighbours, where, flatness low, middle and high."""
    total = sums.sum(axis=0)
    columns = np.arange(bins.shape[1])
    near = bins[at, columns]
    for step in (-2, -1, 1, 2):
        near = near + bins[np.minimum(np.maximum(at + step, 0), len(bins) - 1), columns]
    rest = np.maximum(total - near, 0.0) + total * (1 / 4096)
    scalars[0] = (_levels(total) - _levels(rest)) * 2
    scalars[1] = np.minimum(at, 127) * 2.0
    # whole numbers, so that the order of their sum does not matter: logarithms in steps of 2^-8
    bits = np.right_shift(bins.view(np.int64), 44, out=scratch.array("windowed", *bins.shape).view(np.int64))
    logs = _group_sums(bits, _BIN_THIRDS)
    means = _group_sums(sums, _BAND_THIRDS) * _PER_BIN
    scalars[2:5] = (_log2(means) - (logs * _PER_BIN / 256 - 1023)) * 32 - 8


def _voice(power: Real, memory: Memory, scalars: Real, scratch: Scratch) -> None:
    """Set how periodic the frame is at 66 to 400 Hz, and how far its period lies from the frame's before.

    The autocorrelation of the lower half of the band, at half the rate.
    """
    streams = len(power)
    magnitude = scratch.array("spectrum", streams, 2 * _LAG_BINS).view(np.complex128)
    magnitude[:] = 0
    voiced = power[:, _VOICED_BINS]
    roots = np.sqrt(voiced, out=scratch.array("ratio", *voiced.shape))
    magnitude.real[:, _VOICED_BINS] = np.rint(roots, out=roots)
    lags = np.fft.irfft(magnitude, out=scratch.array("windowed", streams, 2 * _LAG_BINS - 2))
    ratio = np.divide(lags[:, _LAGS], lags[:, :1] + _REST, out=scratch.array("ratio", streams, len(_LAG_WEIGHT)))
    ratio *= _LAG_WEIGHT
    np.rint(ratio, out=ratio)
    at = np.argmax(ratio, axis=1)
    best = ratio[np.arange(streams), at]
    scalars[0] = best * 0.5
    scalars[1] = np.minimum(np.abs(at - memory[_LAST_PITCH]), 20) * 6.0
    memory[_LAST_PITCH] = at


def _shape(whole: Real, scalars: Real, scratch: Scratch) -> None:
    """Set where in the frame its energy lies: of the differences between samples, in parts of 2.5 ms, and the tip."""
    steps = scratch.array("windowed", len(whole), FRAME)
    np.subtract(whole[:, HISTORY:], whole[:, HISTORY - 1 : -1], out=steps)
    squares = np.square(steps, out=steps).reshape(len(whole), _PARTS, FRAME // _PARTS)
    energy = np.einsum("npk->np", squares)
    parts = _levels(energy.T + _HUSH_PART)
    ordered = np.sort(parts, axis=0)
    total = _levels(energy.sum(axis=1) + _HUSH_PART * _PARTS) - 3 * _STEPS
    tip = _levels(squares.max(axis=(1, 2)) + _HUSH_PART / 20)
    scalars[0] = (total - ordered[4]) * 3
    scalars[1] = (total - ordered[0]) * 2
    scalars[2] = (tip - total) * 2
    scalars[3] = (ordered[7] - ordered[6]) * 3
    scalars[4] = (parts[7] - total) * 2
    scalars[5] = (parts[6] - total) * 2
    scalars[6] = (parts[0] - total) * 2
    scalars[7] = (parts[1] - total) * 2
    scalars[8] = (total - _START) * 0.75


def _lag_weight() -> Real:
    """Return what makes up for the window, which overlaps itself less and less."""
    spectrum = np.abs(np.fft.rfft(_WINDOW, 2 * _SIZE)) ** 2
    shape = np.fft.irfft(spectrum)[::2]
    weight: Real = 512 * np.minimum(np.sqrt(shape[0] / shape[_LAGS]), 1.6)
    return weight


_LAG_WEIGHT: Final = _lag_weight()
