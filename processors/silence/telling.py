"""Complete blocks → what is told of them, one block late: the voice detector needs the one behind.

The block that waits stands in the state between polls; when the audio stops, `breaks` tells of it without another.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from processors.silence import state as columns
from processors.silence.active_level import follow
from processors.silence.courses import Courses, ends, firsts
from processors.silence.hearing import ACTIVE, SPEECH, Entries, Hearing, Verdicts
from processors.silence.media import SIDES_OF, Numbers, distinct, some
from processors.silence.samples import Sound
from processors.silence.state import SilenceState
from processors.silence.units import Units
from processors.silence.voices import SIDES

_HEARD: Final = slice(columns.HEARD_SUM, columns.HEARD_ODDS + 1)
_STEREO: Final = np.array([len(SIDES_OF.get(layout, ("",))) > 1 for layout in range(128)])


@dataclass(frozen=True, slots=True)
class Channels:
    """Blocks by channel: by side, then by session, then by time. `unit` says which of `Units` each is, on its `side`.

    `row` is the channel's row, sessions times `SIDES`. `first` is True where a channel begins, at `begin`; it ends with
    its `last` block, and `place` says which channel a block is of. The first `sessions` of them are of the first side.
    """

    unit: Numbers
    side: Numbers
    row: Numbers
    first: NDArray[np.bool_]
    begin: Numbers
    last: Numbers
    place: Numbers
    sessions: int

    @classmethod
    def of(cls, courses: Courses, rank: Numbers) -> "Channels":
        """Return the channels of blocks, given by their sessions."""
        stereo = _STEREO[courses.session[:, columns.LAYOUT]]
        second, first = stereo[rank].nonzero()[0], firsts(rank)
        unit = np.concatenate((np.arange(len(rank)), second))
        side = np.zeros(len(unit), np.int64)
        side[len(rank) :] = 1
        first = np.concatenate((first, first[second]))
        begin = first.nonzero()[0]
        last, place = ends(begin, len(unit)), first.cumsum() - 1
        return cls(unit, side, rank[unit] * SIDES + side, first, begin, last, place, int(begin.searchsorted(len(rank))))

    def sums(self, units: Units) -> Numbers:
        """Return the sum of squares of each."""
        count = units.sums.shape[1]
        return np.concatenate((units.sums[0], units.sums[1][self.unit[count:]]))


@dataclass(frozen=True, slots=True)
class Judged:
    """Complete blocks by channel, their sums of squares and samples, and the verdicts on those in front of them."""

    channels: Channels
    sums: Numbers
    samples: Numbers
    verdicts: Verdicts


@dataclass(frozen=True, slots=True)
class Told:
    """Blocks and what is told of them: the bits ACTIVE and SPEECH for each channel of each.

    `before` (2, blocks) are the channel's sums in front of it: of squares, and of log odds times samples.
    """

    units: Units
    channels: Channels
    bits: Numbers
    before: Numbers


def judge(state: SilenceState, hearing: Hearing, courses: Courses, units: Units, sound: Sound | None) -> Judged:
    """Judge the complete blocks of each channel."""
    channels = Channels.of(courses, units.rank)
    unit, side = channels.unit, channels.side
    rank = units.rank[unit]
    sums, samples = channels.sums(units), (units.end - units.start)[unit]
    frames = {}
    if sound is not None:
        rates = (courses.session[:, columns.RATE] * sound.voiced)[rank]
        for rate_hz in distinct(rates):
            if rate_hz:
                index = (rates == rate_hz).nonzero()[0]
                frames[rate_hz] = (index, sound.frames(units, unit[index], side[index], rate_hz))
    entries = Entries(courses.slot[rank], side, channels.first, sums, samples)
    return Judged(channels, sums, samples, hearing.decide(state, entries, frames))


def tell(courses: Courses, channel: Numbers, units: Units, judged: Judged) -> Told | None:
    """Return what is told of the blocks in front of complete ones, None where there are none.

    `channel` has the rows of the channels of `courses`.
    """
    session, channels = courses.session, judged.channels
    flat = channel.reshape(-1, columns.CHANNEL_COLUMNS)
    follow(flat, channels.row, (channels.begin, channels.place), judged.sums, judged.samples)
    opening, closing = channels.begin[: channels.sessions], channels.last[: channels.sessions]
    who = some(units.rank[opening], len(session))
    start, sums = np.empty_like(units.start), np.empty_like(units.sums)
    start[1:], sums[:, 1:] = units.start[:-1], units.sums[:, :-1]
    start[opening], sums[:, opening] = session[who, columns.LATE], channel[who, :, columns.LATE_SUM].T
    session[who, columns.LATE], channel[who, :, columns.LATE_SUM] = units.start[closing], units.sums[:, closing].T
    told = Units(units.rank, units.row, start, units.start, sums)
    bits, odds = judged.verdicts.bits & (ACTIVE | SPEECH), judged.verdicts.odds
    valid = start < units.start
    if np.count_nonzero(valid) < len(valid):
        told, chosen = told.only(valid), valid[channels.unit]
        channels, bits, odds = Channels.of(courses, told.rank), bits[chosen], odds[chosen]
        if len(bits) == 0:
            return None
    values = np.array((channels.sums(told), odds * (told.end - told.start)[channels.unit]))
    return Told(told, channels, bits, _running(flat, channels, values))


def _running(channel: Numbers, of: Channels, values: Numbers) -> Numbers:
    """Return each channel's sums in front of its `values`; HEARD goes on to the sums behind its last ones."""
    own = of.row[of.begin]
    before = values.cumsum(axis=1) - values
    before += (channel[own, _HEARD].T - before[:, of.begin])[:, of.place]
    channel[own, _HEARD] = (before + values)[:, of.last].T
    return before
