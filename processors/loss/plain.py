"""Frames that change nothing but counts, of many sessions at once, a column at a time.

Such a frame follows on the one before, within its window, in time. What it does is what `Ledger` and `Stream` do with
it, in the same whole numbers, so that it does not matter which way it went.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.arrival import LEAK_RATIO
from processors.loss import state as columns
from processors.loss.delays import (
    BIN_US,
    LAST,
    LEAP_US,
    MOST_STAMP,
    MOST_STEP_US,
    NONE,
    SCALE_BITS,
    SUM_SHIFT,
    US,
    shift,
)
from processors.loss.rows import AUDIBLE, CHANNEL_OF, COLUMN, MAX_POSITION, NEVER_WRAPS, Row
from processors.loss.state import LossState
from processors.loss.tuning import Tuning
from schemas.symbols import FrameKind

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_AUDIO: Final = FrameKind.AUDIO.code
_C: Final = COLUMN
_CODECS: Final = np.zeros(256, np.bool_)
_CODECS[sorted(AUDIBLE)] = True
_CHANNELS: Final = np.array([CHANNEL_OF.get(layout, 0) for layout in range(256)], np.int64)


class Plain:
    """Steps sessions together. `now_ms` is the stream time of the poll."""

    def __init__(self, state: LossState, tuning: Tuning, now_ms: int) -> None:
        self._state = state
        self._stall_us = tuning.stall_ms * 1000
        self._reorder_ms = tuning.reorder_ms
        self._now_ms = now_ms

    def take(self, part: Numbers) -> NDArray[np.intp]:
        """Take at most one row of each session (columns of `rows.COLUMN`); return those that were not taken."""
        state = self._state
        slots = part[_C["slot"]]
        held = state.sessions[slots]
        fits = part[_C["kind"]] == _AUDIO
        fits &= part[_C["rate_hz"]] == held[:, columns.RATE]
        fits &= held[:, columns.ODD] == 0
        fits &= _CODECS[part[_C["codec"]]]
        numbered = part[_C["numbered"]] != 0
        rows = self._rows(part, held, numbered)
        fits &= rows >= 0
        streams = state.streams[rows]
        fits &= self._session(part, held, numbered)
        fits &= ~numbered | ((part[_C["number_bits"]] == streams[:, columns.BITS]) & (streams[:, columns.SUSPECT] < 0))
        plain = fits & (part[_C["marker"]] == 0)
        plain &= _numbers(part, streams, numbered)
        plain &= _known_clock(part, streams)
        transit, stamp, near = _transit(part, streams, numbered)
        plain &= near
        fits &= plain | numbered
        others = np.flatnonzero(~fits)
        if len(others) < len(slots):
            held[:, columns.AUDIO_MS] = self._now_ms
            self._book(part, held)
            which = np.flatnonzero(fits)
            state.sessions[slots[which]] = held[which]
            if not plain.all():
                self._by_themselves(part, rows, np.flatnonzero(fits & ~plain))
                which = np.flatnonzero(plain)
                part, rows, streams = part[:, which], rows[which], streams[which]
                transit, stamp, numbered = transit[which], stamp[which], numbered[which]
            self._count(part, streams, numbered)
            streams[:, columns.STAMP] = np.maximum(streams[:, columns.STAMP], stamp)
            self._delay(rows, streams, transit)
            state.streams[rows] = streams
        return others

    def _by_themselves(self, part: Numbers, rows: Numbers, which: NDArray[np.intp]) -> None:
        """Take packets that change more than counts in their streams, but not in their sessions."""
        state = self._state
        for row, values in zip(rows[which].tolist(), part[:, which].T.tolist(), strict=True):
            packet = Row._make(values)
            stream = state.open_stream(packet.slot, row)
            stream.packet(packet, self._reorder_ms * packet.rate_hz // 1000)
            state.close_stream(stream)

    def _rows(self, part: Numbers, held: Numbers, numbered: Flags) -> Numbers:
        """Return each row's stream, -1 where it has none yet."""
        rows: Numbers = held[:, columns.ROW].copy()
        if numbered.any():
            channels = _CHANNELS[part[_C["channels"]]]
            keys = ((part[_C["slot"]] << 4 | channels) << 34) + part[_C["stream"]] + 1
            find = self._state.rows.get
            found = np.array([find(key, -1) for key in keys.tolist()], np.int64)
            np.copyto(rows, found, where=numbered)
        return rows

    def _session(self, part: Numbers, held: Numbers, numbered: Flags) -> Flags:
        """Tell which rows stay within the window and in time."""
        position, captured_us = part[_C["position"]], part[_C["captured_us"]]
        stop = position + part[_C["samples"]]
        fits: Flags = (stop < held[:, columns.EDGE]) & (position < MAX_POSITION) & (captured_us >= 0)
        fits &= numbered | (position <= held[:, columns.HEAD])
        stop_us = np.minimum(stop, MAX_POSITION) * US // np.maximum(held[:, columns.RATE], 1)
        seen_us, least_us = held[:, columns.SEEN_US].copy(), held[:, columns.LEAST_US]
        newer = stop_us > seen_us
        delay_us = captured_us - stop_us
        leaked_us = least_us + ((stop_us - seen_us) * LEAK_RATIO).astype(np.int64)
        new_least_us = np.minimum(leaked_us, delay_us)
        fits &= ~newer | (delay_us - new_least_us <= self._stall_us)
        held[:, columns.LEAST_US] = np.where(newer, new_least_us, least_us)
        held[:, columns.SEEN_US] = np.where(newer, stop_us, seen_us)
        return fits

    @staticmethod
    def _count(part: Numbers, streams: Numbers, numbered: Flags) -> None:
        streams[:, columns.HIGHEST] += numbered
        streams[:, columns.UNIQUE] += numbered
        streams[:, columns.S_FRAMES] += 1
        streams[:, columns.S_BYTES] += part[_C["payload_bytes"]]
        streams[:, columns.S_AUDIO] += part[_C["samples"]]
        streams[:, columns.S_CODEC] = part[_C["codec"]]

    def _delay(self, rows: Numbers, streams: Numbers, transit_us: Numbers) -> None:
        """What `Delays.take` does."""
        before_us, jitter = streams[:, columns.TRANSIT], streams[:, columns.JITTER]
        known = before_us != NONE
        step_us = np.minimum(np.abs(transit_us - np.where(known, before_us, transit_us)), MOST_STEP_US)
        new = jitter + (((step_us << SCALE_BITS) - jitter) >> 4)
        new = np.where(known, new, jitter)
        streams[:, columns.JITTER_SUM] += np.where(known, new >> SUM_SHIFT, 0)
        streams[:, columns.JITTER_COUNT] += known
        streams[:, columns.JITTER_MAX] = np.where(
            known, np.maximum(streams[:, columns.JITTER_MAX], new), streams[:, columns.JITTER_MAX]
        )
        streams[:, columns.JITTER] = new
        streams[:, columns.TRANSIT] = transit_us
        first = streams[:, columns.LEAST] == NONE
        least_us = np.where(first, transit_us, streams[:, columns.LEAST])
        index = transit_us // BIN_US - least_us // BIN_US
        bins = self._state.bins
        for at in np.flatnonzero(index < 0).tolist():
            shift(bins[rows[at]], -int(index[at]))
        bins[rows, np.clip(index, 0, LAST)] += 1
        streams[:, columns.LEAST] = np.minimum(least_us, transit_us)
        streams[:, columns.MOST] = np.where(first, transit_us, np.maximum(streams[:, columns.MOST], transit_us))

    @staticmethod
    def _book(part: Numbers, held: Numbers) -> None:
        position, head = part[_C["position"]], held[:, columns.HEAD]
        stop = position + part[_C["samples"]]
        held[:, columns.AUDIO] += np.maximum(stop - np.maximum(head, position), 0)
        held[:, columns.HEAD] = np.maximum(np.maximum(head, stop), np.maximum(head, position))
        held[:, columns.FRAMES] += 1
        held[:, columns.BYTES] += part[_C["payload_bytes"]]
        held[:, columns.LAST_US] = part[_C["captured_us"]]
        held[:, columns.CODEC] = part[_C["codec"]]


def _numbers(part: Numbers, streams: Numbers, numbered: Flags) -> Flags:
    """Tell which packets have the next number and give up no place."""
    bits = part[_C["number_bits"]]
    step = _signed(part[_C["number"]] - streams[:, columns.HIGHEST], bits)
    fits: Flags = step == 1
    fits &= streams[:, columns.HIGHEST] + 1 < streams[:, columns.DUE]
    fits &= part[_C["samples"]] == streams[:, columns.SAMPLES]
    fits |= ~numbered
    return fits


def _known_clock(part: Numbers, streams: Numbers) -> Flags:
    same: Flags = part[_C["clock_hz"]] == streams[:, columns.CLOCK]
    same &= part[_C["stamp_bits"]] == streams[:, columns.STAMP_BITS]
    return same


def _transit(part: Numbers, streams: Numbers, numbered: Flags) -> tuple[Numbers, Numbers, Flags]:
    """Return transit times and unwrapped stamps; False where a stamp leaps, or is too far from its base."""
    newest, clock_hz = streams[:, columns.STAMP], np.maximum(part[_C["clock_hz"]], 1)
    moved = _signed(part[_C["stamp"]] - newest, part[_C["stamp_bits"]])
    stamp = newest + moved
    from_base = stamp - streams[:, columns.BASE]
    fits = (np.abs(from_base) < MOST_STAMP) & (np.abs(moved) < MOST_STAMP)
    from_base, moved = np.where(fits, from_base, 0), np.where(fits, moved, 0)
    transit_us = part[_C["captured_us"]] - from_base * US // clock_hz
    before_us = streams[:, columns.TRANSIT]
    early = (before_us != NONE) & (before_us - transit_us > LEAP_US)
    fits &= ~numbered | ((moved * US // clock_hz >= -LEAP_US) & ~early)
    return transit_us, stamp, fits


def _signed(difference: Numbers, bits: Numbers) -> Numbers:
    """Return differences of wrapping numbers, nearest to zero; those of 53 bits never wrap."""
    half = np.int64(1) << np.clip(bits - 1, 0, NEVER_WRAPS)
    wrapped = ((difference + half) & ((half << 1) - 1)) - half
    signed: Numbers = np.where((bits > 0) & (bits < NEVER_WRAPS), wrapped, difference)
    return signed
