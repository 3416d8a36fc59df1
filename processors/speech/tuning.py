"""What shapes the copies, and how long a frame must be held until it is certain."""

from dataclasses import dataclass, field
from typing import Final

from audio.window import DEFAULT_MS
from processors.silence.media import BLOCKS_PER_S
from processors.silence.tuning import Tuning

_BLOCK_MS: Final = 1000 // BLOCKS_PER_S
_LATE_BLOCKS: Final = 3
"""The unfinished block, the one nothing is told of yet, and the one at whose end a span is confirmed."""


@dataclass(frozen=True, slots=True)
class SpeechTuning:
    """The tuning of silence, the margin in ms, and the digest of both."""

    silence: Tuning = field(default_factory=Tuning)
    margin_ms: int = 200
    settings_hash: str = ""

    @property
    def hold_ms(self) -> int:
        """Return how much audio must follow a frame until all spans it may touch are known.

        A span may begin `margin_ms` behind the frame. It is confirmed once speech has lasted `min_speech_ms`, pauses
        shorter than `min_silence_ms` counted in, and by a block that is speech: at the latest behind both. That an
        earlier one ended is known after `min_silence_ms`, which is less. Besides, blocks are told late, and packets
        are put in order within the time of their window.
        """
        tunings = (self.silence, *(override.tuning for override in self.silence.overrides))
        longest_ms = max(each.min_speech_ms + each.min_silence_ms for each in tunings)
        return self.margin_ms + longest_ms + _LATE_BLOCKS * _BLOCK_MS + DEFAULT_MS
