"""Records of calls.audio → the callers' voices on their bridges: of calls that are open here, and while fresh."""

from collections.abc import Callable, Sequence

from audio.frames import Frames, decode
from processors.cognigy.bridge.audio import Chunker, Piece, callers
from runtime.clock import Clock
from runtime.metrics import COGNIGY_AUDIO
from schemas.codec import SchemaStore
from schemas.symbols import Channels, Codec, FrameKind

_AUDIO, _CLOSED = FrameKind.AUDIO.code, FrameKind.CLOSED.code
_CODECS, _CHANNELS = tuple(Codec), tuple(Channels)

Speak = Callable[[str, Piece], None]


class Listening:
    """Hears the partitions a worker holds. `is_open` says whether a conversation's call is one of ours."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it hears, by which rules, and where it goes
        self,
        store: SchemaStore,
        clock: Clock,
        is_open: Callable[[int, str], bool],
        speak: Speak,
        chunk_ms: int,
        max_age_ms: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._is_open = is_open
        self._speak = speak
        self._chunk_ms = chunk_ms
        self._max_age_us = max_age_ms * 1000
        self._chunkers: dict[bytes, Chunker] = {}

    def __call__(self, partition: int, values: Sequence[bytes | None], keys: Sequence[bytes | None]) -> None:
        """Take the next records of a partition."""
        frames = decode(values, self._store)
        oldest_us = self._clock.wall_s() * 1e6 - self._max_age_us
        for row in range(len(frames)):
            if not frames.ok[row]:
                continue
            if frames.kind[row] == _CLOSED:
                self._chunkers.pop(frames.session_id[row].tobytes(), None)
            elif frames.kind[row] == _AUDIO:
                self._take(partition, (keys[row] or b"").decode("utf-8", "replace"), frames, row, oldest_us)

    def _take(self, partition: int, conversation: str, frames: Frames, row: int, oldest_us: float) -> None:
        if not self._is_open(partition, conversation):
            return
        captured_at_us = int(frames.captured_at_us[row])
        if captured_at_us < oldest_us:
            COGNIGY_AUDIO.labels("stale").inc()
            return
        codec = _CODECS[frames.codec[row]]
        payload = callers(frames.payload(row), codec, _CHANNELS[frames.channels[row]])
        if payload is None:
            return
        rate_hz, position = int(frames.sample_rate_hz[row]), int(frames.position_samples[row])
        piece = Piece(payload, codec, rate_hz, position, captured_at_us)
        chunker = self._chunkers.setdefault(frames.session_id[row].tobytes(), Chunker(self._chunk_ms))
        for chunk in chunker.take(piece):
            self._speak(conversation, chunk)
