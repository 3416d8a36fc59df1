"""Packets and messages in the columns of their streams: counts, losses, copies, disorder and delays of many at once.

What a packet does is what `Stream.packet` does with it, in the same whole numbers. Packets that begin a talkspurt, have
another clock or length, or jump go through their `Stream` one by one.
"""

from bisect import bisect_left, bisect_right
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.numbers import MAX_DROPOUT, MAX_MISORDER
from processors.loss import columns
from processors.loss.delays import (
    BIN_US,
    BINS,
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
from processors.loss.numbering import MEMORY, NOTHING_DUE
from processors.loss.rows import COLUMN, rows_of
from processors.loss.state import SCRATCH, LossState
from processors.loss.streams import MOST_GIVEN, runs

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]
_C: Final = COLUMN
_MARKER, _SAMPLES, _CODEC, _BYTES = (_C[name] for name in ("marker", "samples", "codec", "payload_bytes"))


class Packets:
    """Steps streams together: `judge` a round of rows, then `take` it."""

    def __init__(self, state: LossState, reorder_ms: int) -> None:
        self._state = state
        self._reorder_ms = reorder_ms

    def judge(self, part: Numbers, rows: Numbers, numbered: Flags) -> Flags:
        """Tell which rows change nothing but their stream. `rows` are the streams'; any, where there is none."""
        streams = self._state.streams
        self._numbered = numbered
        self._highest = streams[columns.HIGHEST].take(rows)
        half = part[_C["half"]]
        self._step = step = ((part[_C["number"]] - self._highest + half) & ((half << 1) - 1)) - half
        usual = part[_MARKER] == 0
        usual &= part[_C["clock_hz"]] == streams[columns.CLOCK].take(rows)
        usual &= part[_C["stamp_bits"]] == streams[columns.STAMP_BITS].take(rows)
        usual &= self._in_time(part, rows)
        same = part[_SAMPLES] == streams[columns.SAMPLES].take(rows)
        counts = same & (step == 1)
        counts |= ~numbered
        if not counts.all():
            counts |= same & (step > 0) & (step < np.minimum(MAX_DROPOUT, half))
            counts |= same & (step <= 0) & self._near(part, rows, np.minimum(MAX_MISORDER, half))
        usual &= counts
        self._usual = usual
        of_stream: Flags = part[_C["number_bits"]] == streams[columns.BITS].take(rows)
        of_stream &= streams[columns.SUSPECT].take(rows) < 0
        of_stream &= numbered
        of_stream |= usual & ~numbered
        return of_stream

    def take(self, part: Numbers, rows: Numbers, fits: Flags) -> None:
        """Take the rows that fit; those of the others are scratch."""
        alone = fits & ~self._usual
        if alone.any():
            self._by_themselves(part, rows, np.flatnonzero(alone))
            rows = np.where(alone, SCRATCH, rows)
        streams, numbered, step = self._state.streams, self._numbered, self._step
        streams[columns.S_FRAMES][rows] = streams[columns.S_FRAMES].take(rows) + 1
        streams[columns.S_BYTES][rows] = streams[columns.S_BYTES].take(rows) + part[_BYTES]
        streams[columns.S_AUDIO][rows] = streams[columns.S_AUDIO].take(rows) + part[_SAMPLES]
        streams[columns.S_CODEC][rows] = part[_CODEC]
        newest = streams[columns.STAMP].take(rows)
        stamp = np.maximum(newest, self._stamp)
        timed = rows
        if numbered.any():
            mine = numbered & (rows != SCRATCH)
            behind = np.flatnonzero(mine & (step <= 0))
            counted = mine.astype(np.int64)
            if len(behind):
                stamp[behind] = newest[behind]
                copies = behind[self._behind(part, rows, behind)]
                counted[copies] = 0
                timed = rows.copy()
                timed[copies] = SCRATCH
            streams[columns.UNIQUE][rows] = streams[columns.UNIQUE].take(rows) + counted
            self._ahead(part, rows, mine)
        streams[columns.STAMP][rows] = stamp
        self._delay(timed)
        streams[:, SCRATCH] = 0
        self._state.bins[SCRATCH] = 0

    def _by_themselves(self, part: Numbers, rows: Numbers, which: NDArray[np.intp]) -> None:
        """Take packets that change more in their streams than columns."""
        state = self._state
        for row, packet in zip(rows[which].tolist(), rows_of(part[:, which]), strict=True):
            stream = state.open_stream(packet.slot, row)
            stream.packet(packet, self._reorder_ms * packet.rate_hz // 1000)
            state.close_stream(stream)

    def _in_time(self, part: Numbers, rows: Numbers) -> Flags:
        """Unwrap the stamps; tell which do not leap, and are not too far from their base."""
        streams = self._state.streams
        newest, clock_hz = streams[columns.STAMP].take(rows), np.maximum(part[_C["clock_hz"]], 1)
        half = part[_C["stamp_half"]]
        self._moved = moved = ((part[_C["stamp"]] - newest + half) & ((half << 1) - 1)) - half
        self._stamp = newest + moved
        from_base = self._stamp - streams[columns.STAMP_BASE].take(rows)
        near: Flags = (np.abs(from_base) < MOST_STAMP) & (np.abs(moved) < MOST_STAMP)
        self._transit_us = transit_us = part[_C["captured_us"]] - from_base * US // clock_hz
        self._before_us = before_us = streams[columns.TRANSIT].take(rows)
        early = (before_us - transit_us > LEAP_US) & (before_us != NONE)
        early |= moved * US < -LEAP_US * clock_hz
        near &= ~(early & self._numbered)
        return near

    def _near(self, part: Numbers, rows: Numbers, limit: Numbers) -> Flags:
        """Tell which numbers are so little behind that they are out of order, or copies, for sure."""
        moved_us = np.abs(self._moved) * US // np.maximum(part[_C["clock_hz"]], 1)
        near: Flags = (self._step > -limit) & (moved_us < LEAP_US)
        near &= self._highest + self._step >= self._state.streams[columns.BASE].take(rows)
        return near

    def _behind(self, part: Numbers, rows: Numbers, which: NDArray[np.intp]) -> Flags:
        """Take packets that are not the highest of their stream; tell which of them are copies."""
        streams, owners = self._state.streams, self._state.owners
        of = rows[which]
        numbers = self._highest[which] + self._step[which]
        copies = np.ones(len(which), np.bool_)
        for at, (row, number) in enumerate(zip(of.tolist(), numbers.tolist(), strict=True)):
            missing = owners[row].numbering.missing
            place = bisect_left(missing, number)
            if place < len(missing) and missing[place] == number:
                del missing[place]
                copies[at] = False
        streams[columns.COPIES][of] += copies
        came = np.flatnonzero(~copies)
        if len(came):
            which, of, numbers = which[came], of[came], numbers[came]
            frontier = np.maximum(streams[columns.DECIDED][of], self._highest[which] - streams[columns.REORDER][of])
            back = -self._step[which]
            back_us = -self._moved[which] * US // part[_C["clock_hz"]][which]
            streams[columns.REORDERED][of] += 1
            streams[columns.LATE][of] += numbers <= frontier
            for column in (columns.EXTENT, *columns.EXTENTS):
                streams[column][of] = np.maximum(streams[column][of], back)
            for column in columns.EXTENTS_US:
                streams[column][of] = np.maximum(streams[column][of], back_us)
        return copies

    def _ahead(self, part: Numbers, rows: Numbers, mine: Flags) -> None:
        """Move the highest numbers on, note what is missing, give up what was missing for too long."""
        streams, owners = self._state.streams, self._state.owners
        step, before = self._step, self._highest
        highest = np.where(mine, before + np.maximum(step, 0), before)
        due = streams[columns.DUE].take(rows)
        jumps = np.flatnonzero(mine & (step > 1))
        if len(jumps):
            of, first = rows[jumps], before[jumps] + 1
            for row, start, stop in zip(of.tolist(), first.tolist(), highest[jumps].tolist(), strict=True):
                missing = owners[row].numbering.missing
                missing.extend(range(start, stop))
                if missing[0] <= stop - MEMORY:
                    del missing[: bisect_right(missing, stop - MEMORY)]
            new = due[jumps]
            due[jumps] = new = np.where(new == NOTHING_DUE, first + streams[columns.REORDER][of], new)
            streams[columns.DUE][of] = new
        streams[columns.HIGHEST][rows] = highest
        decided = np.flatnonzero(mine & (highest >= due))
        if len(decided):
            self._give_up(part, rows[decided], decided, highest[decided])

    def _give_up(self, part: Numbers, rows: Numbers, which: NDArray[np.intp], highest: Numbers) -> None:
        streams, state = self._state.streams, self._state
        reorder, samples = streams[columns.REORDER][rows], part[_SAMPLES][which]
        frontier = np.maximum(streams[columns.DECIDED][rows], highest - reorder)
        origin = part[_C["position"]][which] - highest * samples
        values = np.stack((rows, streams[columns.DECIDED][rows], frontier, origin, samples, part[_C["slot"]][which]))
        given_up, due, full = [], [], []
        for row, decided, last, place, length, slot in values.T.tolist():
            stream = state.owners[row]
            missing = stream.numbering.missing
            start, stop = bisect_right(missing, decided), bisect_right(missing, last)
            given_up.append(stop - start)
            due.append(missing[stop] if stop < len(missing) else NOTHING_DUE)
            if stop > start:
                lost = missing[start]
                one = (lost, 1, place + lost * length)
                stream.given.extend(one if stop == start + 1 else runs(missing[start:stop], place, length))
                if len(stream.given) >= MOST_GIVEN:
                    full.append((slot, row))
        streams[columns.DECIDED][rows] = frontier
        streams[columns.GIVEN_UP][rows] += np.array(given_up, np.int64)
        found = np.array(due, np.int64)
        streams[columns.DUE][rows] = np.where(found == NOTHING_DUE, found, found + reorder)
        for slot, row in full:
            stream = state.open_stream(slot, row)
            stream.feed()
            state.close_stream(stream)

    def _delay(self, rows: Numbers) -> None:
        """What `Delays.take` does."""
        streams, transit_us, before_us = self._state.streams, self._transit_us, self._before_us
        known: Flags | int = before_us != NONE
        if before_us.min() != NONE:
            known = 1
        jitter, most = streams[columns.JITTER].take(rows), streams[columns.JITTER_MAX].take(rows)
        step_us = np.minimum(np.abs(transit_us - before_us), MOST_STEP_US)
        step_us <<= SCALE_BITS
        step_us -= jitter
        step_us >>= 4
        jitter += step_us * known
        streams[columns.JITTER][rows] = jitter
        summed = (jitter >> SUM_SHIFT) * known
        streams[columns.JITTER_SUM][rows] = streams[columns.JITTER_SUM].take(rows) + summed
        streams[columns.JITTER_COUNT][rows] = streams[columns.JITTER_COUNT].take(rows) + known
        streams[columns.JITTER_MAX][rows] = np.maximum(most, jitter * known)
        streams[columns.TRANSIT][rows] = transit_us
        least_us, most_us = streams[columns.LEAST].take(rows), streams[columns.MOST].take(rows)
        first = least_us == NONE
        if first.any():
            least_us = np.where(first, transit_us, least_us)
            most_us = np.where(first, transit_us, most_us)
        index = transit_us // BIN_US - least_us // BIN_US
        bins = self._state.bins
        lower = index < 0
        if lower.any():
            for at in np.flatnonzero(lower & (rows != SCRATCH)).tolist():
                shift(bins[rows[at]], -int(index[at]))
        bins.reshape(-1)[rows * BINS + np.clip(index, 0, LAST)] += 1
        streams[columns.LEAST][rows] = np.minimum(least_us, transit_us)
        streams[columns.MOST][rows] = np.maximum(most_us, transit_us)
