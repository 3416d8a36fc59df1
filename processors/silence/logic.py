"""The silence processor: a poll of AudioFrame columns → SilenceEvent and ActivityWindow.

Order of the outputs of one row: what an interruption in front of its audio ended, then spans, then windows; each in the
order of time, at one time external before internal before all, ended before started, totals last.

The timeline of a session has one head, behind its last sample, and it only moves forward: samples behind it (repeated,
late) are counted and not analysed. Audio in front of it makes a gap. Numbered packets are put in order first.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.frames import Frames
from audio.session import SessionTable, Verdict
from processors.silence import state as columns
from processors.silence.breaks import Breaks
from processors.silence.courses import Courses
from processors.silence.hearing import Hearing
from processors.silence.media import Numbers, Rows, media
from processors.silence.ordering import Ordered, ordered, remaining
from processors.silence.orders import LANES
from processors.silence.pairing import Found, Pairing, Told
from processors.silence.report import EXPIRED, Report
from processors.silence.state import SilenceState
from processors.silence.stretches import Stretches
from processors.silence.tuning import Tuning
from runtime.errors import StateCorrupted
from runtime.processor import Batch, Emit, ExpireEmit
from schemas.records import Derived
from schemas.symbols import EndedBy, FrameKind, Reason
from schemas.topics import AUDIO

_ACCEPTED: Final = np.uint8(Verdict.ACCEPTED)
_CLOSED: Final = FrameKind.CLOSED.code
_IDLE: Final = Reason.IDLE.code


class SilenceProcessor:
    """The `Processor` of calls.silence and calls.activity."""

    group = "silence"
    input_topic = AUDIO.name
    state_version = 3

    def __init__(self, tuning: Tuning | None = None) -> None:
        self._tuning = Tuning() if tuning is None else tuning
        self.settings_hash = self._tuning.settings_hash
        self._hearing = Hearing(self._tuning)

    def sessions(self, state: SilenceState) -> SessionTable:
        """Return the sessions of the partition."""
        return state.table

    def new_state(self) -> SilenceState:
        """Return the state of a partition nothing was read of."""
        return SilenceState()

    def process(self, batch: Batch, state: SilenceState, emit: Emit) -> None:
        """Take the batch into `state` and emit what follows from it.

        The table of sessions tells what is known behind the last row, and that changes at INFO and where a session
        closed as idle returns. So the batch is cut there: what a row causes is told with what was known at that row.
        """
        frames = batch.frames
        cuts = _cuts(frames)
        if not cuts:
            self._process(frames, batch.keys, batch.stream_time_ms, state, emit)
            return
        for start, stop in zip([0, *cuts], [*cuts, len(frames)], strict=True):

            def shifted(row: int, record: Derived, start: int = start) -> None:
                emit(start + row, record)

            part = frames.slice(start, stop)
            self._process(part, batch.keys[start:stop], batch.stream_time_ms, state, shifted)

    def expire(self, stream_time_ms: int, state: SilenceState, emit: ExpireEmit) -> None:
        """Close the sessions that have lost their ingest; forget those closed long ago."""
        for slot in state.table.expire(stream_time_ms):
            found: list[Found] = []
            for lane in range(LANES * slot, LANES * slot + LANES):

                def keep(_: int, record: Told | int, found: list[Found] = found, lane: int = lane) -> None:
                    found.append(Found.of(state, EXPIRED, lane, record))

                report = Report(state, self.settings_hash, self._hearing, keep, None, keep)
                rest = remaining(state.orders, lane)
                if rest is not None:
                    self._take(rest, state, report)
                Breaks(state, self._tuning, self._hearing, report).finish(lane, EXPIRED, EndedBy.IDLE)
            for _, record in sorted(self._pairing(state).joined(found), key=_channel):
                emit(record)

    def snapshot(self, state: SilenceState) -> bytes:
        """Return the state as canonical bytes."""
        return state.snapshot()

    def restore(self, version: int, snapshot: bytes) -> SilenceState:
        """Return the state a snapshot was taken of. Raises `StateCorrupted` when it cannot be read."""
        if version != self.state_version:
            message = f"silence state of version {version} is not known"
            raise StateCorrupted(message)
        state = SilenceState.restore(snapshot)
        if self._tuning.overrides:
            self._choose(state, state.table.in_order())
        return state

    def _choose(self, state: SilenceState, slots: Iterable[int]) -> None:
        """Note which thresholds count for these sessions, by what is known of them."""
        for slot in slots:
            info = state.table.infos[slot]
            if info is not None:
                state.place[LANES * slot : LANES * slot + LANES] = self._tuning.place_of(info)

    def _process(
        self, frames: Frames, keys: tuple[bytes | None, ...], stream_time_ms: int, state: SilenceState, emit: Emit
    ) -> None:
        identity = state.table.identify(frames, keys, stream_time_ms)
        state.fit()
        accepted = (identity.verdicts & _ACCEPTED) != 0
        if self._tuning.overrides:
            self._choose(state, {int(identity.slots[row]) for row in frames.infos if accepted[row]})
        found = ordered(state.orders, frames, identity.slots, accepted, lambda slot: _known(state, slot))
        cause = found.cause
        if cause is None:
            report = Report(state, self.settings_hash, self._hearing, emit, frames.captured_at_us)
            self._take(found, state, report)
            return
        told: list[Found] = []
        sided = found.sided()

        def caused(row: int, record: Told | int) -> None:
            by = int(cause[row])
            lane = LANES * int(identity.slots[by]) + int(found.lane[row])
            told.append(Found.of(state, by, lane, record, numbered=bool(sided[by])))

        captured_at_us = found.frames.captured_at_us[cause]
        self._take(found, state, Report(state, self.settings_hash, self._hearing, caused, captured_at_us, caused))
        # a mark interrupts both lanes of its session, and how far the other one had come depends on the poll
        for row, joint in self._pairing(state).joined(told):
            emit(row, joint)

    def _pairing(self, state: SilenceState) -> Pairing:
        return Pairing(state, self._tuning, self._hearing.name_at)

    def _take(self, found: Ordered, state: SilenceState, report: Report) -> None:
        frames, rows = found.frames, found.rows
        breaks = Breaks(state, self._tuning, self._hearing, report)
        stretches = Stretches(state, self._tuning, self._hearing, report)
        while len(rows):
            courses = Courses.of(state, rows)
            odd = _disturbed(courses, rows)
            if len(odd):
                rows = _interrupted(breaks, frames, rows, courses, odd)
                if len(rows) == 0:
                    return
                courses = Courses.of(state, rows)
            smooth = _smooth(courses, rows)
            if smooth is None:
                stretches.take(frames, rows, courses)
                return
            front = rows.take(smooth)
            stretches.take(frames, front, Courses.of(state, front))
            rows = rows.take(~smooth)


def _known(state: SilenceState, slot: int) -> int:
    """Return the media of a session's audio so far, 0 without any."""
    session = state.session[slot]
    known = media(session[[columns.RATE]], session[[columns.LAYOUT]], session[[columns.ANALYSED]])
    return int(known[0]) if session[columns.RATE] else 0


def _cuts(frames: Frames) -> list[int]:
    cuts = {row for row in frames.infos if frames.sequence[row] != 0}
    closed = ((frames.kind == _CLOSED) & (frames.reason == _IDLE)).nonzero()[0]
    cuts.update((closed + 1).tolist())
    return sorted(cuts - {0, len(frames)})


def _disturbed(courses: Courses, rows: Rows) -> Numbers:
    """Return the sessions whose first row does not simply go on where their audio ended."""
    session, front = courses.session, courses.begin
    known = media(session[:, columns.RATE], session[:, columns.LAYOUT], session[:, columns.ANALYSED])
    odd = rows.mark[front] | (rows.media[front] != known) | (rows.position[front] > session[:, columns.HEAD])
    odd |= session[:, columns.PAUSED] != 0
    found: Numbers = odd.nonzero()[0]
    return found


def _interrupted(breaks: Breaks, frames: Frames, rows: Rows, courses: Courses, odd: Numbers) -> Rows:
    """Apply the interruptions at the front of the odd sessions; return the rows from each one's first audio on."""
    bounds = [*courses.begin.tolist(), len(rows)]
    kept = np.ones(len(rows), np.bool_)
    for index in odd.tolist():
        at, stop = bounds[index], bounds[index + 1]
        slot = int(rows.slot[at])
        while at < stop and rows.mark[at]:
            breaks.mark(slot, int(rows.row[at]), frames)
            kept[at] = False
            at += 1
        if at < stop:
            breaks.audio(slot, int(rows.row[at]), frames, int(rows.media[at]))
    return rows if kept.all() else rows.take(kept)


def _smooth(courses: Courses, rows: Rows) -> NDArray[np.bool_] | None:
    """Return True on the rows up to each session's next interruption; None where there is none."""
    odd = rows.mark | (rows.position > courses.before)
    odd[1:] |= rows.media[1:] != rows.media[:-1]
    odd[courses.begin] = False
    if np.count_nonzero(odd) == 0:
        return None
    count = odd.cumsum()
    smooth: NDArray[np.bool_] = count == count[courses.begin][courses.rank]
    return smooth


def _channel(told: tuple[int, Told]) -> int:
    return told[1].channel.code
