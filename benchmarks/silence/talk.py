"""One side of a conversation from clips, and where in it somebody speaks.

Truth comes from the clean voice alone: a 20-ms frame is speech when its level is above the talker's active level less
30 dB and clear of the recording's own noise; pauses of up to 200 ms inside speech are speech.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.silence.corpus import RATE_HZ, Clip, Samples, resampled
from benchmarks.silence.sounds import Chance

FRAME: Final = RATE_HZ // 50
_BELOW_ACTIVE_DB: Final = 30.0
_ABOVE_FLOOR_DB: Final = 6.0
CLOSED_FRAMES: Final = 10
_EDGE: Final = 160
_AS_IT_IS: Final = Fraction(1)

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Talk:
    """A side's clean voice of RMS 1 while it speaks, and its truth per frame."""

    samples: Samples
    speech: Flags


def closed(speech: Flags, longest: int) -> Flags:
    """Fill pauses of up to `longest` frames between speech."""
    out = speech.copy()
    edges = np.flatnonzero(np.diff(speech.astype(np.int8)))
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if not speech[start + 1] and end - start <= longest:
            out[start + 1 : end + 1] = True
    return out


def talk(clips: list[Clip], size: int, chance: Chance, share: float = 0.5, speed: Fraction = _AS_IT_IS) -> Talk:
    """Return a talker who says clips in random order, in turns with pauses between them.

    `share` is about how much of the time the turns take. `speed` changes pitch and all, as a tape would.
    """
    samples = np.zeros(size)
    order = chance.permutation(len(clips))
    at = int(chance.uniform(0.1, 3.0) * RATE_HZ)
    number, left = 0, 0
    while at < size:
        clip = resampled(clips[int(order[number % len(order)])].samples, 1 / speed)
        number += 1
        part = _voiced(clip)[: size - at] / _active_rms(clip) * 10 ** (chance.uniform(-2.5, 2.5) / 20)
        samples[at : at + len(part)] += part
        at += len(part)
        left = int(chance.integers(0, 4)) if left <= 0 else left - 1
        pause = chance.uniform(0.05, 0.6) if left else min(9.0, chance.exponential(3.2 * (1 - share) / 0.5) + 0.5)
        at += int(pause * RATE_HZ)
    frames = size // FRAME
    power = np.mean(samples[: frames * FRAME].reshape(frames, FRAME) ** 2, axis=1)
    return Talk(samples, _truth(power))


def _truth(power: Samples) -> Flags:
    level = 10 * np.log10(power + 1e-12)
    return closed(level > -_BELOW_ACTIVE_DB, CLOSED_FRAMES)


def _active_rms(clip: Samples) -> float:
    size = len(clip) // FRAME * FRAME
    power = np.mean(clip[:size].reshape(-1, FRAME) ** 2, axis=1)
    loud = power[power > power.max() / 10**2.5]
    return float(np.sqrt(loud.mean()))


def _voiced(clip: Samples) -> Samples:
    """Return a clip without what its own truth does not call speech: recorded hiss would be speech without a voice."""
    spectrum = np.fft.rfft(clip)
    spectrum[: int(100 * len(clip) / RATE_HZ)] = 0
    high = np.fft.irfft(spectrum, len(clip))
    frames = -(-len(high) // FRAME)
    padded = np.zeros(frames * FRAME)
    padded[: len(high)] = high
    power = np.mean(padded.reshape(frames, FRAME) ** 2, axis=1)
    floor = np.percentile(power, 4) * 10 ** (_ABOVE_FLOOR_DB / 10)
    level = max(float(_active_rms(high)) ** 2 / 10 ** (_BELOW_ACTIVE_DB / 10), float(floor))
    kept = closed(power > min(level, float(power.max()) / 100), CLOSED_FRAMES)
    gate = np.repeat(kept, FRAME)[: len(clip)].astype(np.float64)
    ramp = np.ones(_EDGE // 2 * 2 + 1) / (_EDGE + 1)
    # what is cut away fades to a thousandth, so that clean scenes are quiet and not dead
    soft: Samples = high * np.maximum(np.convolve(gate, ramp, "same"), 0.001)[: len(high)]
    return soft
