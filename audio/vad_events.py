"""Decisions per frame → spans: what people call speech and silence, without the stutter of single frames.

Pauses of up to 200 ms inside speech are speech, then speech of under 100 ms is none. Both ends of a stretch count as
they are: what would have come before or after is not guessed.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Spans = NDArray[np.int64]

CLOSED_FRAMES: Final = 10
"""Pauses in speech of up to this many 20-ms frames are closed."""

SPEECH_FRAMES: Final = 5
"""Speech shorter than this many 20-ms frames is dropped."""


def spans(flags: Flags) -> Spans:
    """Return (n, 2): first frame of each run of True, and the frame behind its last."""
    edges = np.flatnonzero(np.diff(np.concatenate(((False,), flags, (False,)))))
    return edges.reshape(-1, 2).astype(np.int64)


def smoothed(speech: Flags, closed_frames: int = CLOSED_FRAMES, speech_frames: int = SPEECH_FRAMES) -> Flags:
    """Close short pauses between speech, then drop what speech is shorter than `speech_frames`."""
    out = speech.copy()
    runs = spans(out)
    for end, start in zip(runs[:-1, 1].tolist(), runs[1:, 0].tolist(), strict=True):
        if start - end <= closed_frames:
            out[end:start] = True
    for start, end in spans(out).tolist():
        if end - start < speech_frames:
            out[start:end] = False
    return out


def silences(speech: Flags, least_frames: int, closed_frames: int = CLOSED_FRAMES) -> Spans:
    """Return the spans of at least `least_frames` without speech, after smoothing."""
    quiet = spans(~smoothed(speech, closed_frames))
    return quiet[quiet[:, 1] - quiet[:, 0] >= least_frames]
