"""What lines and codecs do to samples: G.711 and GSM round trips, holes and their concealment, gain control, echo."""

import importlib
import importlib.util
import io
from functools import cache

import numpy as np
from numpy.typing import NDArray

from audio.g711 import PCMA, PCMU
from benchmarks.silence.corpus import RATE_HZ, Samples
from benchmarks.silence.sounds import Chance, slow

_FRAME = RATE_HZ // 50


def round_trip(samples: Samples, codec: str) -> NDArray[np.int16]:
    """Return what is left of the samples behind `pcmu`, `pcma`, `gsm` (then mu-law) or `l16`."""
    linear = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    if codec == "gsm":
        linear = _gsm(linear)
    if codec == "l16":
        return linear
    table = PCMA if codec == "pcma" else PCMU
    ordered = np.unique(table)
    edges = (ordered[1:].astype(np.int32) + ordered[:-1]) / 2
    nearest: NDArray[np.int16] = ordered[np.searchsorted(edges, linear)]
    return nearest


@cache
def has_gsm() -> bool:
    """Tell whether the library that knows GSM is there."""
    return importlib.util.find_spec("soundfile") is not None


def _gsm(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    soundfile = importlib.import_module("soundfile")
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format="WAV", subtype="GSM610")
    file.seek(0)
    decoded: NDArray[np.int16] = soundfile.read(file, dtype="int16")[0]
    out = np.zeros(len(samples), np.int16)
    out[: min(len(out), len(decoded))] = decoded[: len(out)]
    return out


def lossy(samples: Samples, chance: Chance, loss_ratio: float, *, repeat: bool) -> Samples:
    """Lose 20-ms packets in bursts; holes are digital silence, or the last 20 ms repeated and faded out in 60 ms."""
    out = samples.copy()
    lost, run = False, 0
    for start in range(0, len(out) - _FRAME + 1, _FRAME):
        lost = chance.random() < (0.5 if lost else loss_ratio / 2)
        run = run + 1 if lost else 0
        if not lost or start == 0:
            continue
        gain = max(0.0, 1.0 - 0.33 * (run - 1)) if repeat else 0.0
        out[start : start + _FRAME] = gain * out[start - _FRAME : start]
    return out


def faded(samples: Samples, chance: Chance, swing_db: float) -> Samples:
    """Turn a gain up and down slowly, by this deviation."""
    gain: Samples = samples * 10 ** (np.clip(slow(len(samples), chance, 3.0), -2, 2) * swing_db / 20)
    return gain


def gain_controlled(samples: Samples, target: float, most_db: float) -> Samples:
    """Apply a gain control that pulls the level to `target`: fast down, slow up, so noise swells in pauses."""
    frames = len(samples) // _FRAME
    power = np.mean(samples[: frames * _FRAME].reshape(frames, _FRAME) ** 2, axis=1)
    gain_db, gains = 0.0, np.ones(frames + 1)
    for number, frame in enumerate(np.sqrt(power).tolist()):
        wanted = min(most_db, max(-most_db, 20 * np.log10(target / max(frame, 1.0))))
        gain_db += (wanted - gain_db) * (0.3 if wanted < gain_db else 0.01)
        gains[number + 1] = 10 ** (gain_db / 20)
    at = np.arange(len(samples)) / _FRAME
    controlled: Samples = samples * np.interp(at, np.arange(frames + 1), gains)
    return controlled


def echo_of(other: Samples, chance: Chance, loss_db: float) -> Samples:
    """Return the other side's voice as a line echoes it: late, dulled, `loss_db` weaker."""
    delay = int(RATE_HZ * chance.uniform(0.02, 0.25))
    path = chance.standard_normal(48) * np.exp(-np.arange(48) / 10)
    path /= np.sqrt(np.sum(path * path))
    echoed = np.convolve(np.concatenate((np.zeros(delay), other))[: len(other)], path)[: len(other)]
    quieter: Samples = echoed * 10 ** (-loss_db / 20)
    return quieter
