"""Complete blocks → what is told of them, one block late: the voice detector needs the one behind.

The block that waits stands in the state between polls; when the audio stops, `breaks` tells of it without another.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.silence import state as columns
from processors.silence.active_level import follow
from processors.silence.hearing import SPEECH, Entries, Hearing
from processors.silence.media import SIDES_OF, Numbers, distinct
from processors.silence.samples import Sound
from processors.silence.state import SilenceState
from processors.silence.units import Units, firsts, lasts

_SIDE_COUNT = np.array([len(SIDES_OF.get(layout, ("",))) for layout in range(128)], np.int64)


@dataclass(frozen=True, slots=True)
class Told:
    """Blocks and what is told of them: a number for each channel of each, by side, then by session, then by time.

    `unit` says which of `units` it is about. `before` and `odds` are the channel's sums in front of it.
    """

    units: Units
    unit: Numbers
    side: Numbers
    active: NDArray[np.bool_]
    speech: NDArray[np.bool_]
    before: Numbers
    odds: Numbers

    @classmethod
    def nothing(cls) -> "Told":
        """Return nothing."""
        none, no = np.zeros(0, np.int64), np.zeros(0, np.bool_)
        return cls(Units.none(), none, none, no, no, none, none)


def tell(state: SilenceState, hearing: Hearing, units: Units, sound: Sound | None) -> Told:
    """Judge the complete blocks of each channel; return what is told of those in front of them."""
    session, channel = state.session, state.channel
    stereo = np.flatnonzero(_SIDE_COUNT[session[units.slot, columns.LAYOUT]] > 1)
    count = len(units.slot)
    unit = np.concatenate((np.arange(count), stereo))
    side = np.zeros(len(unit), np.int64)
    side[count:] = 1
    slot = units.slot[unit]
    entries = Entries(slot, side, firsts(slot, side), units.sums[side, unit], (units.end - units.start)[unit])
    frames = {}
    if sound is not None:
        voiced = hearing.by_voice(session[slot, columns.VOICED])
        rates = np.where(voiced, session[slot, columns.RATE], 0)
        for rate_hz in distinct(rates):
            if rate_hz:
                index = np.flatnonzero(rates == rate_hz)
                frames[rate_hz] = (index, sound.frames(units, unit[index], side[index], rate_hz))
    verdicts = hearing.decide(state, entries, frames)
    follow(channel, slot, side, entries.first, entries.sums, entries.samples)

    first = firsts(units.slot)
    opening, closing = np.flatnonzero(first), lasts(first)
    start, sums = np.empty_like(units.start), np.empty_like(units.sums)
    start[1:], sums[:, 1:] = units.start[:-1], units.sums[:, :-1]
    start[opening] = session[units.slot[opening], columns.LATE]
    sums[:, opening] = channel[units.slot[opening], :, columns.LATE_SUM].T
    session[units.slot[closing], columns.LATE] = units.start[closing]
    channel[units.slot[closing], :, columns.LATE_SUM] = units.sums[:, closing].T
    valid = units.start > start
    chosen = np.flatnonzero(valid[unit])
    told = Units(units.slot[valid], units.row[valid], start[valid], units.start[valid], sums[:, valid])
    unit, side = (np.cumsum(valid) - 1)[unit[chosen]], side[chosen]
    if len(unit) == 0:
        return Told.nothing()
    bits, odds = verdicts.bits[chosen], verdicts.odds[chosen] * (told.end - told.start)[unit]
    slot = told.slot[unit]
    first = firsts(slot, side)
    before = _running(channel, columns.HEARD_SUM, (slot, side), first, told.sums[side, unit])
    odds = _running(channel, columns.HEARD_ODDS, (slot, side), first, odds)
    return Told(told, unit, side, bits & 1 != 0, bits & SPEECH != 0, before, odds)


def _running(
    channel: Numbers, column: int, of: tuple[Numbers, Numbers], first: NDArray[np.bool_], values: Numbers
) -> Numbers:
    """Return each channel's sum in front of each value; the column goes on to the sum behind its last one."""
    slot, side = of
    begin, last = np.flatnonzero(first), lasts(first)
    before = np.cumsum(values) - values
    before += (channel[slot[begin], side[begin], column] - before[begin])[np.cumsum(first) - 1]
    channel[slot[last], side[last], column] = (before + values)[last]
    return before
