"""Frames that change nothing but counts in their session, of many sessions at once, a column at a time.

Such a frame lies within its window and is in time. What it does is what `Ledger` does with it, in the same whole
numbers, so that it does not matter which way it went. Rows that are not taken are worked out beside the others; what
would be written of them goes to scratch places.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.arrival import LEAK_RATIO
from processors.loss import columns
from processors.loss.packets import Flags, Numbers, Packets
from processors.loss.rows import COLUMN
from processors.loss.state import SCRATCH, LossState
from processors.loss.tuning import Tuning

_SLOT, _RATE, _PLAIN, _NUMBERED, _KEY = (COLUMN[name] for name in ("slot", "rate_hz", "plain", "numbered", "key"))
_CHANNEL_OF_KEY: Final = 34


class Plain:
    """Steps sessions together. `now_ms` is the stream time of the poll."""

    def __init__(self, state: LossState, tuning: Tuning, now_ms: int) -> None:
        self._state = state
        self._packets = Packets(state, tuning.reorder_ms)
        self._stall_us = tuning.stall_ms * 1000
        self._now_ms = now_ms

    def take(self, part: Numbers) -> NDArray[np.intp]:
        """Take at most one row of each session (columns of `rows.COLUMN`); return those that were not taken."""
        slots, sessions = part[_SLOT], self._state.sessions
        numbered = part[_NUMBERED] != 0
        rows = self._rows(part, slots, numbered)
        fits: Flags = part[_PLAIN] != 0
        fits &= part[_RATE] == sessions[columns.RATE].take(slots)
        fits &= sessions[columns.ODD].take(slots) == 0
        fits &= rows >= 0
        fits &= self._packets.judge(part, rows, numbered)
        changed = self._session(part, slots, numbered, fits)
        if fits.all():
            others = _NONE
        else:
            others = np.flatnonzero(~fits)
            if len(others) == len(slots):
                return others
            slots = np.where(fits, slots, sessions.shape[1] - 1)
            rows = np.where(fits, rows, SCRATCH)
        for column, values in changed:
            sessions[column][slots] = values
        sessions[:, -1] = 0
        self._packets.take(part, rows, fits)
        return others

    def _rows(self, part: Numbers, slots: Numbers, numbered: Flags) -> Numbers:
        """Return each row's stream, -1 where it has none yet."""
        sessions = self._state.sessions
        rows: Numbers = sessions[columns.ROW].take(slots)
        if not numbered.any():
            return rows
        keys = part[_KEY]
        lane = keys >> _CHANNEL_OF_KEY & 1
        known = sessions[columns.KEY + lane, slots] == keys
        np.copyto(rows, sessions[columns.PLACE + lane, slots], where=numbered)
        unknown = np.flatnonzero(numbered & ~known)
        if len(unknown):
            pairs = zip(slots[unknown].tolist(), keys[unknown].tolist(), strict=True)
            rows[unknown] = [self._state.rows.get(pair, -1) for pair in pairs]
        return rows

    def _session(self, part: Numbers, slots: Numbers, numbered: Flags, fits: Flags) -> list[tuple[int, Numbers | int]]:
        """Leave those in `fits` that stay within the window and in time; return what changes in the columns."""
        sessions = self._state.sessions
        position, captured_us, samples, stop_us = part[_OF_TIME]
        stop, head = position + samples, sessions[columns.HEAD].take(slots)
        fits &= stop < sessions[columns.EDGE].take(slots)
        fits &= numbered | (position <= head)
        seen_us, least_us = sessions[columns.SEEN_US].take(slots), sessions[columns.LEAST_US].take(slots)
        ahead_us = np.maximum(stop_us - seen_us, 0)
        newer = ahead_us > 0
        delay_us = captured_us - stop_us
        new_least_us = np.minimum(least_us + (ahead_us * LEAK_RATIO).astype(np.int64), delay_us)
        fits &= ~newer | (delay_us - new_least_us <= self._stall_us)
        payload_bytes, codec = part[_COUNTED]
        heard = np.maximum(stop - np.maximum(head, position), 0)
        return [
            (columns.LEAST_US, np.where(newer, new_least_us, least_us)),
            (columns.SEEN_US, seen_us + ahead_us),
            (columns.AUDIO, sessions[columns.AUDIO].take(slots) + heard),
            (columns.HEAD, np.maximum(head, stop)),
            (columns.FRAMES, sessions[columns.FRAMES].take(slots) + 1),
            (columns.BYTES, sessions[columns.BYTES].take(slots) + payload_bytes),
            (columns.LAST_US, captured_us),
            (columns.CODEC, codec),
            (columns.AUDIO_MS, self._now_ms),
        ]


_OF_TIME: Final = [COLUMN[name] for name in ("position", "captured_us", "samples", "stop_us")]
_COUNTED: Final = [COLUMN[name] for name in ("payload_bytes", "codec")]
_NONE: Final = np.zeros(0, np.intp)
