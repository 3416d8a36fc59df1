"""Recordings: Debian's telephone prompts and music on hold, and what espeak-ng and flite say. 8 kHz, one channel.

Packages are fetched with apt-get and unpacked below `build/`, nothing is installed. Samples are in 16-bit units,
without direct current: some prompts were stored with a tenth of full scale of it.
"""

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.silence.sentences import SENTENCES
from benchmarks.silence.split import ESPEAK_VOICES, FLITE_VOICES, MUSIC, Part, part_of

Samples = NDArray[np.float64]

RATE_HZ: Final = 8000
BUILD: Final = Path(__file__).parents[2] / "build" / "silence"

_SPEAKERS: Final = {
    "en_US_f_Allison": ("allison", "en", "asterisk-core-sounds-en-wav"),
    "es_MX_f_Allison": ("allison", "es", "asterisk-core-sounds-es-wav"),
    "fr_CA_f_June": ("june", "fr", "asterisk-core-sounds-fr-wav"),
    "it_IT_m_Carlo": ("carlo", "it", "asterisk-core-sounds-it-wav"),
    "ru_RU_f_IvrvoiceRU": ("ivrvoice", "ru", "asterisk-core-sounds-ru-wav"),
    "it_IT_f_Menardi": ("menardi", "it", "asterisk-prompt-it-menardi-wav"),
}
_MUSIC_PACKAGE: Final = "asterisk-moh-opsound-wav"
_SHORTEST_S: Final = 0.35
_LONGEST_S: Final = 12.0


class Unreachable(RuntimeError):
    """What the set is made of cannot be had here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording of one speaker."""

    speaker: str
    language: str
    name: str
    samples: Samples


def prompts(part: Part, speakers: Iterable[str] = ("allison", "june", "carlo", "ivrvoice", "menardi")) -> list[Clip]:
    """Return the recorded prompts of a part, fetching the packages of these speakers when they are not there yet."""
    wanted = set(speakers)
    clips = []
    for folder, (speaker, language, package) in _SPEAKERS.items():
        if speaker not in wanted:
            continue
        root = _unpacked(package) / "usr/share/asterisk/sounds" / folder
        for path in sorted(root.rglob("*.wav")):
            name = path.relative_to(root).with_suffix("").as_posix()
            if name.startswith(("silence/", "is")) or part_of(speaker, name) is not part:
                continue
            samples = read_wav(path)
            if _SHORTEST_S * RATE_HZ <= len(samples) <= _LONGEST_S * RATE_HZ:
                clips.append(Clip(speaker, language, name, samples - samples.mean()))
    return clips


def music(part: Part) -> list[Clip]:
    """Return the pieces of music of a part."""
    root = _unpacked(_MUSIC_PACKAGE) / "usr/share/asterisk/moh"
    return [Clip("music", "", name, read_wav(root / f"{name}.wav")) for name in MUSIC[part]]


def synthetic(part: Part) -> list[Clip]:
    """Return sentences spoken by espeak-ng and flite."""
    clips = []
    for voice in ESPEAK_VOICES[part]:
        language = voice[:2]
        for number, sentence in enumerate(SENTENCES[language]):
            speed = str(140 + 15 * (number % 4))
            command = [_program("espeak-ng"), "-v", voice, "-s", speed, "-w", "%", sentence]
            clips.append(Clip(f"espeak {voice}", language, str(number), _spoken(command)))
    for voice in FLITE_VOICES[part]:
        for number, sentence in enumerate(SENTENCES["en"]):
            command = [_program("flite"), "-voice", voice, "-t", sentence, "-o", "%"]
            clips.append(Clip(f"flite {voice}", "en", str(number), _spoken(command)))
    return clips


def read_wav(path: Path) -> Samples:
    """Return the first channel of a 16-bit file at 8 kHz, other rates resampled through their spectrum."""
    with wave.open(str(path)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        rate_hz = file.getframerate()
    return resampled(data[:, 0].astype(np.float64), Fraction(RATE_HZ, rate_hz))


def resampled(samples: Samples, ratio: Fraction) -> Samples:
    """Return samples at `ratio` times their rate, band-limited; for whole recordings."""
    if ratio == 1 or not len(samples):
        return samples
    size = len(samples) + 512
    size += -size % ratio.denominator
    spectrum = np.fft.rfft(samples, size)
    out = size * ratio.numerator // ratio.denominator
    bins = np.zeros(out // 2 + 1, np.complex128)
    kept = min(len(bins), len(spectrum))
    bins[:kept] = spectrum[:kept]
    whole: Samples = np.fft.irfft(bins, out) * float(ratio)
    return whole[: int(len(samples) * ratio)]


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed: apt-get install espeak-ng flite"
        raise Unreachable(message)
    return found


def _spoken(command: list[str]) -> Samples:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoken.wav"
        subprocess.run([str(path) if word == "%" else word for word in command], check=True, capture_output=True)
        samples = read_wav(path)
    return samples - samples.mean()


def _unpacked(package: str) -> Path:
    """Return the folder a Debian package is unpacked in, fetching it when it is not there."""
    target = BUILD / "packages" / package
    if target.is_dir():
        return target
    fetched = BUILD / "fetched" / package
    fetched.mkdir(parents=True, exist_ok=True)
    try:
        _download(package, fetched)
        (archive,) = fetched.glob("*.deb")
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        subprocess.run(["dpkg-deb", "-x", str(archive), str(partial)], check=True, capture_output=True)
        partial.rename(target)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", b"") or b""
        message = f"Debian's package {package} cannot be had here ({type(error).__name__}): {detail.decode()[-300:]}"
        raise Unreachable(message) from error
    return target


def _download(package: str, folder: Path) -> None:
    """Fetch one package; where the lists of packages are missing, they are fetched first."""
    command = ["apt-get", "download", package]
    if subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode:
        subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True)
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
