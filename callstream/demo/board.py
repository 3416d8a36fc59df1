"""What the topics have said so far about the demo's calls, and how it looks as a table. Pure: told, then drawn."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from audio.frames import Frames
from audio.session import SessionTable, Verdict
from schemas.records import ActivityWindow, RecordingEvent, SilenceEvent
from schemas.symbols import ActivityKind, Channel, FrameKind, RecordingEventKind, SilenceEventKind

_BAR_CELLS = 12
_BAR_FLOOR_DBFS = -60.0
_MOST_ROWS = 20
_MARKS = {kind.code: kind.value.lower() for kind in FrameKind}
_REMARKS = {FrameKind.DISCARDED.code: "discarded", FrameKind.RESUMED.code: "paused", FrameKind.GAP.code: "gap"}
_STARTS = {
    SilenceEventKind.SPEECH_STARTED: "speech",
    SilenceEventKind.SILENCE_STARTED: "silence",
    SilenceEventKind.SPEECH: "-",
    SilenceEventKind.SILENCE: "-",
}


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
    recording: RecordingEvent | None = None
    remark: str = ""

    @property
    def settled(self) -> bool:
        """True when the far ends have said their last word about the call."""
        return self.state == "closed" and len(self.totals) >= self.channels and self.recording is not None


class Board:
    """All calls of the demo. Records of other conversations are not looked at."""

    def __init__(self, calls: Iterable[tuple[str, str]]) -> None:
        self.rows = {conversation: CallRow(conversation, name) for conversation, name in calls}
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
        for index in np.flatnonzero(identity.verdicts & Verdict.ACCEPTED).tolist():
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
            elif kind in _REMARKS:
                seconds = max(0, int(frames.duration_samples[index])) / row.sample_rate_hz
                row.remark = f"{_REMARKS[kind]} {seconds:.1f} s"

    def silence(self, event: SilenceEvent) -> None:
        """Take a record of calls.silence."""
        row = self.rows.get(event.conversation_id)
        if row is None:
            return
        if event.kind in _STARTS:
            row.doing[event.channel] = _STARTS[event.kind]
        row.silences += event.kind is SilenceEventKind.SILENCE
        row.dead_air += event.kind is SilenceEventKind.DEAD_AIR
        row.overtalk += event.kind is SilenceEventKind.OVERTALK

    def activity(self, window: ActivityWindow) -> None:
        """Take a record of calls.activity."""
        row = self.rows.get(window.conversation_id)
        if row is None:
            return
        if window.kind is ActivityKind.TOTAL:
            row.totals.add(window.channel)
            row.levels_dbfs.pop(window.channel, None)
        elif window.level_dbfs is not None:
            row.levels_dbfs[window.channel] = window.level_dbfs

    def recording(self, event: RecordingEvent) -> None:
        """Take a record of calls.recordings."""
        row = self.rows.get(event.conversation_id)
        if row is not None and event.kind is RecordingEventKind.SEGMENT_SEALED:
            row.recording = event

    def line(self) -> str:
        """Return the state of all calls in one line."""
        live = sum(row.state not in {"waiting", "closed"} for row in self.rows.values())
        done = sum(row.settled for row in self.rows.values())
        frames = sum(row.frames for row in self.rows.values())
        silences = sum(row.silences for row in self.rows.values())
        return f"{len(self.rows)} calls, {live} live, {done} done: {frames} frames stored, {silences} silences found"

    def table(self) -> RenderableType:
        """Return the calls as a table, the first twenty."""
        table = Table(title="Calls, as the topics show them", title_justify="left", expand=False)
        right = {"media", "frames", "silences"}
        for header in ("call", "state", "media", "frames", "customer", "agent", "silences", "dead air", "overtalk", ""):
            table.add_column(header, justify="right" if header in right else "left", no_wrap=header == "call")
        for row in list(self.rows.values())[:_MOST_ROWS]:
            table.add_row(
                f"{row.name} {row.conversation_id[:8]}",
                "recorded" if row.recording is not None else row.state,
                _clock(row.position_samples, row.sample_rate_hz),
                str(row.frames),
                _side(row, Channel.EXTERNAL),
                _side(row, Channel.INTERNAL),
                str(row.silences),
                str(row.dead_air),
                str(row.overtalk),
                row.remark,
            )
        more = len(self.rows) - _MOST_ROWS
        return Group(table, Text(f"… and {more} more calls")) if more > 0 else table


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
