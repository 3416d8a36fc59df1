"""Noise and tones as 8-kHz samples of RMS 1 (tones: while they sound). Everything is drawn from the generator given."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
Chance = np.random.Generator

RATE_HZ: Final = 8000
DTMF_LOW_HZ: Final = (697.0, 770.0, 852.0, 941.0)
DTMF_HIGH_HZ: Final = (1209.0, 1336.0, 1477.0, 1633.0)


def unit(samples: Samples) -> Samples:
    """Scale to RMS 1; silence stays silence."""
    rms = np.sqrt(np.mean(samples * samples))
    return samples / rms if rms > 0 else samples


def coloured(size: int, chance: Chance, exponent: float, low_hz: float = 20, high_hz: float = 4000) -> Samples:
    """Return noise whose power falls with frequency to this exponent: 0 white, 1 pink, 2 brown."""
    bins = np.fft.rfft(chance.standard_normal(size))
    hz = np.fft.rfftfreq(size, 1 / RATE_HZ)
    shape = np.maximum(hz, low_hz) ** (-exponent / 2) * (hz >= low_hz) * (hz <= high_hz)
    return unit(np.fft.irfft(bins * shape, size))


def slow(size: int, chance: Chance, period_s: float) -> Samples:
    """Return a smooth random curve of mean 0 and deviation 1, with bends about every `period_s`."""
    knots = chance.standard_normal(max(4, int(size / RATE_HZ / period_s) + 4))
    at = np.arange(size) / (RATE_HZ * period_s)
    left = at.astype(np.int64)
    weight = 0.5 - 0.5 * np.cos(np.pi * (at - left))
    return knots[left] * (1 - weight) + knots[left + 1] * weight


def street(size: int, chance: Chance) -> Samples:
    """Traffic: a low rumble, cars that pass with a swelling band of noise, now and then a horn."""
    out = coloured(size, chance, 1.6) * 10 ** (slow(size, chance, 2.5) * 2.5 / 20)
    at = np.arange(size) / RATE_HZ
    for _ in range(max(1, int(size / RATE_HZ / 7))):
        middle, width = chance.uniform(0, size / RATE_HZ), chance.uniform(1.0, 2.5)
        swell = np.exp(-0.5 * ((at - middle) / width) ** 2)
        out += coloured(size, chance, 0.8, 100, chance.uniform(900, 2500)) * swell * chance.uniform(0.8, 2.0)
    if chance.random() < 0.5:
        start, length = chance.uniform(0, size / RATE_HZ), chance.uniform(0.3, 0.8)
        sounding = (at >= start) & (at < start + length)
        base = chance.uniform(330, 480)
        out += sum(np.sin(2 * np.pi * base * part * at) / part for part in (1, 1.26, 2, 3)) * sounding
    return unit(out)


def fan(size: int, chance: Chance) -> Samples:
    """Ventilator: filtered noise with a slow beat and a few weak tones of the blades."""
    at = np.arange(size) / RATE_HZ
    blades = chance.uniform(70, 180)
    air = coloured(size, chance, 1.0, 60, chance.uniform(1500, 3000))
    air *= 1 + 0.15 * np.sin(2 * np.pi * chance.uniform(0.5, 2) * at)
    drift = 2 * np.pi * np.cumsum(blades * (1 + 0.002 * slow(size, chance, 1.0))) / RATE_HZ
    tones = sum(np.sin(part * drift + chance.uniform(0, 6)) * chance.uniform(0.1, 0.5) for part in range(1, 7))
    return unit(air + 0.5 * tones)


def hum(size: int, chance: Chance) -> Samples:
    """Mains: 50 or 60 Hz and its harmonics over a little hiss."""
    at = np.arange(size) / RATE_HZ
    base = 50.0 if chance.random() < 0.6 else 60.0
    series = sum(
        np.sin(2 * np.pi * base * part * at + chance.uniform(0, 6)) * chance.uniform(0.2, 1) / part**0.7
        for part in range(1, 16)
    )
    return unit(unit(np.asarray(series)) + 0.1 * coloured(size, chance, 0.5))


def clicks(size: int, chance: Chance) -> Samples:
    """Keys: short decaying bursts, a press and a softer release, in runs of typing with rests."""
    out = np.zeros(size)
    at, run_ends = 0.0, 0.0
    while at < size / RATE_HZ:
        if at >= run_ends:
            at += chance.exponential(0.7)
            run_ends = at + chance.uniform(0.5, 5)
        loud = chance.uniform(0.4, 1.0)
        for part, strength in ((0.0, 1.0), (chance.uniform(0.04, 0.11), chance.uniform(0.1, 0.6))):
            _burst(out, at + part, loud * strength, chance)
        at += chance.uniform(0.08, 0.4)
    return unit(out)


def _burst(out: Samples, at_s: float, strength: float, chance: Chance) -> None:
    length = int(RATE_HZ * chance.uniform(0.004, 0.04))
    start = int(at_s * RATE_HZ)
    step = np.arange(min(length, max(0, len(out) - start)))
    decay = np.exp(-5 * step / length)
    ring = np.sin(2 * np.pi * chance.uniform(400, 3000) * step / RATE_HZ) * chance.uniform(0, 1)
    out[start : start + len(step)] += strength * decay * (chance.standard_normal(len(step)) + ring)


def crackle(size: int, chance: Chance) -> Samples:
    """A bad line: impulses of one to four samples, thick and thin in turns, of very different strength."""
    rate = 40 * 10 ** (slow(size, chance, 0.7) * 0.5)
    hits = np.flatnonzero(chance.random(size) < rate / RATE_HZ)
    out = np.zeros(size + 4)
    for hit in hits.tolist():
        width = int(chance.integers(1, 5))
        out[hit : hit + width] += chance.standard_normal() * 10 ** (chance.standard_normal() * 0.35)
    return unit(out[:size] + 1e-4 * chance.standard_normal(size))


def comfort(size: int, chance: Chance) -> Samples:
    """Comfort noise: white noise through a gentle fixed filter, its level updated in steps."""
    out = coloured(size, chance, chance.uniform(0, 1.2), 100, chance.uniform(2500, 3900))
    steps = np.repeat(chance.standard_normal(size // 1600 + 1), 1600)[:size]
    return unit(out * 10 ** (steps * 0.7 / 20))


NOISES: Final[dict[str, Callable[[int, Chance], Samples]]] = {
    "white": lambda size, chance: coloured(size, chance, 0),
    "pink": lambda size, chance: coloured(size, chance, 1),
    "brown": lambda size, chance: coloured(size, chance, 2, 60),
    "street": street,
    "fan": fan,
    "hum": hum,
    "clicks": clicks,
    "crackle": crackle,
    "comfort": comfort,
}


def cadence(size: int, tones_hz: tuple[float, ...], on_off_s: tuple[float, ...], chance: Chance) -> Samples:
    """Return tones that sound and rest in turns, starting somewhere in the pattern, with edges of 5 ms."""
    at = np.arange(size) / RATE_HZ
    period = sum(on_off_s)
    phase = (at + chance.uniform(0, period)) % period
    sounding = np.zeros(size)
    edge = 0.0
    for number, length in enumerate(on_off_s):
        if number % 2 == 0:
            sounding[(phase >= edge) & (phase < edge + length)] = 1
        edge += length
    ramp = np.convolve(sounding, np.full(41, 1 / 41), "same")
    tones = sum(np.sin(2 * np.pi * hz * at + chance.uniform(0, 6)) for hz in tones_hz)
    return np.asarray(tones) * ramp * np.sqrt(2 / len(tones_hz))


def ringback(size: int, chance: Chance) -> Samples:
    """Return the tone a caller hears while it rings, of one of four countries."""
    kinds = (
        ((425.0,), (1.0, 4.0)),
        ((440.0, 480.0), (2.0, 4.0)),
        ((400.0, 450.0), (0.4, 0.2, 0.4, 2.0)),
        ((440.0,), (1.7, 3.3)),
    )
    return cadence(size, *kinds[int(chance.integers(len(kinds)))], chance)


def busy(size: int, chance: Chance) -> Samples:
    """Return a busy or congestion tone."""
    kinds = (
        ((425.0,), (0.48, 0.48)),
        ((480.0, 620.0), (0.5, 0.5)),
        ((425.0,), (0.24, 0.24)),
        ((400.0,), (0.375, 0.375)),
        ((425.0,), (0.2, 0.2, 0.2, 0.6)),
    )
    return cadence(size, *kinds[int(chance.integers(len(kinds)))], chance)


def dtmf(size: int, chance: Chance) -> Samples:
    """Return keys of 60 to 250 ms with rests between them and longer ones between numbers."""
    out = np.zeros(size)
    at = chance.uniform(0.2, 1.0)
    while at < size / RATE_HZ - 0.5:
        length = int(RATE_HZ * chance.uniform(0.06, 0.25))
        start = int(at * RATE_HZ)
        step = np.arange(length) / RATE_HZ
        low, high = chance.choice(DTMF_LOW_HZ), chance.choice(DTMF_HIGH_HZ)
        out[start : start + length] = np.sin(2 * np.pi * low * step) + np.sin(2 * np.pi * high * step)
        at += length / RATE_HZ + (chance.uniform(0.05, 0.3) if chance.random() < 0.85 else chance.uniform(1, 3))
    return out
