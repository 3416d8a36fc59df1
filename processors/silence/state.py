"""What the silence processor remembers of each session: one row of integers per session and per channel.

A session has two lanes, `LANES` times its slot in `SessionTable` and the one behind it: the second is for a numbered
stream of the internal side, whose packets come beside those of the other one. Rows are indexed by lanes, and these are
the slots of the modules beside this one. A row of zeros is a lane without audio. Positions are samples.
Snapshots hold each column in the narrowest integer that fits all its values, so that a call takes some hundred bytes.
"""

import struct
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audio.session import SessionTable
from processors.silence.orders import LANES, Orders
from processors.silence.pairs import Pair, packed, unpacked
from processors.silence.voices import SIDES, Voices
from runtime.errors import StateCorrupted

# Columns of a session. RATE 0: no audio yet. HEAD: behind the last sample. BLOCK: start of the unfinished block, HEAD
# where there is none. LATE: start of the complete block nothing is told of yet, BLOCK where there is none.
# PAUSED 1: no audio is expected. VOICED 1: the voice detector judges it. DEAD and OVER: 0 none, 1 under way, 2
# announced, 3 alarmed.
RATE, LAYOUT, SOURCE, ANALYSED, HEAD, BEGIN, BLOCK, LATE, ANCHOR_US, PAUSED, VOICED = range(11)
DEAD, DEAD_START, OVER, OVER_START, DEAD_TOTAL, OVER_TOTAL = range(11, 17)
# Numbers of the current window, of the whole session, and of a window that waits to be told of its last block.
# FIRST and LAST are sequence + 1.
AUDIO, HEARD, MISSING, PAUSE, FRAMES, BYTES, FIRST, LAST = range(8)
COUNTS: Final = 8
WINDOW: Final = slice(17, 25)
TOTAL: Final = slice(25, 33)
WAITING: Final = slice(33, 41)
SESSION_COLUMNS: Final = 41

# Columns of a channel. CARRY: sum of squares of the unfinished block. LATE_*: of the block nothing is told of yet.
# LOUDEST: mean square that says what is quiet beside it. MEMORY: a level detector's. HEARD_SUM and HEARD_ODDS: sums of
# squares, and of log odds times samples, since the spans began. SMOOTH, SMOOTHER, RECENT: `active_level`.
CARRY, LATE_SUM, LATE_LEVEL, LATE_BITS, LOUDEST, MEMORY, HEARD_SUM, HEARD_ODDS, SMOOTH, SMOOTHER, RECENT = range(11)
# Columns of a track (`spans.Track`): two of them, activity and speech. CONFIRMED and RUN: 0 nothing, 1 down, 2 up.
CONFIRMED, CONFIRMED_START, CONFIRMED_SUM, CONFIRMED_ODDS, RUN, RUN_START, RUN_SUM, RUN_ODDS = range(8)
TRIED, TRIED_START, TRIED_SUM, TRIED_ODDS = range(8, 12)
TRACK_COLUMNS: Final = 12
TRACKS: Final = (11, 23)
"""Where the tracks begin."""
LONGEST, ASKED, ENDED, INTERRUPTIONS, RESPONSES, RESPONSE_SUM = range(35, 41)
SPANS: Final = slice(11, 41)
"""What a span machine loads and stores."""
SQUARES, PEAK, CLIPPED, SIGNAL, SAMPLE_SUM, SPEECH, SILENCE, SOUND, QUIET_SQUARES = range(9)
LEVELS: Final = 9
CHANNEL_WINDOW: Final = slice(41, 50)
CHANNEL_TOTAL: Final = slice(50, 59)
CHANNEL_WAITING: Final = slice(59, 68)
REACHED: Final = slice(68, 84)
"""Samples of the session by the highest power of two its envelope reached."""
CHANNEL_COLUMNS: Final = 84

_WIDTHS: Final = ("<i1", "<i2", "<i4", "<i8")
_HEAD: Final = struct.Struct("<IIIIII")


class SilenceState:
    """The state of one partition."""

    def __init__(self, table: SessionTable | None = None) -> None:
        self.table = SessionTable() if table is None else table
        self.abouts: dict[int, Any] = {}
        """What is made of the table once for all records of a session; no part of the snapshot."""
        self.orders = Orders()
        """The numbered streams, and what waits of them."""
        self.pairs: dict[int, Pair] = {}
        """By slot: what the two lanes of a session have in common."""
        self.session: NDArray[np.int64] = np.zeros((0, SESSION_COLUMNS), np.int64)
        self.channel: NDArray[np.int64] = np.zeros((0, SIDES, CHANNEL_COLUMNS), np.int64)
        self.place: NDArray[np.int64] = np.zeros(0, np.int64)
        """Which thresholds count for a lane (`Tuning.place`). It follows from the table, so snapshots leave it out."""
        self.voices = Voices()
        """What the voice detector remembers."""
        self.fit()

    def fit(self) -> None:
        """Give every slot of the table the rows of its lanes."""
        missing = LANES * self.table.capacity - len(self.session)
        if missing > 0:
            more = max(missing, 16, len(self.session))
            self.session = np.concatenate((self.session, np.zeros((more, SESSION_COLUMNS), np.int64)))
            self.channel = np.concatenate((self.channel, np.zeros((more, SIDES, CHANNEL_COLUMNS), np.int64)))
            self.place = np.concatenate((self.place, np.zeros(more, np.int64)))
            self.voices.fit(len(self.session))
        self.orders.fit(len(self.session))

    def clear(self, slot: int) -> None:
        """Forget a session's audio. What waits of its stream may be ahead of it, so that stays."""
        self.abouts.pop(slot, None)
        self.session[slot] = 0
        self.channel[slot] = 0
        self.voices.clear(slot)

    def snapshot(self) -> bytes:
        """Return canonical bytes: equal states give equal bytes, whatever slots they use."""
        self.fit()
        table = self.table.snapshot()
        order = self.table.in_order()
        second = self._speaking([LANES * slot + 1 for slot in order])
        lanes = _lanes(order, second)
        columns = np.concatenate(
            (self.session[lanes].T, self.channel[lanes].reshape(len(lanes), SIDES * CHANNEL_COLUMNS).T)
        )
        streams = self.orders.snapshot(lanes)
        voices = self.voices.snapshot(np.array(lanes, np.int64), self._left(lanes))
        pairs = packed(self.pairs, order)
        head = _HEAD.pack(len(table), len(order), len(second), len(streams), len(voices), len(pairs))
        lanes_used = np.array(second, "<u4").tobytes()
        return b"".join((head, table, lanes_used, streams, voices, pairs, _packed(columns)))

    def _left(self, lanes: list[int]) -> NDArray[np.int64]:
        """Return how many samples of its unfinished block each lane keeps."""
        session = self.session[lanes]
        left: NDArray[np.int64] = (session[:, HEAD] - session[:, BLOCK]) * session[:, VOICED]
        return left

    def _speaking(self, lanes: list[int]) -> list[int]:
        """Return which of these lanes have audio, or packets that wait."""
        rates = self.session[lanes, RATE].tolist()
        streams = self.orders.by_slot
        return [
            index for index, (lane, rate_hz) in enumerate(zip(lanes, rates, strict=True)) if rate_hz or lane in streams
        ]

    @classmethod
    def restore(cls, snapshot: bytes) -> "SilenceState":
        """Return the state a snapshot was taken of. Raises `StateCorrupted` when it cannot be read."""
        try:
            length, count, seconds, streams, voices, pairs = _HEAD.unpack_from(snapshot)
            at = _HEAD.size + length
            state = cls(SessionTable.restore(snapshot[_HEAD.size : at]))
            second = np.frombuffer(snapshot, "<u4", seconds, at)
            at += second.nbytes
            order = state.table.in_order()
            lanes = _lanes(order, second.tolist())
            state.orders.restore(snapshot[at : at + streams], lanes)
            at += streams
            state.pairs = unpacked(snapshot[at + voices : at + voices + pairs], order)
            columns = _unpacked(snapshot[at + voices + pairs :], count + seconds)
            state.session[lanes] = columns[:SESSION_COLUMNS].T
            state.channel[lanes] = columns[SESSION_COLUMNS:].T.reshape(len(lanes), SIDES, CHANNEL_COLUMNS)
            state.voices.restore(snapshot[at : at + voices], np.array(lanes, np.int64), state._left(lanes))
        except Exception as error:  # damaged bytes make the readers raise many kinds
            message = f"the silence state cannot be read: {type(error).__name__}"
            raise StateCorrupted(message) from error
        if len(order) != count:
            message = f"the silence state has rows for {count} sessions, but {len(order)} sessions"
            raise StateCorrupted(message)
        return state


def _lanes(order: list[int], second: list[int]) -> list[int]:
    """Return the first lanes of these slots, then the second ones of some of them."""
    return [LANES * slot for slot in order] + [LANES * order[index] + 1 for index in second]


def _packed(columns: NDArray[np.int64]) -> bytes:
    if columns.shape[1] == 0:
        return b""
    columns = np.ascontiguousarray(columns)
    magnitude = np.maximum(columns.max(axis=1), ~columns.min(axis=1))
    codes = np.searchsorted(np.array((0x7F, 0x7FFF, 0x7FFFFFFF)), magnitude)
    bounds = [0, *((codes[1:] != codes[:-1]).nonzero()[0] + 1).tolist(), len(codes)]
    # neighbours of one width at once
    body = [columns[start:stop].astype(_WIDTHS[codes[start]]).tobytes() for start, stop in pairwise(bounds)]
    return b"".join((bytes(codes.tolist()), *body))


def _unpacked(content: bytes, count: int) -> NDArray[np.int64]:
    total = SESSION_COLUMNS + SIDES * CHANNEL_COLUMNS
    columns = np.zeros((total, count), np.int64)
    if count == 0:
        return columns
    at = total
    for index, code in enumerate(content[:total]):
        columns[index] = np.frombuffer(content, _WIDTHS[code], count, at)
        at += count << code
    if at != len(content):
        message = f"{len(content)} bytes instead of {at}"
        raise ValueError(message)
    return columns
