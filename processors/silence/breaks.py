"""What interrupts a session's audio, one row at a time: marks, jumps, other media, and the end.

Between two of these a session's audio is one piece without holes; `stretches` takes all sessions' such audio at once.

Windows without audio: when the timeline moves on without audio, every second it passes gets its window, up to
EMPTY_WINDOWS whole empty seconds; what is beyond them gets one window for all.
"""

from collections.abc import Sequence
from typing import Final

from audio.frames import Frames
from audio.timeline import anchor_us
from processors.silence import state as columns
from processors.silence.hearing import ACTIVE, SPEECH, Hearing
from processors.silence.media import BLOCKS_PER_S, MAX_POSITION, SIDES_OF, block_start, parts_of
from processors.silence.orders import LANES
from processors.silence.report import Report
from processors.silence.spans import Change, SpanMachine
from processors.silence.state import SilenceState
from processors.silence.tracks import DOWN, Limits
from processors.silence.tuning import Tuning, limits
from schemas.symbols import Channels, EndedBy, FrameKind, Reason

EMPTY_WINDOWS: Final = 60
_PAUSES: Final = (Reason.SECURE_PAUSE.code, Reason.OWN_PAUSE.code)
_PAUSED, _RESUMED = FrameKind.PAUSED.code, FrameKind.RESUMED.code
_DISCARDED, _CLOSED = FrameKind.DISCARDED.code, FrameKind.CLOSED.code
_SIDED: Final = (Channels.EXTERNAL_INTERNAL.code, Channels.MIXED.code)
"""Layouts that hold all sides of the call."""


def machine_of(limit: Limits, session: Sequence[int], channel: Sequence[Sequence[int]]) -> SpanMachine:
    """Load the span machine of a session from its rows."""
    layout = session[columns.LAYOUT]
    return SpanMachine(limit, session, channel[: len(SIDES_OF[layout])], both=layout in _SIDED)


class Breaks:
    """Applies interruptions to the sessions of one state. `row` names the row that causes what is emitted."""

    def __init__(self, state: SilenceState, tuning: Tuning, hearing: Hearing, report: Report) -> None:
        self._state = state
        self._tuning = tuning
        self._hearing = hearing
        self._report = report

    def mark(self, slot: int, row: int, frames: Frames) -> None:
        """Apply PAUSED, RESUMED, DISCARDED, GAP or CLOSED."""
        session = self._state.session[slot]
        if session[columns.RATE] == 0:
            return
        kind, head = frames.kind[row], int(session[columns.HEAD])
        start, duration = self._stated(slot, row, frames)
        end = max(head, start + max(duration, 0)) if kind != _PAUSED else head
        if kind == _PAUSED:
            self._interrupt(slot, row, EndedBy.PAUSE)
            session[columns.PAUSED] = 1
        elif kind == _RESUMED:
            self._interrupt(slot, row, EndedBy.PAUSE)
            if duration >= 0:
                self._advance(slot, row, end, columns.PAUSE)
            session[columns.PAUSED] = int(duration < 0)
        elif kind == _CLOSED:
            self._interrupt(slot, row, EndedBy.CLOSED)
            self._advance(slot, row, end, columns.PAUSE if session[columns.PAUSED] else columns.MISSING)
            self.finish(slot, row, EndedBy.CLOSED)
        elif duration < 0 or end > head:
            pause = frames.reason[row] in _PAUSES
            why = EndedBy.PAUSE if pause else EndedBy.DISCARD if kind == _DISCARDED else EndedBy.GAP
            self._interrupt(slot, row, why)
            self._advance(slot, row, end if duration >= 0 else head, columns.PAUSE if pause else columns.MISSING)

    def audio(self, slot: int, row: int, frames: Frames, media: int) -> None:
        """Make a session ready for an audio row that does not simply go on where the last one ended."""
        rate_hz, layout, analysed = parts_of(media)
        session = self._state.session[slot]
        if session[columns.RATE] != 0 and (session[columns.RATE] != rate_hz or session[columns.LAYOUT] != layout):
            self.finish(slot, row, EndedBy.GAP)
        position = int(frames.position_samples[row])
        if session[columns.RATE] == 0:
            self._begin(slot, row, frames, media)
        elif session[columns.ANALYSED] != analysed:
            self._interrupt(slot, row, EndedBy.GAP)
            session[columns.ANALYSED] = analysed
        if position > session[columns.HEAD]:
            paused = session[columns.PAUSED]
            self._interrupt(slot, row, EndedBy.PAUSE if paused else EndedBy.GAP)
            self._advance(slot, row, position, columns.PAUSE if paused else columns.MISSING)
        session[columns.PAUSED] = 0

    def finish(self, slot: int, row: int, ended_by: EndedBy) -> None:
        """End a session: its spans, its open window, its totals. Its rows are cleared."""
        session = self._state.session[slot]
        if session[columns.RATE] == 0:
            return
        self._interrupt(slot, row, ended_by)
        if session[columns.WINDOW].any():
            rate_hz = int(session[columns.RATE])
            second = int(session[columns.HEAD]) // rate_hz
            self._window(slot, row, second * rate_hz, (second + 1) * rate_hz)
        self._report.totals(slot, row)
        self._state.clear(slot)

    def _stated(self, slot: int, row: int, frames: Frames) -> tuple[int, int]:
        """Return start and duration of a mark in the session's unit; the head where it states no start."""
        session = self._state.session[slot]
        rate_hz, own = int(session[columns.RATE]), int(frames.sample_rate_hz[row])
        start, duration = int(frames.position_samples[row]), int(frames.duration_samples[row])
        if own not in (rate_hz, -1, 0):
            start, duration = (value * rate_hz // own if value >= 0 else -1 for value in (start, duration))
        head = int(session[columns.HEAD])
        start = start if 0 <= start < MAX_POSITION else head
        return start, duration if start + duration < MAX_POSITION else -1

    def _begin(self, slot: int, row: int, frames: Frames, media: int) -> None:
        rate_hz, layout, analysed = parts_of(media)
        position, captured = int(frames.position_samples[row]), int(frames.captured_at_us[row])
        session = self._state.session[slot]
        session[columns.RATE], session[columns.LAYOUT], session[columns.ANALYSED] = rate_hz, layout, analysed
        session[columns.SOURCE] = frames.source[row]
        session[[columns.HEAD, columns.BEGIN, columns.BLOCK, columns.LATE]] = position
        self._state.place[slot] = self._tuning.place_of(self._state.table.infos[slot // LANES])
        session[columns.VOICED] = self._hearing.judges(rate_hz)
        stop = position + max(0, int(frames.duration_samples[row]))
        session[columns.ANCHOR_US] = anchor_us(captured, stop, rate_hz)

    def _interrupt(self, slot: int, row: int, ended_by: EndedBy) -> None:
        """End all spans where the audio stops. A started block counts if at least half of it arrived."""
        session, channel = self._state.session[slot], self._state.channel[slot]
        tuning = self._tuning.at(int(self._state.place[slot]))
        machine = machine_of(limits(tuning, int(session[columns.RATE])), session.tolist(), channel.tolist())
        late, start, head, rate_hz = (
            int(session[column]) for column in (columns.LATE, columns.BLOCK, columns.HEAD, columns.RATE)
        )
        if late < start:
            bits = channel[: machine.sides, columns.LATE_BITS].tolist()
            self._last_block(slot, machine, (late, start), bits, columns.LATE_SUM)
        block = start * BLOCKS_PER_S // rate_hz
        full = block_start(block + 1, rate_hz) - block_start(block, rate_hz)
        if 2 * (head - start) >= full:
            bits = self._hearing.last(self._state, slot, machine.sides, head - start)
            self._last_block(slot, machine, (start, head), bits, columns.CARRY)
            start = head
        machine.end(start, channel[:, columns.HEARD_SUM : columns.HEARD_ODDS + 1].tolist(), ended_by)
        self._report.spans(slot, machine.spans, [row])
        self._report.broken(row, start)
        channel[:, columns.SPANS] = machine.rows()
        session[columns.DEAD : columns.OVER_TOTAL + 1] = machine.joint_row()
        if session[columns.WAITING].any():
            self._report.waiting(slot, row, late)
        channel[:, : columns.SPANS.start] = 0
        self._state.voices.clear(slot)
        session[columns.BLOCK] = session[columns.LATE] = head

    def _last_block(
        self, slot: int, machine: SpanMachine, block: tuple[int, int], bits: Sequence[int], column: int
    ) -> None:
        """Take a block behind which no other comes; `column` has its sum of squares. Of speech it has even odds."""
        start, end = block
        session, channel = self._state.session[slot], self._state.channel[slot]
        waits = session[columns.WAITING].any() and start < session[columns.BLOCK]
        window = columns.CHANNEL_WAITING if waits else columns.CHANNEL_WINDOW
        changes: list[Change] = []
        for side, bit in enumerate(bits):
            own = channel[side]
            sums = int(own[columns.HEARD_SUM]), int(own[columns.HEARD_ODDS])
            for track, up in enumerate((bit & ACTIVE != 0, bit & SPEECH != 0)):
                if own[columns.TRACKS[track] + columns.RUN] != DOWN + up:
                    changes.append((0, side, track, DOWN + up, *sums))
                    own[columns.TRACKS[track] + columns.RUN] = DOWN + up
            what = columns.SPEECH if bit & SPEECH else columns.SOUND if bit & ACTIVE else columns.SILENCE
            for begin in (window.start, columns.CHANNEL_TOTAL.start):
                own[begin + what] += end - start
                if what == columns.SILENCE:
                    own[begin + columns.QUIET_SQUARES] += own[column]
            own[columns.HEARD_SUM] += own[column]
        machine.feed([end], [start], changes)

    def _advance(self, slot: int, row: int, to: int, cause: int) -> None:
        """Move the timeline on to `to` without audio; `cause` is PAUSE or MISSING."""
        session = self._state.session[slot]
        rate_hz, head = int(session[columns.RATE]), int(session[columns.HEAD])
        counts = session[columns.WINDOW]
        second, last = head // rate_hz, to // rate_hz
        if to <= head:
            return
        while second < last:
            stop = second + 1 if second - head // rate_hz <= EMPTY_WINDOWS else last
            counts[cause] += stop * rate_hz - max(head, second * rate_hz)
            self._window(slot, row, second * rate_hz, stop * rate_hz)
            second = stop
        counts[cause] += to - max(head, last * rate_hz)
        session[columns.TOTAL][cause] += to - head
        session[columns.HEAD] = session[columns.BLOCK] = session[columns.LATE] = to

    def _window(self, slot: int, row: int, start: int, end: int) -> None:
        counts = self._state.session[slot, columns.WINDOW]
        levels = self._state.channel[slot, :, columns.CHANNEL_WINDOW]
        self._report.window(slot, row, (start, end), counts.tolist(), levels.tolist())
        counts[:] = 0
        levels[:] = 0
