"""Is it speech, and does anybody mean to be heard? Two answers for each 20-ms frame of many streams at once.

A stream is one channel of one session, 8 kHz. `step` takes the next frame of any choice of streams, all of them in one
go of numpy; the answers are the same for any grouping, because every operation works on each stream alone (see
`audio.vad_features` and `audio.vad_network`). What a stream must remember is a row of numbers, so a state is copied,
packed and restored like any array. Rows of zeros are streams that have not begun.

`speech`: a voice near the telephone; music, tones, keys, crackle, babble of others and line noise are none.
`active`: speech, music or a tone; the opposite of quiet, whatever noise the line has.
`speech` is about the frame `delay_frames` before the one given, because knowing what follows makes the answer better;
`active` about the one given, and true where either is.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from audio.vad_features import FRAME, HISTORY, MEMORY, extract
from audio.vad_matrix import Scratch
from audio.vad_network import DELAYS, UNITS, Weights, advance, trained

FRAME_SAMPLES: Final = FRAME
RATE_HZ: Final = 8000
DELAY_FRAMES: Final = 1
"""How many frames after a frame its answers are known, where nothing else is chosen: 0, 1 or 2."""

NUMBERS: Final = MEMORY + UNITS + 2
_SPEECH, _ACTIVE = NUMBERS - 2, NUMBERS - 1
_ON: Final = np.float32(0.3)
_OFF: Final = np.float32(-0.7)
_NEVER: Final = np.float32(-8)
_ACTIVE_HEAD: Final = DELAYS


@dataclass(slots=True)
class VadState:
    """What streams remember: the end of their last frame and `NUMBERS` numbers, a row per stream."""

    history: NDArray[np.int16]
    numbers: NDArray[np.float32]

    @classmethod
    def new(cls, streams: int) -> "VadState":
        """Return the state of streams that have not begun."""
        return cls(np.zeros((streams, HISTORY), np.int16), np.zeros((streams, NUMBERS), np.float32))


@dataclass(frozen=True, slots=True)
class Answers:
    """Per stream; `odds` are the log odds of speech, before hysteresis: 0 is even, 2.2 nine to one."""

    speech: NDArray[np.bool_]
    active: NDArray[np.bool_]
    odds: NDArray[np.float32]

    @classmethod
    def quiet(cls, streams: int) -> Self:
        """Return what is said of quiet where nobody asked: no speech, beyond doubt."""
        speech, active = np.zeros((2, streams), np.bool_)
        return cls(speech, active, np.full(streams, _NEVER))


class VoiceDetector:
    """The detector with its weights. What it keeps between steps is no memory but room to work in: one per thread.

    `delay_frames` 0, 1 or 2 trades quickness for quality; two detectors of different delay need states of their own.
    """

    name = "voice-1"

    def __init__(self, delay_frames: int = DELAY_FRAMES, weights: Weights | None = None) -> None:
        if not 0 <= delay_frames < DELAYS:
            message = f"delay_frames is {delay_frames}, not 0 to {DELAYS - 1}"
            raise ValueError(message)
        self.delay_frames = delay_frames
        self._weights = trained() if weights is None else weights
        self._scratch = Scratch()

    def step(self, state: VadState, streams: NDArray[np.intp] | slice, samples: NDArray[np.int16]) -> Answers:
        """Bring the chosen rows of `state` one frame on. `samples` is (streams, FRAME_SAMPLES); no row twice."""
        scratch, count = self._scratch, len(samples)
        numbers = scratch.singles("numbers", NUMBERS, count)
        numbers[:] = state.numbers[streams].T
        history = state.history[streams].copy()
        features = extract(history, numbers[:MEMORY], samples, scratch)
        odds = advance(self._weights, numbers[MEMORY : MEMORY + UNITS], features, scratch)
        speech = odds[self.delay_frames] > np.where(numbers[_SPEECH] > 0, _OFF, _ON)
        active = (odds[_ACTIVE_HEAD] > np.where(numbers[_ACTIVE] > 0, _OFF, _ON)) | speech
        numbers[_SPEECH] = speech
        numbers[_ACTIVE] = active
        state.numbers[streams] = numbers.T
        state.history[streams] = history
        return Answers(speech, active, odds[self.delay_frames])

    def heed(
        self, state: VadState, streams: NDArray[np.intp], samples: NDArray[np.int16], heeded: NDArray[np.bool_]
    ) -> Answers:
        """Step the rows that are `heeded`; of the others it is known that they are quiet.

        A frame passed over leaves a stream as it was, but for the samples the next frame's spectrum begins with.
        """
        if heeded.all():
            return self.step(state, streams, samples)
        index = np.flatnonzero(heeded)
        answers = Answers.quiet(len(streams))
        if len(index):
            said = self.step(state, streams[index], samples[index])
            answers.speech[index], answers.active[index], answers.odds[index] = said.speech, said.active, said.odds
        rest = np.flatnonzero(~heeded)
        state.history[streams[rest]] = samples[rest, FRAME_SAMPLES - HISTORY :]
        return answers

    def run(
        self, state: VadState, rows: NDArray[np.intp], frames: NDArray[np.int16]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32]]:
        """Take frames of any streams, each stream's in the order of time; return speech, active and odds of each.

        `rows` says whose frame each is, as `audio.vad_frames.assemble` returns them. The first frames of all streams
        are one step, then the second ones, and so on.
        """
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        begins = np.flatnonzero(np.diff(ordered, prepend=-1))
        turn = np.empty(len(rows), np.int64)
        turn[order] = np.arange(len(rows)) - np.repeat(begins, np.diff(begins, append=len(rows)))
        speech, active = np.empty((2, len(rows)), np.bool_)
        odds = np.empty(len(rows), np.float32)
        for number in range(int(turn.max(initial=-1)) + 1):
            now = np.flatnonzero(turn == number)
            answers = self.step(state, rows[now], frames[now])
            speech[now], active[now], odds[now] = answers.speech, answers.active, answers.odds
        return speech, active, odds
