"""How good decisions are against the truth: frames, delays and events."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.vad_events import silences, spans

FRAME_MS: Final = 20
SILENCE_FRAMES: Final = 50
_OVERLAP: Final = 0.7

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Decisions:
    """Speech per frame of one scene, and how much later than the frame's end each is known."""

    speech: Flags
    late_ms: float = 0.0


@dataclass(slots=True)
class Score:
    """Counts that add up. Delays are in ms from the true edge to the moment the decision is known."""

    hit: int = 0
    missed: int = 0
    false: int = 0
    right: int = 0
    event_hit: int = 0
    event_missed: int = 0
    event_false: int = 0
    onsets_ms: list[float] = field(default_factory=list)
    offsets_ms: list[float] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Share of frames called speech that are."""
        return _ratio(self.hit, self.hit + self.false)

    @property
    def recall(self) -> float:
        """Share of speech frames called so."""
        return _ratio(self.hit, self.hit + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return _ratio(2 * self.hit, 2 * self.hit + self.false + self.missed)

    @property
    def miss(self) -> float:
        """Share of speech frames not called so."""
        return _ratio(self.missed, self.hit + self.missed)

    @property
    def false_alarm(self) -> float:
        """Share of frames without speech called speech."""
        return _ratio(self.false, self.false + self.right)

    @property
    def event_f1(self) -> float:
        """F1 of silences of at least a second that overlap by 70 % of their union."""
        return _ratio(2 * self.event_hit, 2 * self.event_hit + self.event_false + self.event_missed)

    def onset_ms(self, percent: float) -> float:
        """Return a percentile of the onsets' delays."""
        return float(np.percentile(self.onsets_ms, percent)) if self.onsets_ms else 0.0

    def offset_ms(self, percent: float) -> float:
        """Return a percentile of the offsets' delays."""
        return float(np.percentile(self.offsets_ms, percent)) if self.offsets_ms else 0.0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def total(scores: Iterable[Score]) -> Score:
    """Add scores up."""
    out = Score()
    for score in scores:
        for name in ("hit", "missed", "false", "right", "event_hit", "event_missed", "event_false"):
            setattr(out, name, getattr(out, name) + getattr(score, name))
        out.onsets_ms += score.onsets_ms
        out.offsets_ms += score.offsets_ms
    return out


def score(truth: Flags, found: Decisions) -> Score:
    """Compare decisions with the truth of one scene."""
    said = found.speech
    out = Score(
        int(np.count_nonzero(truth & said)),
        int(np.count_nonzero(truth & ~said)),
        int(np.count_nonzero(~truth & said)),
        int(np.count_nonzero(~truth & ~said)),
    )
    _events(out, truth, said)
    edges = spans(truth).tolist()
    for number, (start, end) in enumerate(edges):
        following = edges[number + 1][0] if number + 1 < len(edges) else len(truth)
        if start > 0:
            positive = np.flatnonzero(said[start:end])
            frames = int(positive[0]) + 1 if len(positive) else end - start + 1
            out.onsets_ms.append(frames * FRAME_MS + found.late_ms)
        negative = np.flatnonzero(~said[end:following])
        if following > end:
            frames = int(negative[0]) if len(negative) else following - end
            out.offsets_ms.append(frames * FRAME_MS + found.late_ms)
    return out


def _events(out: Score, truth: Flags, said: Flags) -> None:
    """Match silences one to one. One on the border of a second may match one just below it on the other side."""
    least = int(SILENCE_FRAMES * _OVERLAP)
    true, found = silences(truth, least), silences(said, least)
    taken: set[int] = set()
    for start, end in true.tolist():
        best = max(
            (_overlap(start, end, *other), place) for place, other in [*enumerate(found.tolist()), (-1, [-2, -1])]
        )
        if best[0] >= _OVERLAP:
            taken.add(best[1])
            out.event_hit += 1
        elif end - start >= SILENCE_FRAMES:
            out.event_missed += 1
    out.event_false += sum(
        1 for place, (start, end) in enumerate(found.tolist()) if place not in taken and end - start >= SILENCE_FRAMES
    )


def _overlap(start: int, end: int, other_start: int, other_end: int) -> float:
    both = min(end, other_end) - max(start, other_start)
    return max(0, both) / (max(end, other_end) - min(start, other_start))
