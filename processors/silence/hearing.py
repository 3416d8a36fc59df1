"""Which blocks are active, and which are speech? The only place that decides it.

With `detector` "voice" the trained detector of `audio.vad` answers, for every rate that can be brought down to its own.
Its answer about speech comes with the block behind. Of other rates, and by the other detectors, the level is judged:
what is active is speech then. So that all go the same way, every block is told when the one behind it is complete, or
when the audio stops.

The network holds on to speech over the pauses it was trained to bridge. What lies 36 dB under the loudest blocks of the
last seconds, or near digital silence, is quiet whatever it says, so that a span ends where the voice does. Nor is it
asked any more when such blocks go on: on clean lines that is half of the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.vad import FRAME_SAMPLES, VoiceDetector
from audio.vad_frames import FACTORS, brought_down, tail_samples
from processors.silence import state as columns
from processors.silence.comparison import FixedDetector, MovingAverageDetector
from processors.silence.courses import turns
from processors.silence.detector import Blocks, Detector, LevelDetector
from processors.silence.media import Numbers, distinct
from processors.silence.state import SilenceState
from processors.silence.tuning import Tuning
from processors.silence.voices import SIDES

ACTIVE, SPEECH, HEARD_ACTIVE = 1, 2, 4
"""Bits of a block: what is told of it; and that the detector called it active, whatever its level."""

_QUIET_BIT: Final = 3
"""From here up the bits kept of a block count the quiet ones up to it, in a row, as far as `_SETTLED`."""

ODDS_STEPS: Final = 16
"""Log odds are kept in whole numbers of this part."""

_KEPT: Final = slice(columns.LATE_LEVEL, columns.LOUDEST + 1)
"""LATE_LEVEL, LATE_BITS and LOUDEST, which stand side by side."""

_MOST_ODDS: Final = 8 * ODDS_STEPS
_HUSH: Final = 4096
"""36 dB, as a quotient of mean squares."""

_NOTHING: Final = 107
"""-70 dBFS as a mean square: the least steps of mu-law here and there, and what no voice is heard in."""

_SETTLED: Final = 15
"""Quiet blocks in a row from which on the network is not asked: 300 ms, by which it has let go of what was before."""

_DECAY: Final = 128
"""What a block takes from the loudest: 1.7 dB a second."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Complete blocks of channels: by side, then by session, then by time. `first` is True where a channel begins.

    `sums` are sums of squares over `samples` samples.
    """

    slot: Numbers
    side: Numbers
    first: NDArray[np.bool_]
    sums: Numbers
    samples: Numbers


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What is known of the block in front of each entry: the bits ACTIVE and SPEECH, and log odds of speech."""

    bits: Numbers
    odds: Numbers


def level_detector(tuning: Tuning, name: str) -> Detector:
    """Return what judges by level: the one that was chosen, or the one that stands in for the voice detector."""
    if name == "fixed":
        return FixedDetector()
    if name == "moving_average":
        return MovingAverageDetector()
    return LevelDetector(tuning.on_dbfs, tuning.off_dbfs)


class Hearing:
    """Decides blocks. It keeps nothing between polls but room to work in."""

    def __init__(self, tuning: Tuning) -> None:
        self._levels = [level_detector(tuning.at(place), tuning.detector) for place in range(len(tuning.overrides) + 1)]
        self._voice = VoiceDetector() if tuning.detector == "voice" else None

    def judges(self, rate_hz: int) -> bool:
        """Tell whether the voice detector judges audio of this rate."""
        return self._voice is not None and rate_hz in FACTORS

    def name(self, session: Sequence[int]) -> str:
        """Return name and version of what judges a session, given by its row."""
        return self._voice.name if self._voice is not None and session[columns.VOICED] else self._levels[0].name

    def name_at(self, rate_hz: int) -> str:
        """Return name and version of what judges audio of a rate."""
        return self._voice.name if self._voice is not None and rate_hz in FACTORS else self._levels[0].name

    def by_voice(self, session: Numbers) -> NDArray[np.bool_]:
        """Return True for the sessions the voice detector judges, given by their column VOICED."""
        found: NDArray[np.bool_] = (session != 0) & (self._voice is not None)
        return found

    def decide(
        self, state: SilenceState, entries: Entries, frames: dict[int, tuple[Numbers, NDArray[np.int16]]]
    ) -> Verdicts:
        """Take the entries; return what is told of the blocks in front of them.

        `frames` has, by rate, the entries the voice detector judges and their samples.
        """
        told = Verdicts(np.zeros(len(entries.slot), np.int64), np.zeros(len(entries.slot), np.int64))
        judged = np.zeros(len(entries.slot), np.bool_)
        for rate_hz, (index, samples) in frames.items():
            judged[index] = True
            self._by_voice(state, entries, index, samples, FACTORS[rate_hz], told)
        rest = np.flatnonzero(~judged)
        places = state.place[entries.slot[rest]]
        for place in distinct(places):
            self._by_level(self._levels[place], state, entries, rest[places == place], told)
        return told

    def last(self, state: SilenceState, slot: int, sides: int, samples: int) -> list[int]:
        """Return the bits of a block the audio stops in, `samples` long: there is no frame of it, so it goes on."""
        channel = state.channel[slot, :sides]
        if self.by_voice(state.session[[slot], columns.VOICED])[0]:
            bits: list[int] = (channel[:, columns.LATE_BITS] & (ACTIVE | SPEECH)).tolist()
            return bits
        blocks = Blocks(
            sums=channel[:, columns.CARRY],
            samples=np.full(sides, samples),
            first=np.ones(sides, np.bool_),
            memory=channel[:, columns.MEMORY],
        )
        active = self._levels[int(state.place[slot])].memories(blocks) & 1
        both: list[int] = (active * (ACTIVE | SPEECH)).tolist()
        return both

    @staticmethod
    def _by_level(detector: Detector, state: SilenceState, entries: Entries, index: Numbers, told: Verdicts) -> None:
        slot, side, first = entries.slot[index], entries.side[index], entries.first[index]
        memory = state.channel[slot, side, columns.MEMORY]
        memories = detector.memories(Blocks(entries.sums[index], entries.samples[index], first, memory))
        bits = (memories & 1) * (ACTIVE | SPEECH)
        before = np.empty_like(bits)
        before[1:] = bits[:-1]
        before[first] = state.channel[slot[first], side[first], columns.LATE_BITS]
        told.bits[index] = before
        last = np.append(first[1:], np.True_)
        at = (slot[last], side[last])
        state.channel[(*at, columns.LATE_BITS)] = bits[last]
        state.channel[(*at, columns.MEMORY)] = memories[last]

    def _by_voice(  # noqa: PLR0913, PLR0917 - what a turn needs
        self,
        state: SilenceState,
        entries: Entries,
        index: Numbers,
        samples: NDArray[np.int16],
        factor: int,
        told: Verdicts,
    ) -> None:
        """Step the voice detector: the first block of every channel, then the second ones, and so on."""
        first = entries.first[index]
        level = entries.sums[index] // entries.samples[index]
        for now, _ in turns(first.nonzero()[0], first.cumsum() - 1):
            self._turn(state, entries, index[now], samples[now], factor, (told, level[now]))

    def _turn(  # noqa: PLR0913, PLR0917
        self,
        state: SilenceState,
        entries: Entries,
        index: Numbers,
        samples: NDArray[np.int16],
        factor: int,
        out: tuple[Verdicts, Numbers],
    ) -> None:
        if self._voice is None:  # pragma: no cover - frames are only made for it
            return
        told, level = out
        slot, side = entries.slot[index], entries.side[index]
        stream = slot * SIDES + side
        kept = state.channel.reshape(-1, columns.CHANNEL_COLUMNS)[:, _KEPT]
        late_level, late, peak = kept[stream].T
        peak = peak - peak // _DECAY
        quiet = np.where(_loud(level, peak), 0, np.minimum((late >> _QUIET_BIT) + 1, _SETTLED))
        sound = _at_8_khz(state, stream, samples, factor)
        answers = self._voice.heed(state.voices.vad, stream, sound, quiet < _SETTLED)
        heard = (late & HEARD_ACTIVE > 0) | answers.speech
        peak = np.maximum(peak, np.where(heard, late_level, 0))
        loud = _loud(late_level, peak)
        spoken = answers.speech & loud
        told.bits[index] = (heard & loud) * ACTIVE | spoken * SPEECH
        odds = np.rint(answers.odds * np.float32(ODDS_STEPS))
        told.odds[index] = np.minimum(np.maximum(odds, -_MOST_ODDS), _MOST_ODDS)
        likely = answers.active & _loud(level, peak)
        guess = likely * ACTIVE | (likely & spoken) * SPEECH | answers.active * HEARD_ACTIVE | quiet << _QUIET_BIT
        kept[stream] = np.stack((level, guess, peak), axis=1)


def _loud(level: Numbers, peak: Numbers) -> NDArray[np.bool_]:
    """Return True for mean squares that may be more than quiet, beside the loudest before them."""
    loud: NDArray[np.bool_] = (level > _NOTHING) & (level * _HUSH >= peak)
    return loud


def _at_8_khz(state: SilenceState, stream: Numbers, samples: NDArray[np.int16], factor: int) -> NDArray[np.int16]:
    """Bring blocks of a higher rate down. In front of its first block a stream was as it begins."""
    if factor == 1:
        return samples
    tail = state.voices.tail[stream, : tail_samples(factor)]
    new = ~state.voices.vad.numbers[stream].any(axis=1)
    tail[new] = samples[new, :1]
    down = brought_down(tail, samples, factor)
    state.voices.tail[stream, : tail.shape[1]] = tail
    return down[:, :FRAME_SAMPLES]
