"""The detectors it is compared with, on the same samples: Silero, WebRTC and those of the media-streams document.

They are no part of the product: the benchmark installs them into `build/silence/peers`, and says so where it cannot.
"""

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.silence.corpus import BUILD, RATE_HZ, Unreachable
from benchmarks.silence.scoring import Decisions
from benchmarks.silence.talk import FRAME
from runtime.clock import SystemClock

_FOLDER: Final = BUILD / "peers"
_PINNED: Final = Path(__file__).parent / "requirements-peers.txt"
_WINDOW: Final = 256
_CONTEXT: Final = 32
_THRESHOLD: Final = 0.01
_clock: Final = SystemClock()

Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Peer:
    """A detector by name. `run` takes scenes of one length, (scenes, samples), and returns a decision for each."""

    name: str
    run: Callable[[Samples], list[Decisions]]


def timed(peer: Peer, samples: Samples) -> tuple[list[Decisions], float]:
    """Return a peer's decisions and its µs per 20-ms frame."""
    begin = _clock.monotonic_s()
    found = peer.run(samples)
    return found, (_clock.monotonic_s() - begin) * 1e6 / (samples.size / FRAME)


def installed() -> None:
    """Make the peers importable, installing them when they are not there. Raises `Unreachable`."""
    if not (_FOLDER / "silero_vad").is_dir():
        uv = shutil.which("uv") or str(BUILD.parents[1] / ".uv" / "bin" / "uv")
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(_FOLDER), "-r", str(_PINNED)]
        try:
            subprocess.run([*command, "--python", sys.executable], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            shutil.rmtree(_FOLDER, ignore_errors=True)
            message = (
                f"the peers of {_PINNED.name} cannot be installed here: uv and a package index are needed ({error})"
            )
            raise Unreachable(message) from error
    if str(_FOLDER) not in sys.path:
        sys.path.append(str(_FOLDER))
        importlib.invalidate_caches()


def document(samples: Samples) -> list[Decisions]:
    """Mean absolute value over 32,768 against 0.01, as the document computes it, on decoded samples."""
    return [Decisions(_loudness(scene) >= _THRESHOLD) for scene in samples]


def true_rms(samples: Samples) -> list[Decisions]:
    """The same threshold on the root of the mean square, which the document means."""
    return [Decisions(_rms(scene) >= _THRESHOLD) for scene in samples]


def moving_average(samples: Samples) -> list[Decisions]:
    """The document's advice: the mean of the last five chunks."""
    return [Decisions(_averaged(_loudness(scene)) >= _THRESHOLD) for scene in samples]


def moving_average_rms(samples: Samples) -> list[Decisions]:
    """The mean of the last five chunks of the true RMS."""
    return [Decisions(_averaged(_rms(scene)) >= _THRESHOLD) for scene in samples]


def _frames(scene: Samples) -> NDArray[np.float64]:
    return scene[: len(scene) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)


def _loudness(scene: Samples) -> NDArray[np.float64]:
    loudness: NDArray[np.float64] = np.abs(_frames(scene)).mean(axis=1) / 32_768
    return loudness


def _rms(scene: Samples) -> NDArray[np.float64]:
    rms: NDArray[np.float64] = np.sqrt((_frames(scene) ** 2).mean(axis=1)) / 32_768
    return rms


def _averaged(values: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.cumsum(np.concatenate((np.zeros(5), values)))
    averaged: NDArray[np.float64] = (sums[5:] - sums[:-5]) / np.minimum(np.arange(len(values)) + 1, 5)
    return averaged


def webrtc(mode: int) -> Peer:
    """WebRTC's detector in one of its modes, 0 to 3."""
    module: Any = importlib.import_module("webrtcvad")

    def run(samples: Samples) -> list[Decisions]:
        out = []
        for scene in samples:
            detector, data = module.Vad(mode), scene.astype("<i2").tobytes()
            starts = range(0, len(data) - 2 * FRAME + 1, 2 * FRAME)
            said = [detector.is_speech(data[start : start + 2 * FRAME], RATE_HZ) for start in starts]
            out.append(Decisions(np.array(said, np.bool_)))
        return out

    return Peer(f"WebRTC mode {mode}", run)


class Silero:
    """Silero's network at 8 kHz on onnxruntime, all scenes as one batch, a probability per 32 ms."""

    def __init__(self) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # the package imports torch; its model file does not need it
        model = next(_FOLDER.glob("silero_vad/data/silero_vad.onnx"))
        self._session = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def probabilities(self, samples: Samples) -> NDArray[np.float32]:
        """Return (scenes, windows)."""
        scenes, size = samples.shape
        windows = size // _WINDOW
        sound = np.concatenate((np.zeros((scenes, _CONTEXT), np.int16), samples), axis=1).astype(np.float32) / 32_768
        state = np.zeros((2, scenes, 128), np.float32)
        rate = np.array(RATE_HZ, np.int64)
        out = np.empty((scenes, windows), np.float32)
        for number in range(windows):
            given = sound[:, number * _WINDOW : (number + 1) * _WINDOW + _CONTEXT]
            odds, state = self._session.run(None, {"input": given, "state": state, "sr": rate})
            out[:, number] = odds[:, 0]
        return out

    def run(self, samples: Samples, threshold: float = 0.5) -> list[Decisions]:
        """Return, for each frame, the decision of the window that holds its middle: better for it than the last one."""
        frames = samples.shape[1] // FRAME
        middle = (np.arange(frames) * FRAME + FRAME // 2) // _WINDOW
        said = self.probabilities(samples) >= threshold
        late_ms = (_WINDOW - FRAME) / 2 * 1000 / RATE_HZ
        return [Decisions(scene[np.minimum(middle, len(scene) - 1)], late_ms) for scene in said]


def silero() -> Peer:
    """Silero with its own threshold."""
    model = Silero()
    return Peer("Silero 6, 8 kHz, 0.5", model.run)


def peers() -> list[Peer]:
    """Return all that are compared. Raises `Unreachable` where they cannot be had."""
    installed()
    return [
        Peer("document (mean |x|, 0.01)", document),
        Peer("document, average of 5", moving_average),
        Peer("true RMS 0.01", true_rms),
        Peer("true RMS, average of 5", moving_average_rms),
        webrtc(2),
        webrtc(3),
        silero(),
    ]
