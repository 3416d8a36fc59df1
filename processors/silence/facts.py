"""What was found → records, with everything derived records repeat about their session."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from audio.levels import FULL_SCALE, level_dbfs, peak_dbfs
from audio.session import SessionTable
from processors.silence import state as columns
from processors.silence.drafts import Drafts
from processors.silence.hearing import ODDS_STEPS
from processors.silence.media import SIDES_OF
from processors.silence.tracks import ALL, Span
from processors.silence.voices import SIDES
from schemas.records import ActivityWindow, Origin, SilenceEvent
from schemas.symbols import ActivityKind, Channel, SilenceEventKind, Source
from schemas.topics import AUDIO

_MS: Final = 1000
_SOURCES: Final = tuple(Source)
_HOST_FILLS_IN: Final = Origin(topic=AUDIO.name, partition=-1, offset=-1, index=-1)
TURNS: Final = slice(columns.LONGEST, columns.RESPONSE_SUM + 1)
"""The columns of a channel that make up `Turns`."""


class Turns(NamedTuple):
    """A side's longest silence in samples; how often it began while the other side spoke; its responses."""

    longest: int
    asked: int
    ended: int
    interruptions: int
    responses: int
    response_sum: int


@dataclass(slots=True)
class Stretch:
    """Positions [start, end) of a window or of the whole session, and what was counted in them.

    `counts` are the session's numbers, `levels` those of each side. What only a total knows is -1 on windows: overtalk,
    dead air, and what each side's turns came to.
    """

    kind: ActivityKind
    start: int
    end: int
    counts: Sequence[int]
    levels: Sequence[Sequence[int]]
    overtalk: int = -1
    dead_air: int = -1
    turns: Sequence["Turns | None"] = (None, None)
    active_dbfs: Sequence[float | None] = (None, None)


class About:
    """What all records of one session share, made from its `info` and media, and from `partial`."""

    __slots__ = ("_events", "_judged", "_rate_hz", "_windows", "info", "partial", "sides")

    def __init__(
        self, table: SessionTable, slot: int, session: Sequence[int], settings_hash: str, detector: str
    ) -> None:
        """`session` is the session's row, `detector` the name of what judges it."""
        self._judged = session[columns.VOICED] != 0
        self.info = info = table.infos[slot]
        self.partial = bool(table.partial[slot])
        self._rate_hz = session[columns.RATE]
        self.sides = SIDES_OF[session[columns.LAYOUT]]
        shared: dict[str, Any] = {
            "conversation_id": table.conversations[slot],
            "session_id": str(UUID(bytes=table.ids[slot])),
            "organisation": None if info is None else info.organisation,
            "queue": None if info is None else info.queue,
            "agent": None if info is None else info.agent,
            "source": _SOURCES[session[columns.SOURCE]],
            "sample_rate_hz": self._rate_hz,
            "anchor_at_us": session[columns.ANCHOR_US],
            "origin": _HOST_FILLS_IN,
            "settings_hash": settings_hash,
            "partial": self.partial,
        }
        self._events = Drafts(SilenceEvent(detector=detector, **shared))
        self._windows = [Drafts(ActivityWindow(channel=side, **shared)) for side in self.sides]

    def event(self, span: Span, captured_at_us: int) -> SilenceEvent:
        """Return a span as a record."""
        length = span.end - span.start
        event = self._events.draft()
        event.kind = span.kind
        event.channel = Channel.ALL if span.side == ALL else self.sides[span.side]
        event.captured_at_us = captured_at_us
        event.start_samples = span.start
        event.end_samples = span.end
        event.ended_by = span.ended_by
        event.alarm = span.alarm
        if span.end >= 0:
            event.duration_ms = self._ms(length)
            if length > 0 and span.squares is not None:
                event.level_dbfs = level_dbfs(span.squares, length)
            if length > 0 and span.odds is not None and self._judged:
                odds = span.odds / (length * ODDS_STEPS)
                event.confidence = _likelihood(odds if span.kind is SilenceEventKind.SPEECH else -odds)
        return self._events.finish(event)

    def windows(self, stretch: Stretch, captured_at_us: int) -> list[ActivityWindow]:
        """Return one record per channel, in the order of the channels."""
        counts = stretch.counts
        heard = counts[columns.HEARD]
        audio_ms, missing_ms, paused_ms = (
            self._ms(counts[column]) for column in (columns.AUDIO, columns.MISSING, columns.PAUSE)
        )
        records = []
        for drafts, levels, turns, active_dbfs in zip(
            self._windows, stretch.levels, stretch.turns, stretch.active_dbfs, strict=False
        ):
            window = drafts.draft()
            window.kind = stretch.kind
            window.captured_at_us = captured_at_us
            window.start_samples = stretch.start
            window.end_samples = stretch.end
            if heard > 0:
                window.level_dbfs = level_dbfs(levels[columns.SQUARES], heard)
                window.peak_dbfs = peak_dbfs(levels[columns.PEAK])
                window.dc_offset_ratio = round(levels[columns.SAMPLE_SUM] / (heard * FULL_SCALE), 6)
                window.speech_ratio = levels[columns.SPEECH] / heard
                window.silence_ratio = levels[columns.SILENCE] / heard
            if levels[columns.SILENCE] > 0:
                window.noise_floor_dbfs = level_dbfs(levels[columns.QUIET_SQUARES], levels[columns.SILENCE])
            window.clipped_samples = levels[columns.CLIPPED]
            window.audio_ms = audio_ms
            window.missing_ms = missing_ms
            window.paused_ms = paused_ms
            window.first_sequence = counts[columns.FIRST] - 1
            window.last_sequence = counts[columns.LAST] - 1
            window.frames = counts[columns.FRAMES]
            window.bytes = counts[columns.BYTES]
            window.frames_with_signal = levels[columns.SIGNAL]
            window.sound_ms = self._ms(levels[columns.SOUND])
            window.speech_ms = self._ms(levels[columns.SPEECH])
            window.silence_ms = self._ms(levels[columns.SILENCE])
            window.active_level_dbfs = active_dbfs
            if turns is not None:
                window.overtalk_ms = self._ms(stretch.overtalk)
                window.dead_air_ms = self._ms(stretch.dead_air)
                window.longest_silence_ms = self._ms(turns.longest)
                self._take_turns(window, turns, [own[columns.SPEECH] for own in stretch.levels])
            records.append(drafts.finish(window))
        return records

    def _take_turns(self, window: Any, turns: Turns, speech: Sequence[int]) -> None:
        """State what only two sides have: interruptions, responses, and whose share of the talk is what."""
        if len(self.sides) == SIDES:
            window.interruptions = turns.interruptions
            window.responses = turns.responses
            if sum(speech):
                window.talk_share_ratio = window.speech_ms / self._ms(sum(speech))
            if turns.responses:
                window.response_mean_ms = self._ms(turns.response_sum) / turns.responses

    def _ms(self, samples: int) -> float:
        return samples * _MS / self._rate_hz


def _likelihood(odds: float) -> float:
    """Return log odds as a share of 1, in hundredths."""
    return round(1 / (1 + math.exp(-odds)), 2)
