"""Pieces → 16-bit samples, and samples → the last block of each unit, whatever the frames they came in.

What an unfinished block has heard so far stands in the state from one poll to the next, so the cut into frames and
polls leaves no trace.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio.frames import Frames
from audio.vad_frames import ranges
from processors.silence import state as columns
from processors.silence.courses import Courses, firsts
from processors.silence.decoding import Pcm, decoded, ranges_of
from processors.silence.media import BLOCKS_PER_S, Numbers, distinct, some
from processors.silence.pieces import Pieces
from processors.silence.state import SilenceState
from processors.silence.units import Units
from processors.silence.voices import SIDES


@dataclass(frozen=True, slots=True)
class PieceSamples:
    """The samples of the pieces, one after another: (SIDES, samples); one channel fills the first row.

    `fresh` has the number of those of each session.
    """

    pcm: Pcm
    fresh: Numbers


@dataclass(frozen=True, slots=True)
class Lines:
    """The samples of each session in a row: `pcm` has a row per side; those of session i end in front of `ends[i]`."""

    pcm: Pcm
    ends: Numbers


def samples_of(frames: Frames, pieces: Pieces, courses: Courses) -> PieceSamples:
    """Return the samples of all pieces that can be decoded."""
    lengths = pieces.samples
    fresh = np.add.reduceat(lengths, firsts(courses.rank[pieces.of]).nonzero()[0])
    codes = distinct(pieces.coding)
    if len(codes) == 1 and codes[0]:
        return PieceSamples(decoded(frames.buffer, pieces.at, lengths, codes[0]), fresh)
    pcm = np.zeros((SIDES, int(lengths.sum())), np.int16)
    place = lengths.cumsum() - lengths
    for code in codes:
        if code:
            mine = (pieces.coding == code).nonzero()[0]
            found = decoded(frames.buffer, pieces.at[mine], lengths[mine], code)
            pcm[:, ranges(place[mine], lengths[mine])] = found
    return PieceSamples(pcm, fresh)


def joined(state: SilenceState, slots: Numbers, waiting: Numbers, fresh: Numbers, pcm: Pcm) -> Lines:
    """Put what waits of each session's unfinished block, `waiting` samples, in front of its `fresh` ones in `pcm`."""
    if np.count_nonzero(waiting) == 0:
        return Lines(pcm, fresh.cumsum())
    total = waiting + fresh
    ends = np.cumsum(total)
    line = np.empty((SIDES, int(total.sum())), np.int16)
    new = np.ones(line.shape[1], np.bool_)
    old = ranges(ends - total, waiting)
    new[old] = False
    line[:, old] = state.voices.rest[np.repeat(slots, waiting), :, ranges(np.zeros_like(waiting), waiting)].T
    line[:, new] = pcm
    return Lines(line, ends)


def keep(state: SilenceState, slots: Numbers, lines: Lines, left: Numbers) -> None:
    """Keep the last `left` samples of each session: those of its unfinished block."""
    most = int(left.max(initial=0))
    if most == 0:
        return
    state.voices.widen(most)
    at = ranges(lines.ends - left, left)
    state.voices.rest[np.repeat(slots, left), :, ranges(np.zeros_like(left), left)] = lines.pcm[:, at].T


def blocks(line: Pcm, ends: Numbers, lengths: Numbers, rate_hz: int) -> Pcm:
    """Return the block of 20 ms in front of each of `ends`, (blocks, samples).

    Of a block that is shorter, because audio began in it, what there is is repeated: its level and its sound are those
    of the audio, and nothing is made up.
    """
    size = rate_hz // BLOCKS_PER_S
    short = (lengths < size).nonzero()[0]
    if len(short) == 0:
        return ranges_of(line, ends - size, size)
    found = np.empty((len(ends), size), np.int16)
    whole = (lengths >= size).nonzero()[0]
    if len(whole):
        found[whole] = ranges_of(line, ends[whole] - size, size)
    back = np.arange(-size, 0)
    for index in short.tolist():
        length = int(lengths[index])
        found[index] = line[int(ends[index]) - length :][:length][back % length]
    return found


@dataclass(frozen=True, slots=True)
class Sound:
    """The samples of a poll's sessions that the voice detector judges: session `i`, if `voiced`, is row `row[i]`.

    `heads` is where each session's audio ends.
    """

    lines: Lines
    voiced: NDArray[np.bool_]
    row: Numbers
    heads: Numbers

    def frames(self, units: Units, index: Numbers, side: Numbers, rate_hz: int) -> Pcm:
        """Return the last 20 ms of the chosen units, all of one rate, each on its `side`, sides in order."""
        rank, end = units.rank[index], units.end[index]
        ends = self.lines.ends[self.row[rank]] - (self.heads[rank] - end)
        lengths = end - units.start[index]
        cut = int(side.searchsorted(1))
        first = blocks(self.lines.pcm[0], ends[:cut], lengths[:cut], rate_hz)
        if cut == len(side):
            return first
        return np.concatenate((first, blocks(self.lines.pcm[1], ends[cut:], lengths[cut:], rate_hz)))


def sound_of(
    state: SilenceState, courses: Courses, waiting: Numbers, voiced: NDArray[np.bool_], samples: PieceSamples
) -> Sound:
    """Return the samples of the sessions that are `voiced`, and keep those of their unfinished blocks.

    `waiting` says how many each session had kept so far; `courses` has its row of the state behind these `samples`.
    """
    session = courses.session
    chosen = voiced & (session[:, columns.ANALYSED] != 0)
    index = some(chosen.nonzero()[0], len(chosen))
    pcm = samples.pcm
    if isinstance(index, np.ndarray):
        pcm = pcm.compress(chosen.repeat(samples.fresh), axis=1)
    slots, heads = courses.slot[index], session[:, columns.HEAD]
    lines = joined(state, slots, waiting[index], samples.fresh[index], pcm)
    keep(state, slots, lines, (heads - session[:, columns.BLOCK])[index])
    return Sound(lines, chosen, chosen.cumsum() - 1, heads)
