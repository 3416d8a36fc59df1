"""One file of a session while it grows: where each frame goes, and what it holds so far. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from audio.timeline import Coverage
from audio.wav import MAX_DATA_BYTES, WavFormat
from schemas.symbols import Channels, Codec
from sinks.recording_sync.entries import Fill, Put


@dataclass(slots=True)
class Segment:
    """A run of a session's audio in one format.

    `base_samples` is the position of the file's first sample. `suffix` tells the files of a session apart: empty for
    the one that begins at the session's first record, else the sequence of its first frame.
    """

    number: int
    suffix: str
    form: WavFormat
    base_samples: int
    anchor_us: int
    numbered: bool
    coverage: Coverage = field(default_factory=Coverage)
    frames: int = 0
    payload_bytes: int = 0
    rewritten_samples: int = 0

    @property
    def stop_samples(self) -> int:
        """Position behind the last sample so far."""
        return self.base_samples if self.coverage.stop is None else self.coverage.stop

    @property
    def least_file_bytes(self) -> int:
        """How long the work file must be to hold what was planned."""
        return self.offset_bytes(self.stop_samples)

    def offset_bytes(self, position_samples: int) -> int:
        """Return where a sample lies in the file."""
        return self.form.header_bytes + (position_samples - self.base_samples) * self.form.block_bytes

    def refusal(self, position_samples: int, samples: int, longest_s: int) -> str | None:
        """Return why a frame cannot be placed, or None."""
        if position_samples < self.base_samples:
            return "before_start"
        if position_samples + samples > self.furthest_samples(longest_s):
            return "beyond_longest"
        return None

    def furthest_samples(self, longest_s: int) -> int:
        """Return the position behind which nothing is recorded: the setting's, or what a WAV file can say."""
        return self.base_samples + min(longest_s * self.form.sample_rate_hz, MAX_DATA_BYTES // self.form.block_bytes)

    def place(self, name: str, position_samples: int, payload: bytes) -> Iterator[Put | Fill]:
        """Put a frame into its place; what lies between it and the audio so far is filled with silence."""
        data = self.form.stored(payload)
        stop = position_samples + len(data) // self.form.block_bytes
        if self.coverage.stop is None:
            yield Put(name, 0, self.form.header(0))
        yield from self.extend(name, position_samples)
        yield Put(name, self.offset_bytes(position_samples), data)
        self.rewritten_samples += self.coverage.add(position_samples, stop)
        self.frames += 1
        self.payload_bytes += len(payload)

    def extend(self, name: str, position_samples: int) -> Iterator[Fill]:
        """Fill the file with silence up to a position."""
        hole = (position_samples - self.stop_samples) * self.form.block_bytes
        if hole > 0:
            yield Fill(name, self.offset_bytes(self.stop_samples), hole, self.form.silence(1)[:1])

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {
            "number": self.number,
            "suffix": self.suffix,
            "codec": self.form.codec,
            "channels": self.form.channels,
            "sample_rate_hz": self.form.sample_rate_hz,
            "base_samples": self.base_samples,
            "anchor_us": self.anchor_us,
            "numbered": self.numbered,
            "coverage": [list(stretch) for stretch in self.coverage.stretches],
            "frames": self.frames,
            "payload_bytes": self.payload_bytes,
            "rewritten_samples": self.rewritten_samples,
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> "Segment":
        """Return the segment whose state this is."""
        rest = dict(state)
        form = WavFormat(Codec(rest.pop("codec")), Channels(rest.pop("channels")), rest.pop("sample_rate_hz"))
        coverage = Coverage((start, stop) for start, stop in rest.pop("coverage"))
        return cls(form=form, coverage=coverage, **rest)
