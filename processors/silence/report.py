"""Emits what was found in a session."""

from collections.abc import Callable, Sequence

from processors.silence import state as columns
from processors.silence.active_level import level_dbfs
from processors.silence.facts import TURNS, About, Stretch, Turns
from processors.silence.hearing import Hearing
from processors.silence.media import Numbers
from processors.silence.orders import LANES
from processors.silence.state import SilenceState
from processors.silence.tracks import Span
from schemas.records import ActivityWindow, SilenceEvent
from schemas.symbols import ActivityKind

EXPIRED = -1
"""The row of what no row of the poll caused."""


class Report:
    """Writes records of one poll. Within a row they come in the order of the calls."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a report is made of
        self,
        state: SilenceState,
        settings_hash: str,
        hearing: Hearing,
        emit: Callable[[int, SilenceEvent | ActivityWindow], None],
        captured_at_us: Numbers | None,
        broken: Callable[[int, int], None] = lambda _row, _position: None,
    ) -> None:
        """`captured_at_us` has a number per row; None where no row causes anything.

        `broken` is told row and position where the audio of a session, or of a lane of it, stops.
        """
        self.broken = broken
        self._hearing = hearing
        self._state = state
        self._settings_hash = settings_hash
        self._emit = emit
        self._captured_at_us = captured_at_us

    def spans(self, slot: int, spans: Sequence[Span], rows: Sequence[int]) -> None:
        """Emit spans; `rows` has the row of each block."""
        about = self._about(slot)
        for span in spans:
            row = rows[span.block]
            self._emit(row, about.event(span, self._captured(row)))

    def window(
        self, slot: int, row: int, extent: tuple[int, int], counts: Sequence[int], levels: Sequence[Sequence[int]]
    ) -> None:
        """Emit one window of every channel."""
        stretch = Stretch(ActivityKind.WINDOW, extent[0], extent[1], counts, levels)
        for record in self._about(slot).windows(stretch, self._captured(row)):
            self._emit(row, record)

    def waiting(self, slot: int, row: int, position: int) -> None:
        """Emit the window that waited to be told of its last block, which begins at `position`, and forget it."""
        session, channel = self._state.session[slot], self._state.channel[slot]
        rate_hz = int(session[columns.RATE])
        second = position // rate_hz
        counts, levels = session[columns.WAITING].tolist(), channel[:, columns.CHANNEL_WAITING].tolist()
        self.window(slot, row, (second * rate_hz, (second + 1) * rate_hz), counts, levels)
        session[columns.WAITING] = 0
        channel[:, columns.CHANNEL_WAITING] = 0

    def totals(self, slot: int, row: int) -> None:
        """Emit the session's totals of every channel."""
        session, channel = self._state.session[slot], self._state.channel[slot]
        stretch = Stretch(
            ActivityKind.TOTAL,
            int(session[columns.BEGIN]),
            int(session[columns.HEAD]),
            session[columns.TOTAL].tolist(),
            channel[:, columns.CHANNEL_TOTAL].tolist(),
            int(session[columns.OVER_TOTAL]),
            int(session[columns.DEAD_TOTAL]),
            [Turns(*own) for own in channel[:, TURNS].tolist()],
            [level_dbfs(*_heard(own)) for own in channel.tolist()],
        )
        for record in self._about(slot).windows(stretch, self._captured(row)):
            self._emit(row, record)

    def _about(self, slot: int) -> About:
        table, abouts = self._state.table, self._state.abouts
        found, session = abouts.get(slot), slot // LANES
        if found is None or found.info is not table.infos[session] or found.partial != table.partial[session]:
            row = self._state.session[slot].tolist()
            found = abouts[slot] = About(table, session, row, self._settings_hash, self._hearing.name(row))
        return found

    def _captured(self, row: int) -> int:
        return -1 if self._captured_at_us is None else int(self._captured_at_us[row])


def _heard(channel: Sequence[int]) -> tuple[int, Sequence[int]]:
    """Return the sum of squares of a channel, and how high its envelope reached how long."""
    return channel[columns.CHANNEL_TOTAL.start + columns.SQUARES], channel[columns.REACHED]
