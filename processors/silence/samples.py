"""Pieces → 16-bit samples, and samples → the last block of each unit, whatever the frames they came in.

What an unfinished block has heard so far stands in the state from one poll to the next, so the cut into frames and
polls leaves no trace.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from audio import g711
from audio.frames import Frames
from processors.silence import state as columns
from processors.silence.media import BLOCKS_PER_S, SWAPPED, Numbers, Rows, distinct
from processors.silence.pieces import Pieces
from processors.silence.state import SilenceState
from processors.silence.units import Units
from processors.silence.voices import SIDES
from schemas.symbols import Channels, Codec

Pcm = NDArray[np.int16]

_STEREO: Final = (Channels.EXTERNAL_INTERNAL.code, SWAPPED)
_TABLES: Final = {Codec.PCMU.code: g711.PCMU, Codec.PCMA.code: g711.PCMA}
_DTYPES: Final = {Codec.L16_LE.code: "<i2", Codec.L16_BE.code: ">i2"}


@dataclass(frozen=True, slots=True)
class PieceSamples:
    """The samples of the pieces `index`, one after another: (SIDES, samples); one channel fills the first row.

    `lengths` has one number for each piece there is, 0 for those that have no samples or cannot be decoded.
    """

    pcm: Pcm
    lengths: Numbers

    def sums(self) -> Numbers:
        """Return the sum of each piece's samples, (SIDES, pieces)."""
        found = np.zeros((SIDES, len(self.lengths)), np.int64)
        filled = np.flatnonzero(self.lengths)
        if len(filled):
            lengths = self.lengths[filled]
            length = int(lengths[0])
            if (lengths == length).all():
                found[:, filled] = self.pcm.reshape(SIDES, -1, length).sum(axis=2, dtype=np.int64)
            else:
                found[:, filled] = np.add.reduceat(self.pcm, np.cumsum(lengths) - lengths, axis=1, dtype=np.int64)
        return found


@dataclass(frozen=True, slots=True)
class Lines:
    """The samples of each session in a row: `pcm` has a row per side; those of session i end in front of `ends[i]`."""

    pcm: Pcm
    ends: Numbers


def pcm_of(frames: Frames, rows: Rows, pieces: Pieces) -> PieceSamples:
    """Return the samples of all pieces that can be decoded."""
    lengths = (pieces.end - pieces.start) * (rows.sample_bytes > 0)[pieces.of]
    index = np.flatnonzero(lengths)
    if len(index) == 0:
        return PieceSamples(np.zeros((SIDES, 0), np.int16), lengths)
    of, length = pieces.of[index], lengths[index]
    width = rows.sample_bytes[of]
    begin = frames.payload_start[rows.row[of]] + (pieces.start[index] - rows.position[of]) * width
    coding = frames.codec[rows.row[of]].astype(np.int64) << 8 | frames.channels[rows.row[of]]
    codes = distinct(coding)
    if len(codes) == 1:
        return PieceSamples(_decoded(frames.buffer, begin, length, int(width[0]), codes[0]), lengths)
    pcm = np.zeros((SIDES, int(length.sum())), np.int16)
    place = np.cumsum(length) - length
    for code in codes:
        mine = np.flatnonzero(coding == code)
        found = _decoded(frames.buffer, begin[mine], length[mine], int(width[mine[0]]), code)
        pcm[:, ranges(place[mine], length[mine])] = found
    return PieceSamples(pcm, lengths)


def _decoded(buffer: NDArray[np.uint8], begin: Numbers, length: Numbers, width: int, code: int) -> Pcm:
    """Return the samples of pieces of one codec and layout."""
    codec, channels = code >> 8, code & 0xFF
    size = int(length[0]) * width
    if (length == length[0]).all() and size:
        # every range of this length as a row of a view; picking rows copies each at once
        raw = as_strided(buffer, (len(buffer) - size + 1, size), (1, 1), writeable=False)[begin].reshape(-1)
    else:
        view = buffer.data
        stops = (begin + length * width).tolist()
        raw = np.frombuffer(b"".join([view[a:b] for a, b in zip(begin.tolist(), stops, strict=True)]), np.uint8)
    table = _TABLES.get(codec)
    samples: NDArray[np.generic] = raw.view(_DTYPES[codec]) if table is None else table.take(raw)
    pcm = np.zeros((SIDES, int(length.sum())), np.int16)
    if channels in _STEREO:
        pcm[:] = samples.reshape(-1, SIDES).T[::-1] if channels == SWAPPED else samples.reshape(-1, SIDES).T
    else:
        pcm[0] = samples
    return pcm


def joined(state: SilenceState, slots: Numbers, waiting: Numbers, fresh: Numbers, pcm: Pcm) -> Lines:
    """Put what waits of each session's unfinished block, `waiting` samples, in front of its `fresh` ones in `pcm`."""
    if not waiting.any():
        return Lines(pcm, np.cumsum(fresh))
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
    short = np.flatnonzero(lengths < size)
    if len(short) == 0:
        return _before(line, ends, size)
    found = np.empty((len(ends), size), np.int16)
    whole = np.flatnonzero(lengths >= size)
    if len(whole):
        found[whole] = _before(line, ends[whole], size)
    back = np.arange(-size, 0)
    for index in short.tolist():
        length = int(lengths[index])
        found[index] = line[int(ends[index]) - length :][:length][back % length]
    return found


def _before(line: Pcm, ends: Numbers, size: int) -> Pcm:
    step = line.strides[0]
    rows: Pcm = as_strided(line, (len(line) - size + 1, size), (step, step), writeable=False)[ends - size]
    return rows


def ranges(begins: Numbers, lengths: Numbers) -> Numbers:
    """Return begin, begin + 1, … of each range, one range after another."""
    ends = np.cumsum(lengths)
    steps: Numbers = np.arange(int(lengths.sum())) + np.repeat(begins - (ends - lengths), lengths)
    return steps


@dataclass(frozen=True, slots=True)
class Sound:
    """The samples of a poll's sessions that the voice detector judges: session `slots[i]` is row i of `lines`."""

    slots: Numbers
    lines: Lines
    heads: Numbers

    def frames(self, units: Units, index: Numbers, side: Numbers, rate_hz: int) -> Pcm:
        """Return the last 20 ms of the chosen units, all of one rate, each on its `side`, sides in order."""
        slot, end = units.slot[index], units.end[index]
        rank = np.searchsorted(self.slots, slot)
        ends = self.lines.ends[rank] - (self.heads[rank] - end)
        lengths = end - units.start[index]
        cut = int(np.searchsorted(side, 1))
        first = blocks(self.lines.pcm[0], ends[:cut], lengths[:cut], rate_hz)
        if cut == len(side):
            return first
        return np.concatenate((first, blocks(self.lines.pcm[1], ends[cut:], lengths[cut:], rate_hz)))


def sound_of(state: SilenceState, samples: PieceSamples, rows: Rows, pieces: Pieces, waiting: Numbers) -> Sound:
    """Return the samples of the sessions the voice detector judges, and keep those of their unfinished blocks.

    `waiting` says how many each session of `rows` had kept so far; its row of the state is behind these pieces.
    """
    session = state.session
    all_slots = rows.slot[rows.firsts()]
    chosen = (session[all_slots, columns.VOICED] != 0) & (session[all_slots, columns.ANALYSED] != 0)
    slots = all_slots[chosen]
    rank = np.searchsorted(all_slots, rows.slot[pieces.of])
    fresh = np.bincount(rank, weights=samples.lengths, minlength=len(all_slots)).astype(np.int64)
    pcm = samples.pcm if chosen.all() else samples.pcm[:, np.repeat(chosen[rank], samples.lengths)]
    lines = joined(state, slots, waiting[chosen], fresh[chosen], pcm)
    heads = session[slots, columns.HEAD]
    keep(state, slots, lines, heads - session[slots, columns.BLOCK])
    return Sound(slots, lines, heads)
