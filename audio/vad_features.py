"""What one 20-ms frame of each of many streams sounds like, as whole numbers a small network can weigh.

One step takes the next frame of every stream: 160 samples at 8 kHz. All streams are columns of the same arrays, and
each operation works on every column alone, so neither the neighbours nor their number can change a result. Sums are
of whole numbers below 2^53, so their order cannot either, and matrices may do them (`audio.vad_matrix`). Logarithms are
made of the bits of a double and a parabola (error below 0.03 dB), because libraries differ in the last bit.

Of the spectrum (256 samples with the 96 of the frame before, Hann window) the bins below 94 Hz are left out: direct
current and most of mains hum never count.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.vad_matrix import Scratch, multiply

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
_BIN_THIRDS: Final = tuple((_BAND_RANGES[low][0], _BAND_RANGES[high - 1][1]) for low, high in _BAND_THIRDS)
_PER_BIN: Final = np.array([[1 / (high - low)] for low, high in _BIN_THIRDS])

_LOW_BIN: Final = 2
_VOICED: Final = 54
"""Bins from 62 Hz up in which voices have their first partials: the lower half of the band."""

_LAGS: Final = range(10, 62)
_LAG_SIZE: Final = 128
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

# Rows of what logarithms are taken of: bands, their sum, thirds of the band per bin, what is left beside a tone, the
# parts of the frame in time, their sum, and the tip.
_TOTAL: Final = BANDS
_THIRDS: Final = slice(BANDS + 1, BANDS + 4)
_GROUPS: Final = BANDS + 4
_BESIDE: Final = _GROUPS
_TIMES: Final = slice(_GROUPS + 1, _GROUPS + 1 + _PARTS)
_ENERGY, _TIP = range(_GROUPS + 1 + _PARTS, _GROUPS + 3 + _PARTS)
_LOGS: Final = _TIP + 1

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

_ONE: Final = np.float32(1)
_RISE: Final = np.float32(0.16)
_FALL: Final = np.float32(0.3)
_RISE_LOW: Final = np.float32(0.8)
_FALL_PEAK: Final = np.float32(-0.06)
_MEAN_PART: Final = np.float32(0.12)
_SPREAD_PART: Final = np.float32(0.06)
_SWING_PART: Final = np.float32(0.02)
_START: Final = np.float32(400 - 128)
_OLD: Final = np.float32(250)
_CLEAR: Final = np.float32(16)
_NEIGHBOURS: Final = np.arange(-2, 3)[:, np.newaxis]


def _groups() -> Real:
    """Return what sums bins to bands, to all, and to thirds of the band: (_GROUPS, bins), of 0 and 1."""
    ranges = (*_BAND_RANGES, (0, _LAST_BIN - _FIRST_BIN), *_BIN_THIRDS)
    at = np.arange(_LAST_BIN - _FIRST_BIN)
    return np.stack([(at >= low) & (at < high) for low, high in ranges]).astype(np.float64)


def _lag_weights() -> tuple[Real, Real]:
    """Return the cosines that turn magnitudes into lag 0 and `_LAGS`, in steps of 2^-15, and each lag's weight.

    The weight makes up for the window, which overlaps itself less and less.
    """
    lags = np.array((0, *_LAGS))
    cosines = np.rint(2**15 * np.cos(2 * np.pi / _LAG_SIZE * np.outer(lags, np.arange(_LOW_BIN, _LOW_BIN + _VOICED))))
    spectrum = np.abs(np.fft.rfft(_WINDOW, 2 * _SIZE)) ** 2
    shape = np.fft.irfft(spectrum)[::2]
    weight = 512 * np.minimum(np.sqrt(shape[0] / shape[list(_LAGS)]), 1.6)
    return cosines, weight[:, np.newaxis]


_GROUP_WEIGHTS: Final = _groups()
_COSINES, _LAG_WEIGHT = _lag_weights()
_LAG_REST: Final = _REST * 2**15 * _LAG_SIZE / 2


def _log2(values: Real) -> Real:
    """Return binary logarithms of positive doubles from their bits."""
    bits = values.view(np.int64).astype(np.float64)
    bits *= 2.0**-52
    bits -= 1023.0
    rest = bits - np.floor(bits)
    rest *= 0.3465 * (1.0 - rest)
    bits += rest
    return bits


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
    out = scratch.singles("features", FEATURES, streams)
    scalars = out[3 * BANDS + BANDS // 4 :]
    values = scratch.array("values", _LOGS, streams)
    power = _power(whole, scratch)
    _voice(power, memory, scalars[11:13], scratch)
    bins = power[_FIRST_BIN - _LOW_BIN :]
    bins += _HUSH
    multiply(_GROUP_WEIGHTS, bins, values[:_GROUPS])
    values[_THIRDS] *= _PER_BIN
    strongest = _beside(bins, values)
    _times(whole, values, scratch)
    logs = _log2(values)
    scalars[8:11] = (logs[_THIRDS] - _mean_logs(bins, scratch)) * 32 - 8
    levels = np.rint(np.multiply(logs, _STEPS, out=logs), out=logs)
    scalars[6] = (levels[_TOTAL] - levels[_BESIDE]) * 2
    scalars[7] = np.minimum(strongest, 127) * 2
    _track(levels[: BANDS + 1].astype(np.float32), memory, out, scalars)
    _shape(levels, scalars[13:22])
    np.rint(out, out=out)
    np.maximum(out, np.float32(-LIMIT), out=out)
    return np.minimum(out, np.float32(LIMIT), out=out)


def _power(whole: Real, scratch: Scratch) -> Real:
    """Return the power of each bin from `_LOW_BIN` on, (bins, streams), as whole numbers."""
    windowed = np.multiply(whole, _WINDOW, out=scratch.array("windowed", *whole.shape))
    parts = scratch.array("spectrum", len(whole), _SIZE + 2)
    np.fft.rfft(windowed, out=parts.view(np.complex128))
    np.square(parts, out=parts)
    first, last = 2 * _LOW_BIN, 2 * _LAST_BIN
    power = scratch.array("power", _LAST_BIN - _LOW_BIN, len(whole))
    np.add(parts[:, first:last:2].T, parts[:, first + 1 : last : 2].T, out=power)
    return np.rint(power, out=power)


def _voice(power: Real, memory: Memory, scalars: Memory, scratch: Scratch) -> None:
    """Set how periodic the frame is at 66 to 400 Hz, and how far its period lies from the frame's before.

    The autocorrelation of the lower half of the band, at half the rate, of magnitudes: it is flatter than of powers.
    """
    streams = power.shape[1]
    roots = np.sqrt(power[:_VOICED], out=scratch.array("windowed", _VOICED, streams))
    np.rint(roots, out=roots)
    lags = scratch.array("spectrum", len(_COSINES), streams)
    multiply(_COSINES, roots, lags)
    ratio = lags[1:]
    ratio /= lags[0] + _LAG_REST
    ratio *= _LAG_WEIGHT
    np.rint(ratio, out=ratio)
    at = np.argmax(ratio, axis=0)
    scalars[0] = ratio[at, np.arange(streams)] * 0.5
    scalars[1] = np.minimum(np.abs(at - memory[_LAST_PITCH]), 20) * 6
    memory[_LAST_PITCH] = at


def _beside(bins: Real, values: Real) -> NDArray[np.intp]:
    """Set what is left beside the strongest bin and its neighbours; return which it is."""
    strongest: NDArray[np.intp] = np.argmax(bins, axis=0)
    near = np.minimum(np.maximum(strongest + _NEIGHBOURS, 0), len(bins) - 1)
    total = values[_TOTAL]
    left = total - bins[near, np.arange(bins.shape[1])].sum(axis=0)
    values[_BESIDE] = np.maximum(left, 0.0) + total * (1 / 4096)
    return strongest


def _mean_logs(bins: Real, scratch: Scratch) -> Real:
    """Return the mean logarithm of the bins in each third: flat where it is near the logarithm of their mean.

    Logarithms in steps of 2^-8 are whole numbers, so that the order of their sum does not matter.
    """
    bits = np.right_shift(bins.view(np.int64), 44, out=scratch.array("windowed", *bins.shape).view(np.int64))
    sums = np.empty((len(_BIN_THIRDS), bins.shape[1]))
    for row, (low, high) in zip(sums, _BIN_THIRDS, strict=True):
        np.copyto(row, np.add.reduce(bits[low:high], axis=0))
    sums *= _PER_BIN / 256
    sums -= 1023
    return sums


def _times(whole: Real, values: Real, scratch: Scratch) -> None:
    """Set where in the frame its energy lies: of the differences between samples, in parts of 2.5 ms, and the tip."""
    streams = len(whole)
    line, room = whole.reshape(-1), scratch.array("windowed", streams, _SIZE)
    steps = room.reshape(-1)[1:]
    # one run over all rows; what leads from one to the next is not looked at
    np.subtract(line[1:], line[:-1], out=steps)
    np.square(steps, out=steps)
    squares = room[:, HISTORY:]
    energy = np.einsum("npk->pn", squares.reshape(streams, _PARTS, FRAME // _PARTS))
    np.add(energy, _HUSH_PART, out=values[_TIMES])
    values[_ENERGY] = values[_TIMES].sum(axis=0)
    np.add(squares.max(axis=1), _HUSH_PART / 20, out=values[_TIP])


def _track(levels: Memory, memory: Memory, out: Memory, scalars: Memory) -> None:
    """Set the features of level against what was before, and follow it: floor, mean, spread, peak."""
    bands, level = levels[:BANDS], levels[_TOTAL]
    age = memory[_AGE]
    new = age == 0
    floor, mean, spread = memory[_FLOOR], memory[_MEAN], memory[_SPREAD]
    if new.any():
        np.copyto(floor, np.minimum(bands, _START), where=new)
        np.copyto(mean, bands, where=new)
        np.copyto(memory[_LOW], np.minimum(level, _START + 16), where=new)
        np.copyto(memory[_PEAK], np.maximum(level, _START), where=new)
    change, gap = bands - mean, bands - floor
    np.multiply(gap, np.float32(1.5), out=out[:BANDS])
    np.subtract(bands, level - 24, out=out[BANDS : 2 * BANDS])
    np.multiply(change, np.float32(1.5), out=out[2 * BANDS : 3 * BANDS])
    mean += _MEAN_PART * change
    spread += _SPREAD_PART * (change * change - spread)
    deviation = np.rint(np.sqrt(spread) * 16).reshape(BANDS // 4, 4, -1)
    np.multiply(deviation.sum(axis=1), np.float32(0.125), out=out[3 * BANDS : 3 * BANDS + BANDS // 4])
    floor += np.minimum(np.maximum(gap, 0), _RISE) + np.minimum(gap, 0) * _FALL
    low, peak = memory[_LOW], memory[_PEAK]
    rise, fall = level - low, level - peak
    low += np.where(rise < 0, rise * _FALL, np.minimum(rise, _RISE_LOW))
    peak += np.where(fall > 0, fall * _FALL, np.maximum(fall, _FALL_PEAK))
    swing = memory[_SWING]
    swing += _SWING_PART * (np.abs(level - low) - swing)
    scalars[0] = (level - _START) * np.float32(0.75)
    scalars[1] = rise * np.float32(1.5)
    scalars[2] = level - peak
    scalars[3] = np.add.reduce(gap > _CLEAR, axis=0, dtype=np.float32) * 12
    scalars[4] = swing
    scalars[5] = age
    memory[_AGE] = np.minimum(age + _ONE, _OLD)


def _shape(levels: Real, scalars: Memory) -> None:
    """Set how the frame's energy is spread over its parts: clicks fill few of them, a voice's pulses all."""
    parts, tip = levels[_TIMES], levels[_TIP]
    total = levels[_ENERGY] - 3 * _STEPS
    ordered = np.sort(parts, axis=0)
    scalars[0] = (total - ordered[4]) * 3
    scalars[1] = (total - ordered[0]) * 2
    scalars[2] = (tip - total) * 2
    scalars[3] = (ordered[7] - ordered[6]) * 3
    scalars[4:8] = (parts[[7, 6, 0, 1]] - total) * 2
    scalars[8] = (total - float(_START)) * 0.75
