"""The live metric of calls.speech: bytes passed and left out. The processor itself stays pure.

Frames that are decided again after a failed commit count again.
"""

from processors.speech.logic import SpeechProcessor
from processors.speech.state import SpeechState
from runtime import metrics
from runtime.processor import Batch, EmitAny, ExpireEmitAny


class MeteredSpeech(SpeechProcessor):
    """The same processor; what it decides is counted."""

    def process(self, batch: Batch, state: SpeechState, emit: EmitAny) -> None:
        """Take the batch, and count what is decided."""
        super().process(batch, state, emit)
        count(state)

    def expire(self, stream_time_ms: int, state: SpeechState, emit: ExpireEmitAny) -> None:
        """Let stream time pass, and count what is decided."""
        super().expire(stream_time_ms, state, emit)
        count(state)


def count(state: SpeechState) -> None:
    """Count what was decided since the last call."""
    for outcome, size in state.take_bytes().items():
        metrics.SPEECH_BYTES.labels(outcome).inc(size)
