"""Anybody's own set: a folder of WAV files with label files beside them.

`call.wav` (16-bit PCM, mu-law or A-law, any number of channels) and `call.txt` or `call.csv`: a line per stretch of
speech, `start, end, channel`, seconds from the beginning and channels from 0, separated by commas, tabs or blanks; `#`
begins a comment. A channel without a line carries no speech. Rates above 8 kHz are brought down to it.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio.g711 import PCMA, PCMU
from benchmarks.silence.corpus import RATE_HZ, Unreachable, resampled
from benchmarks.silence.scenes import Scene
from benchmarks.silence.talk import FRAME

_PCM, _PCMA, _PCMU = 1, 6, 7


def scenes_in(folder: Path) -> list[Scene]:
    """Return a scene per channel of every WAV file with labels below a folder. Raises `Unreachable` without any."""
    out = []
    for path in sorted(folder.rglob("*.wav")):
        labels = next((path.with_suffix(kind) for kind in (".txt", ".csv") if path.with_suffix(kind).is_file()), None)
        if labels is None:
            print(f"{path}: no {path.stem}.txt or .csv beside it, left out")
            continue
        channels = read(path)
        spoken = stretches(labels.read_text(encoding="utf-8"), len(channels), labels.name)
        for number, samples in enumerate(channels):
            out.append(_scene(f"{path.stem} {number}", samples, spoken[number], path.parent.name or path.stem))
    if not out:
        message = f"{folder}: no WAV file with labels beside it"
        raise Unreachable(message)
    return out


def stretches(text: str, channels: int, name: str) -> list[list[tuple[float, float]]]:
    """Return the stretches of speech of each channel. Raises `ValueError` naming the line that cannot be read."""
    out: list[list[tuple[float, float]]] = [[] for _ in range(channels)]
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        try:
            start, end, channel = float(words[0]), float(words[1]), int(words[2]) if len(words) > 2 else 0
            if not 0 <= start < end or not 0 <= channel < channels:
                raise ValueError  # noqa: TRY301
        except (ValueError, IndexError):
            message = f"{name}, line {number}: not `start, end, channel` with 0 <= channel < {channels}: {line!r}"
            raise ValueError(message) from None
        out[channel].append((start, end))
    return out


def read(path: Path) -> list[NDArray[np.int16]]:
    """Return the channels of a WAV file at 8 kHz. Raises `ValueError` for codings it does not know."""
    data = path.read_bytes()
    at, form, sound = 12, b"", b""
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        form = data[at + 8 : at + 8 + size] if kind == b"fmt " else form
        sound = data[at + 8 : at + 8 + size] if kind == b"data" else sound
        at += 8 + size + size % 2
    coding, channels = int.from_bytes(form[:2], "little"), int.from_bytes(form[2:4], "little")
    rate_hz, bits = int.from_bytes(form[4:8], "little"), int.from_bytes(form[14:16], "little")
    if coding in {_PCMU, _PCMA}:
        samples = (PCMU if coding == _PCMU else PCMA)[np.frombuffer(sound, np.uint8)]
    elif bits == 16 and (coding == _PCM or form[24:26] == b"\x01\x00"):
        samples = np.frombuffer(sound[: len(sound) // 2 * 2], "<i2")
    else:
        message = f"{path.name}: neither 16-bit PCM nor mu-law nor A-law"
        raise ValueError(message)
    columns = samples[: len(samples) // channels * channels].reshape(-1, channels).T
    return [_at_8_khz(np.ascontiguousarray(column), rate_hz) for column in columns]


def _at_8_khz(samples: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
    slower = resampled(samples.astype(np.float64), Fraction(RATE_HZ, rate_hz))
    return np.clip(np.rint(slower), -32768, 32767).astype(np.int16)


def _scene(name: str, samples: NDArray[np.int16], spoken: list[tuple[float, float]], folder: str) -> Scene:
    frames = len(samples) // FRAME
    middle = (np.arange(frames) + 0.5) * FRAME / RATE_HZ
    speech = np.zeros(frames, np.bool_)
    for start, end in spoken:
        speech |= (middle >= start) & (middle < end)
    about = {"folder": folder, "spoiled": "as recorded"}
    return Scene(name, samples[: frames * FRAME], speech, speech.astype(np.int8), about)
