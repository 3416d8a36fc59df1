"""Load the shipped conversation: its bytes as a call would send them, and its truth. It decodes nothing."""

import json
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
_MULAW_TAG: Final = 7


@dataclass(frozen=True, slots=True)
class Span:
    """Samples [start, end) of the conversation; channel None means both at once. `at` is start, inside or end.

    `text` is what is said, empty where nobody speaks.
    """

    start_samples: int
    end_samples: int
    channel: int | None = None
    at: str = "inside"
    text: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Two speakers on one timeline.

    payload: mu-law bytes, sample-interleaved in the order of `channels`. speech: lines, by channel. pauses: every
    stretch of 500 ms or more without a line, by channel. dead_air, overtalk: nobody or both. edit_points_samples: one
    instant inside each overtalk where both are loud, so that a cut there ends no pause.
    """

    payload: bytes
    sample_rate_hz: int
    channels: tuple[str, ...]
    length_samples: int
    speech: tuple[Span, ...]
    pauses: tuple[Span, ...]
    dead_air: tuple[Span, ...]
    overtalk: tuple[Span, ...]
    edit_points_samples: tuple[int, ...]


@cache
def load() -> Conversation:
    """Read the two files beside this module; raises ValueError if they do not belong together."""
    truth = json.loads((FOLDER / "truth.json").read_text())
    payload, channels, rate_hz = read_mulaw_wav((FOLDER / "conversation.wav").read_bytes())
    length = truth["length_samples"]
    if (len(payload), channels, rate_hz) != (length * channels, len(truth["channels"]), truth["sample_rate_hz"]):
        message = "conversation.wav and truth.json differ in length, channels or rate"
        raise ValueError(message)

    def spans(name: str) -> tuple[Span, ...]:
        return tuple(
            Span(x["start"], x["end"], x.get("channel"), x.get("at", "inside"), x.get("text", "")) for x in truth[name]
        )

    return Conversation(
        payload=payload,
        sample_rate_hz=rate_hz,
        channels=tuple(truth["channels"]),
        length_samples=length,
        speech=spans("speech"),
        pauses=spans("pauses"),
        dead_air=spans("dead_air"),
        overtalk=spans("overtalk"),
        edit_points_samples=tuple(truth["edit_points_samples"]),
    )


def read_mulaw_wav(content: bytes) -> tuple[bytes, int, int]:
    """Take a mu-law WAV apart: interleaved payload, channels, rate in Hz. Raises ValueError for any other file."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        message = "not a WAV file"
        raise ValueError(message)
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        chunks[name] = content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    if b"fmt " not in chunks or b"data" not in chunks:
        message = "a WAV file needs the chunks 'fmt ' and 'data'"
        raise ValueError(message)
    tag, channels, rate_hz = struct.unpack_from("<HHI", chunks[b"fmt "])
    if tag != _MULAW_TAG or channels == 0 or len(chunks[b"data"]) % channels:
        message = "only mu-law WAV files with whole samples are sent as they are"
        raise ValueError(message)
    return chunks[b"data"], channels, rate_hz
