"""Audio without holes, all sessions of a poll at once: rows → blocks → classes → spans and windows.

Nothing here loops over frames. Python runs only for sessions in which a class changes or a minimum may be reached, and
for windows that are complete.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.frames import Frames
from processors.silence import state as columns
from processors.silence.breaks import machine_of
from processors.silence.courses import Courses, ends, firsts
from processors.silence.hearing import Hearing
from processors.silence.media import Numbers, Rows, distinct
from processors.silence.pieces import pieces_of
from processors.silence.report import Report
from processors.silence.samples import samples_of, sound_of
from processors.silence.spans import Change
from processors.silence.state import SilenceState
from processors.silence.telling import Told, judge, tell
from processors.silence.tracks import DOWN, NEVER, UP
from processors.silence.tuning import Tuning, limits
from processors.silence.units import Units, units_of
from processors.silence.voices import SIDES
from processors.silence.windows import Windows

_PLACES: Final = 20
_MOST_PLACES: Final = (1 << _PLACES) - 1
_TRACKS: Final = len(columns.TRACKS)
_TRACK: Final = np.arange(_TRACKS)[:, np.newaxis]
_RUN: Final = np.array(columns.TRACKS)[:, np.newaxis] + columns.RUN
_RUN_COLUMNS: Final = np.arange(4)
"""RUN, RUN_START, RUN_SUM, RUN_ODDS."""
_OVER, _MINIMUM = 4, 8
"""Columns of limits: those of overtalk begin, and the minimum of a run down."""
_ALL_TRACKS: Final = slice(columns.TRACKS[0], columns.TRACKS[0] + _TRACKS * columns.TRACK_COLUMNS)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Where the class of a track changes, by track, then by channel, then by time.

    `row` is the channel's, `rank` the session's; `before` (2, runs) are the channel's sums in front.
    """

    track: Numbers
    row: Numbers
    rank: Numbers
    unit: Numbers
    start: Numbers
    classes: Numbers
    before: Numbers


class Stretches:
    """Takes audio that goes on where each session's audio ended."""

    def __init__(self, state: SilenceState, tuning: Tuning, hearing: Hearing, report: Report) -> None:
        self._state = state
        self._tuning = tuning
        self._hearing = hearing
        self._report = report

    def take(self, frames: Frames, rows: Rows, courses: Courses) -> None:
        """Take audio rows, by session; none begins in front of its session's head. `courses` are theirs."""
        state, session = self._state, courses.session
        pieces = pieces_of(frames, rows, session[courses.rank, columns.RATE], courses.before, courses.end)
        waiting = session[:, columns.HEAD] - session[:, columns.BLOCK]
        units = units_of(state, courses, rows, pieces)
        session[:, columns.HEAD] = courses.end[ends(courses.begin, len(rows))]
        voiced, sound, told = self._hearing.by_voice(session[:, columns.VOICED]), None, None
        if np.count_nonzero(voiced):
            sound = sound_of(state, courses, waiting, voiced, samples_of(frames, pieces, courses))
        judged = judge(state, self._hearing, courses, units, sound) if len(units.rank) else None
        channel = state.channel.take(courses.slot, axis=0)
        if judged is not None:
            told = tell(courses, channel, units, judged)
        if told is not None:
            self._find_spans(courses, channel, told)
        unheard = (session[:, columns.ANALYSED] == 0).nonzero()[0]
        if len(unheard):
            session[unheard, columns.BLOCK] = session[unheard, columns.LATE] = session[unheard, columns.HEAD]
        Windows(self._report, courses, channel).take(frames, rows, pieces, told)
        state.session[courses.slot], state.channel[courses.slot] = session, channel

    def _find_spans(self, courses: Courses, channel: Numbers, told: Told) -> None:
        """Run the span machine where a span begins or ends; elsewhere only note the last run."""
        units, session = told.units, courses.session
        last = told.channels.last[: told.channels.sessions]
        head = np.zeros(len(session), np.int64)
        head[units.rank[last]] = units.end[last]
        kind, table = self._limits(courses)
        runs = _runs(channel, told)
        busy, idle = _busy(runs, channel, head, table[kind, _MINIMUM])
        busy |= head - session[:, columns.DEAD_START] >= table[kind, session[:, columns.DEAD]]
        busy |= head - session[:, columns.OVER_START] >= table[kind, session[:, columns.OVER] + _OVER]
        idle = idle[~busy[runs.rank[idle]]]
        if len(idle):
            at = _RUN[runs.track[idle]] + _RUN_COLUMNS
            values = np.stack((runs.classes, runs.start, *runs.before), axis=1)
            channel.reshape(-1, columns.CHANNEL_COLUMNS)[runs.row[idle, np.newaxis], at] = values[idle]
        mine = busy[units.rank].nonzero()[0]
        if len(mine):
            self._spans(courses, channel, units, mine, runs)

    def _limits(self, courses: Courses) -> tuple[Numbers, Numbers]:
        """Return the kind of each session, and of each kind its `_limit_row`."""
        kinds = courses.session[:, columns.RATE] << _PLACES | self._state.place[courses.slot]
        codes = distinct(kinds)
        table = [_limit_row(self._tuning.at(code & _MOST_PLACES), code >> _PLACES) for code in codes]
        if len(codes) == 1:
            return np.zeros(len(kinds), np.int64), table[0]
        return np.array(codes).searchsorted(kinds), np.concatenate(table)

    def _spans(self, courses: Courses, channel: Numbers, units: Units, mine: Numbers, runs: _Runs) -> None:
        """Run the span machine of each busy session; `mine` are their units."""
        session, rank = courses.session, units.rank[mine]
        opening = firsts(rank).nonzero()[0]
        bounds, who = [*opening.tolist(), len(mine)], rank[opening]
        changes, stops = _changes(runs, mine, bounds)
        unit_ends, starts, rows = units.end[mine].tolist(), units.start[mine].tolist(), units.row[mine].tolist()
        slot, place = courses.slot[who], self._state.place[courses.slot[who]]
        loaded = (session[who, : columns.WINDOW.start], channel[who, :, : columns.SPANS.stop], slot, place)
        sides, joints = [], []
        for index, (row, own, slot_of, place_of) in enumerate(zip(*(each.tolist() for each in loaded), strict=True)):
            low, high = bounds[index], bounds[index + 1]
            machine = machine_of(limits(self._tuning.at(place_of), row[columns.RATE]), row, own)
            machine.feed(unit_ends[low:high], starts[low:high], changes[stops[index] : stops[index + 1]])
            sides.append(machine.rows())
            joints.append(machine.joint_row())
            if machine.spans:
                self._report.spans(slot_of, machine.spans, rows[low:high])
        channel[who, :, columns.SPANS] = sides
        session[who, columns.DEAD : columns.OVER_TOTAL + 1] = joints


@cache
def _limit_row(tuning: Tuning, rate_hz: int) -> Numbers:
    """Return a row: limits of dead air by its level, those of overtalk by its level, and the minimum of a run down."""
    limit = limits(tuning, rate_hz)
    return np.array([(NEVER, *limit.dead_air, NEVER, NEVER, limit.overtalk, NEVER, NEVER, limit.run[DOWN])])


def _runs(channel: Numbers, told: Told) -> _Runs:
    """Find where the tracks' classes change."""
    channels, flat = told.channels, channel.reshape(-1, columns.CHANNEL_COLUMNS)
    begin = channels.begin
    classes = (told.bits >> _TRACK & 1) + DOWN
    previous = np.empty_like(classes)
    previous[:, 1:] = classes[:, :-1]
    previous[:, begin] = flat[channels.row[begin], _RUN]
    track, at = (classes != previous).nonzero()
    row, unit = channels.row[at], channels.unit[at]
    return _Runs(track, row, row // SIDES, unit, told.units.start[unit], classes[track, at], told.before[:, at])


def _busy(runs: _Runs, channel: Numbers, head: Numbers, minimum: Numbers) -> tuple[NDArray[np.bool_], Numbers]:
    """Return True for sessions in which a track may confirm something or tries to; and the last run of each channel."""
    tracks = channel[:, :, _ALL_TRACKS].reshape(len(head), SIDES, _TRACKS, columns.TRACK_COLUMNS)
    confirmed, first_end = tracks[..., columns.CONFIRMED], head[:, np.newaxis, np.newaxis]
    key = runs.row * _TRACKS + runs.track
    begin = firsts(key).nonzero()[0]
    if len(key):
        first_end = first_end.repeat(SIDES, axis=1).repeat(_TRACKS, axis=2)
        first_end.reshape(-1)[key[begin]] = runs.start[begin]
    long = first_end - tracks[..., columns.RUN_START] >= minimum[:, np.newaxis, np.newaxis]
    waits = (tracks[..., columns.RUN] == DOWN) & (confirmed != DOWN) & long
    waits |= tracks[..., columns.TRIED] != 0
    busy: NDArray[np.bool_] = waits.reshape(len(head), -1).any(axis=1)
    busy |= channel[:, :, columns.ASKED].any(axis=1)
    last = ends(begin, len(key))
    if len(key):
        run_end = np.empty_like(runs.start)
        run_end[:-1] = runs.start[1:]
        run_end[last] = head[runs.rank[last]]
        strong = (runs.classes == UP) | (run_end - runs.start >= minimum[runs.rank])
        busy[runs.rank[strong & (runs.classes != confirmed.reshape(-1)[key])]] = True
    return busy, last


def _changes(runs: _Runs, mine: Numbers, bounds: list[int]) -> tuple[list[Change], list[int]]:
    """Return the changes of the units `mine`, one session after another, and where each session's begin and end.

    `bounds` says where each session begins in `mine`; blocks count from there.
    """
    at = np.minimum(mine.searchsorted(runs.unit), len(mine) - 1)
    chosen = (mine[at] == runs.unit).nonzero()[0]
    side, kept = runs.row[chosen] % SIDES, (runs.track[chosen], runs.classes[chosen], *runs.before[:, chosen])
    changes = np.array((at[chosen], side, *kept))
    # by unit, and of each unit by side and track
    changes = changes[:, np.lexsort(changes[2::-1])]
    stops = changes[0].searchsorted(bounds)
    changes[0] -= np.array(bounds[:-1]).repeat(stops[1:] - stops[:-1])
    return list(zip(*changes.tolist(), strict=True)), stops.tolist()
