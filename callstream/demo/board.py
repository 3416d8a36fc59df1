"""What the topics have said so far about the demo's calls, and how it looks as a table. Pure: told, then drawn."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from audio.frames import Frames
from audio.session import SessionTable, Verdict
from schemas.records import ActivityWindow, BotTurn, LossReport, RecordingEvent, SilenceEvent
from schemas.symbols import (
    ActivityKind,
    BotTurnKind,
    Channel,
    FrameKind,
    LossReportKind,
    RecordingEventKind,
    SilenceEventKind,
    Source,
    TurnState,
)

_BAR_CELLS = 8
_BAR_FLOOR_DBFS = -60.0
_MOST_ROWS = 20
_WIDE = 140
_MARKS = {kind.code: kind.value.lower() for kind in FrameKind}
_STARTS = {
    SilenceEventKind.SPEECH_STARTED: "speech",
    SilenceEventKind.SILENCE_STARTED: "silence",
    SilenceEventKind.SPEECH: "-",
    SilenceEventKind.SILENCE: "-",
}


@dataclass(slots=True)
class Losses:
    """What calls.loss has said of a call: the sums of its windows, and in the end its final report."""

    skipped_ms: float = 0
    paused_ms: float = 0
    stalls: int = 0
    lost: int = 0
    expected: int = 0
    numbered: bool = False
    final: bool = False

    def take(self, report: LossReport) -> None:
        """Take a report on the whole session."""
        if report.kind is LossReportKind.FINAL:
            self.skipped_ms = self.paused_ms = 0
            self.stalls = 0
            self.final = True
        self.skipped_ms += report.discarded_ms
        self.paused_ms += report.paused_ms
        self.stalls += report.stalls
        self.lost, self.expected = report.cumulative_lost, report.cumulative_expected
        self.numbered = report.lost_signed is not None

    @property
    def lost_ratio(self) -> float | None:
        """Part of the packets that never came, where the source numbers them."""
        return self.lost / self.expected if self.numbered and self.expected > 0 else None


@dataclass(slots=True)
class CallRow:
    """One call as the topics show it."""

    conversation_id: str
    name: str
    state: str = "waiting"
    frames: int = 0
    position_samples: int = 0
    sample_rate_hz: int = 8000
    levels_dbfs: dict[Channel, float] = field(default_factory=dict)
    doing: dict[Channel, str] = field(default_factory=dict)
    silences: int = 0
    dead_air: int = 0
    overtalk: int = 0
    totals: set[Channel] = field(default_factory=set)
    channels: int = 2
    losses: Losses = field(default_factory=Losses)
    recording: RecordingEvent | None = None
    wanted_turns: int = 0
    turns: int = 0
    response_ms: float = -1

    @property
    def settled(self) -> bool:
        """True when the far ends have said their last word about the call."""
        told = len(self.totals) >= self.channels and self.losses.final
        answered = self.turns >= self.wanted_turns
        return self.state == "closed" and told and answered and self.recording is not None


class Board:
    """All calls of the demo, as `source` delivers them. Records of other conversations are not looked at."""

    def __init__(self, rows: Iterable[CallRow], source: Source) -> None:
        self.rows = {row.conversation_id: row for row in rows}
        self.source = source
        self._sessions: dict[int, SessionTable] = {}
        self._stream_ms = 0

    @property
    def settled(self) -> bool:
        """True when every call is."""
        return all(row.settled for row in self.rows.values())

    def frames(self, partition: int, frames: Frames, keys: list[bytes | None]) -> None:
        """Take a poll of calls.audio of one partition."""
        table = self._sessions.setdefault(partition, SessionTable())
        identity = table.identify(frames, keys, self._stream_ms)
        ours = (frames.source == self.source.code) & ((identity.verdicts & Verdict.ACCEPTED) != 0)
        for index in np.flatnonzero(ours).tolist():
            row = self.rows.get(table.conversations[int(identity.slots[index])])
            if row is None:
                continue
            kind = int(frames.kind[index])
            if kind == FrameKind.AUDIO.code:
                row.state = "live"
                row.frames += 1
                row.sample_rate_hz = int(frames.sample_rate_hz[index])
                row.position_samples = int(frames.position_samples[index] + frames.duration_samples[index])
            elif kind in {FrameKind.OPENED.code, FrameKind.PAUSED.code, FrameKind.CLOSED.code}:
                row.state = _MARKS[kind]

    def record(self, record: object) -> None:
        """Take a record of another topic than calls.audio."""
        row = self.rows.get(getattr(record, "conversation_id", ""))
        if row is None:
            return
        if isinstance(record, SilenceEvent):
            _silence(row, record)
        elif isinstance(record, ActivityWindow):
            _activity(row, record)
        elif isinstance(record, LossReport):
            whole = record.channel is Channel.ALL and record.source is self.source
            if whole and record.kind in {LossReportKind.WINDOW, LossReportKind.FINAL}:
                row.losses.take(record)
        elif isinstance(record, BotTurn):
            if record.kind is BotTurnKind.TURN_END and record.state is TurnState.ANSWERED:
                row.turns += 1
                row.response_ms = record.response_ms
        elif isinstance(record, RecordingEvent) and record.kind is RecordingEventKind.SEGMENT_SEALED:
            row.recording = record

    def line(self) -> str:
        """Return the state of all calls in one line."""
        live = sum(row.state not in {"waiting", "closed"} for row in self.rows.values())
        done = sum(row.settled for row in self.rows.values())
        frames = sum(row.frames for row in self.rows.values())
        silences = sum(row.silences for row in self.rows.values())
        return f"{len(self.rows)} calls, {live} live, {done} done: {frames} frames stored, {silences} silences found"

    def table(self, width: int = _WIDE) -> RenderableType:
        """Return the calls as a table, the first twenty; a narrow one leaves out what matters least."""
        table = Table(
            title="Calls, as the topics show them", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        columns = [column for column in _COLUMNS if column.least_width <= width]
        for column in columns:
            table.add_column(column.header, justify=column.justify, no_wrap=True)
        for row in list(self.rows.values())[:_MOST_ROWS]:
            table.add_row(*(column.cell(row) for column in columns))
        more = len(self.rows) - _MOST_ROWS
        return Group(table, Text(f"… and {more} more calls")) if more > 0 else table


def _silence(row: CallRow, event: SilenceEvent) -> None:
    if event.kind in _STARTS:
        row.doing[event.channel] = _STARTS[event.kind]
    row.silences += event.kind is SilenceEventKind.SILENCE
    row.dead_air += event.kind is SilenceEventKind.DEAD_AIR
    row.overtalk += event.kind is SilenceEventKind.OVERTALK


def _activity(row: CallRow, window: ActivityWindow) -> None:
    if window.kind is ActivityKind.TOTAL:
        row.totals.add(window.channel)
        row.levels_dbfs.pop(window.channel, None)
    elif window.level_dbfs is not None:
        row.levels_dbfs[window.channel] = window.level_dbfs


def _clock(samples: int, rate_hz: int) -> str:
    seconds = samples / rate_hz
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def _side(row: CallRow, channel: Channel) -> Text:
    """Return a level bar from -60 to 0 dBFS and what the side does."""
    level = row.levels_dbfs.get(channel)
    if level is None:
        return Text("·" * _BAR_CELLS, style="dim")
    cells = round(_BAR_CELLS * (1 - max(_BAR_FLOOR_DBFS, level) / _BAR_FLOOR_DBFS))
    doing = row.doing.get(channel, "")
    bar = "█" * cells + "·" * (_BAR_CELLS - cells)
    return Text(f"{bar} {doing}", style="green" if doing == "speech" else "dim")


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds else "·"


def _count(number: int) -> str:
    return str(number) if number else "·"


def _turns(row: CallRow) -> str:
    return f"{row.turns} ({row.response_ms:.0f} ms)" if row.turns else "·"


def _percent(ratio: float | None) -> str:
    return "·" if ratio is None else f"{ratio:.1%}"


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table: `least_width` is that of the narrowest terminal which shows it."""

    header: str
    cell: Callable[[CallRow], str | Text]
    justify: Literal["left", "right"] = "right"
    least_width: int = 0


_COLUMNS = (
    _Column("call", lambda row: f"{row.name} {row.conversation_id[:8]}", "left"),
    _Column("state", lambda row: "recorded" if row.recording is not None else row.state, "left"),
    _Column("media", lambda row: _clock(row.position_samples, row.sample_rate_hz)),
    _Column("frames", lambda row: str(row.frames), least_width=100),
    _Column("customer", lambda row: _side(row, Channel.EXTERNAL), "left"),
    _Column("agent", lambda row: _side(row, Channel.INTERNAL), "left"),
    _Column("silences", lambda row: _count(row.silences), least_width=100),
    _Column("dead air", lambda row: _count(row.dead_air), least_width=_WIDE),
    _Column("overtalk", lambda row: _count(row.overtalk), least_width=_WIDE),
    _Column("skipped", lambda row: _seconds(row.losses.skipped_ms), least_width=120),
    _Column("paused", lambda row: _seconds(row.losses.paused_ms), least_width=120),
    _Column("stalls", lambda row: _count(row.losses.stalls), least_width=_WIDE),
    _Column("lost", lambda row: _percent(row.losses.lost_ratio), least_width=120),
    _Column("bot turns", _turns, least_width=_WIDE),
)
