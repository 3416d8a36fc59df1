"""What was found → records, with everything derived records repeat about their session."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from audio.levels import level_dbfs, peak_dbfs
from audio.session import SessionTable
from processors.silence import state as columns
from processors.silence.media import SIDES_OF
from processors.silence.spans import ALL, Span
from schemas.records import ActivityWindow, Origin, SilenceEvent
from schemas.symbols import ActivityKind, Channel, SilenceEventKind, Source
from schemas.topics import AUDIO

_MS: Final = 1000
_SOURCES: Final = tuple(Source)
_HOST_FILLS_IN: Final = Origin(topic=AUDIO.name, partition=-1, offset=-1, index=-1)
_LEVELLED: Final = (SilenceEventKind.SPEECH, SilenceEventKind.SILENCE)


@dataclass(slots=True)
class Stretch:
    """Positions [start, end) of a window or of the whole session, and what was counted in them.

    `counts` are the session's numbers, `levels` those of each side. What only a total knows is -1 on windows: overtalk,
    dead air, and the longest silence of each side.
    """

    kind: ActivityKind
    start: int
    end: int
    counts: Sequence[int]
    levels: Sequence[Sequence[int]]
    overtalk: int = -1
    dead_air: int = -1
    longest: tuple[int, ...] = (-1, -1)


class About:
    """What all records of one session share, made from its `info` and media, and from `partial`."""

    __slots__ = ("_rate_hz", "_shared", "info", "partial", "sides")

    def __init__(self, table: SessionTable, slot: int, session: Sequence[int], settings_hash: str) -> None:
        """`session` is the session's row."""
        self.info = info = table.infos[slot]
        self.partial = bool(table.partial[slot])
        self._rate_hz = session[columns.RATE]
        self.sides = SIDES_OF[session[columns.LAYOUT]]
        self._shared: dict[str, Any] = {
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

    def event(self, span: Span, captured_at_us: int, detector: str) -> SilenceEvent:
        """Return a span as a record."""
        length = span.end - span.start
        levelled = span.kind in _LEVELLED and length > 0
        return SilenceEvent(
            kind=span.kind,
            channel=Channel.ALL if span.side == ALL else self.sides[span.side],
            captured_at_us=captured_at_us,
            start_samples=span.start,
            end_samples=span.end,
            duration_ms=self._ms(length) if span.end >= 0 else -1,
            level_dbfs=level_dbfs(span.squares, length) if levelled else None,
            ended_by=span.ended_by,
            alarm=span.alarm,
            detector=detector,
            **self._shared,
        )

    def windows(self, stretch: Stretch, captured_at_us: int) -> list[ActivityWindow]:
        """Return one record per channel, in the order of the channels."""
        return [self._window(stretch, side, captured_at_us) for side in range(len(self.sides))]

    def _window(self, stretch: Stretch, side: int, captured_at_us: int) -> ActivityWindow:
        counts, levels = stretch.counts, stretch.levels[side]
        heard = counts[columns.HEARD]
        known = heard > 0
        return ActivityWindow(
            kind=stretch.kind,
            channel=self.sides[side],
            captured_at_us=captured_at_us,
            start_samples=stretch.start,
            end_samples=stretch.end,
            level_dbfs=level_dbfs(levels[columns.SQUARES], heard) if known else None,
            peak_dbfs=peak_dbfs(levels[columns.PEAK]) if known else None,
            speech_ratio=levels[columns.SPEECH] / heard if known else -1,
            clipped_samples=levels[columns.CLIPPED],
            audio_ms=self._ms(counts[columns.AUDIO]),
            missing_ms=self._ms(counts[columns.MISSING]),
            paused_ms=self._ms(counts[columns.PAUSE]),
            first_sequence=counts[columns.FIRST] - 1,
            last_sequence=counts[columns.LAST] - 1,
            frames=counts[columns.FRAMES],
            bytes=counts[columns.BYTES],
            frames_with_signal=levels[columns.SIGNAL],
            speech_ms=self._ms(levels[columns.SPEECH]),
            silence_ms=self._ms(levels[columns.SILENCE]),
            overtalk_ms=self._ms(stretch.overtalk),
            dead_air_ms=self._ms(stretch.dead_air),
            longest_silence_ms=self._ms(stretch.longest[side]),
            **self._shared,
        )

    def _ms(self, samples: int) -> float:
        return samples * _MS / self._rate_hz if samples >= 0 else -1
