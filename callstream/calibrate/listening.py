"""Records of calls.audio → each channel of each session in blocks of 20 ms: level, and what the voice detector hears.

Pure. Samples stand where their positions say, those that came twice count once, and what is missing is left out.
Blocks are counted from the begin of each stretch without holes; what is left at its end is no block.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from audio import g711
from audio.frames import Frames
from audio.session import SessionTable, Verdict
from audio.vad import VadState, VoiceDetector
from audio.vad_frames import FACTORS, brought_down, tail_samples
from schemas.symbols import Channel, Channels, Codec, FrameKind

BLOCKS_PER_S: Final = 50
_CODECS: Final = list(Codec)
_LAYOUTS: Final = list(Channels)
_SIDES: Final = {
    Channels.UNKNOWN: (Channel.UNKNOWN,),
    Channels.EXTERNAL: (Channel.EXTERNAL,),
    Channels.INTERNAL: (Channel.INTERNAL,),
    Channels.EXTERNAL_INTERNAL: (Channel.EXTERNAL, Channel.INTERNAL),
    Channels.INTERNAL_EXTERNAL: (Channel.INTERNAL, Channel.EXTERNAL),
    Channels.MIXED: (Channel.MIXED,),
    Channels.BOT: (Channel.BOT,),
}
_PEAKS: Final = {
    Codec.PCMU: int(g711.PCMU.max()),
    Codec.PCMA: int(g711.PCMA.max()),
    Codec.L16_LE: 32_767,
    Codec.L16_BE: 32_767,
}
"""The magnitude from which on a sample is clipped."""

_REST: Final = {Codec.PCMA: 8}
"""The magnitude of digital silence, where that is not 0."""

_AT_ONCE_BLOCKS: Final = 500
"""Blocks that are brought down to 8 kHz at once, so that memory stays small."""

Samples = NDArray[np.int16]
Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One channel of one session at one rate: a number per block of 20 ms.

    `starts` are positions of first samples, `sums` sums of squares; `digital` is True where nothing is above digital
    silence. `speech` and `active` are the voice detector's answers: active without speech is music or a tone.
    """

    session_id: str
    channel: Channel
    sample_rate_hz: int
    starts: Whole
    sums: Whole
    digital: Flags
    clipped_samples: int
    speech: Flags
    active: Flags

    @property
    def block_samples(self) -> int:
        """Samples of a block."""
        return self.sample_rate_hz // BLOCKS_PER_S

    @property
    def seconds(self) -> float:
        """The length of all blocks."""
        return len(self.starts) / BLOCKS_PER_S


@dataclass(frozen=True, slots=True)
class Heard:
    """What was listened to. `unheard_s` has the seconds of audio that could not be, by why."""

    streams: tuple[Stream, ...]
    unheard_s: dict[str, float] = field(default_factory=dict)

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len({stream.session_id for stream in self.streams})


def listen(frames: Frames, keys: Sequence[bytes | None]) -> Heard:
    """Listen to whole sessions; `keys` are the records' own."""
    found, unheard = _pieces(frames, keys)
    streams = [_Blocks(*name, pieces) for name, pieces in sorted(found.items())]
    streams = [stream for stream in streams if len(stream.starts)]
    answers = _voices([stream.at_8_khz() for stream in streams])
    heard = [stream.with_answers(*answer) for stream, answer in zip(streams, answers, strict=True)]
    return Heard(tuple(heard), unheard)


@dataclass(frozen=True, slots=True, order=True)
class _Piece:
    """Consecutive samples of one channel, and the codec they came in."""

    position: int
    samples: Samples = field(compare=False)
    codec: Codec = field(compare=False)


_Name = tuple[str, Channel, int]
"""Session, channel, rate."""


def _pieces(frames: Frames, keys: Sequence[bytes | None]) -> tuple[dict[_Name, list[_Piece]], dict[str, float]]:
    """Return the samples of each stream, and the seconds of what cannot be heard, by why."""
    identity = SessionTable().identify(frames, keys, 0)
    wanted = (identity.verdicts & np.uint8(Verdict.ACCEPTED) != 0) & (frames.kind == FrameKind.AUDIO.code)
    found: dict[_Name, list[_Piece]] = defaultdict(list)
    unheard_s: dict[str, float] = defaultdict(float)
    for row in np.flatnonzero(wanted & (frames.position_samples >= 0)).tolist():
        codec, rate_hz = _CODECS[frames.codec[row]], int(frames.sample_rate_hz[row])
        sides = _SIDES[_LAYOUTS[frames.channels[row]]]
        if codec not in _PEAKS or rate_hz not in FACTORS:
            why = f"{rate_hz} Hz" if codec in _PEAKS else str(codec)
            unheard_s[why] += max(0, int(frames.duration_samples[row])) / rate_hz
            continue
        samples = _decoded(frames.payload(row), codec, len(sides))
        session = str(UUID(bytes=bytes(frames.session_id[row])))
        for side, channel in enumerate(sides):
            piece = _Piece(int(frames.position_samples[row]), samples[side], codec)
            found[session, channel, rate_hz].append(piece)
    return found, unheard_s


def _decoded(payload: bytes, codec: Codec, sides: int) -> Samples:
    """Return (sides, samples)."""
    if codec is Codec.PCMU:
        samples = g711.decode_pcmu(payload)
    elif codec is Codec.PCMA:
        samples = g711.decode_pcma(payload)
    else:
        dtype = "<i2" if codec is Codec.L16_LE else ">i2"
        samples = np.frombuffer(payload[: len(payload) // 2 * 2], dtype).astype(np.int16)
    return samples[: len(samples) // sides * sides].reshape(-1, sides).T


class _Blocks:
    """One stream, cut into blocks."""

    def __init__(self, session_id: str, channel: Channel, rate_hz: int, pieces: list[_Piece]) -> None:
        self._name = (session_id, channel, rate_hz)
        size = rate_hz // BLOCKS_PER_S
        starts, blocks, quiet, clipped = [], [], [], 0
        for position, samples, audible, over in _stretches(pieces):
            count = len(samples) // size
            starts.append(position + size * np.arange(count))
            blocks.append(samples[: count * size].reshape(count, size))
            quiet.append(~audible[: count * size].reshape(count, size).any(axis=1))
            clipped += int(over[: count * size].sum())
        self.starts: Whole = np.concatenate(starts).astype(np.int64)
        self._samples: Samples = np.concatenate(blocks)
        self._digital: Flags = np.concatenate(quiet)
        self._clipped_samples = clipped

    def at_8_khz(self) -> Samples:
        """Return (blocks, 160)."""
        factor = FACTORS[self._name[2]]
        tail = np.zeros((1, tail_samples(factor)), np.int16)
        parts = [
            brought_down(tail, self._samples[at : at + _AT_ONCE_BLOCKS].reshape(1, -1), factor)
            for at in range(0, len(self._samples), _AT_ONCE_BLOCKS)
        ]
        return np.concatenate(parts, axis=1).reshape(len(self._samples), -1)

    def with_answers(self, speech: Flags, active: Flags) -> Stream:
        """Return the stream with what the voice detector says of it."""
        sums = np.array([np.square(block.astype(np.int64)).sum() for block in self._samples], np.int64)
        return Stream(*self._name, self.starts, sums, self._digital, self._clipped_samples, speech, active)


def _stretches(pieces: list[_Piece]) -> list[tuple[int, Samples, Flags, Flags]]:
    """Return (position, samples, True where above digital silence, True where clipped) of stretches without holes."""
    stretches: list[tuple[int, list[tuple[Samples, Flags, Flags]]]] = []
    end = -1
    for piece in sorted(pieces):
        fresh = piece.samples[max(0, end - piece.position) if stretches else 0 :]
        if len(fresh) == 0:
            continue
        if not stretches or piece.position > end:
            stretches.append((piece.position, []))
        magnitude = np.abs(fresh.astype(np.int32))
        stretches[-1][1].append((fresh, magnitude > _REST.get(piece.codec, 0), magnitude >= _PEAKS[piece.codec]))
        end = piece.position + len(piece.samples)
    found = []
    for position, parts in stretches:
        samples, audible, clipped = zip(*parts, strict=True)
        found.append((position, np.concatenate(samples), np.concatenate(audible), np.concatenate(clipped)))
    return found


def _voices(streams: Sequence[Samples]) -> list[tuple[Flags, Flags]]:
    """Return speech and active of each block of each stream; all streams are stepped together, block by block."""
    lengths = np.array([len(stream) for stream in streams], np.int64)
    longest_first = np.argsort(-lengths, kind="stable")
    speech = [np.zeros(length, np.bool_) for length in lengths]
    active = [np.zeros(length, np.bool_) for length in lengths]
    detector, state = VoiceDetector(delay_frames=1), VadState.new(len(streams))
    counts = lengths[longest_first]
    for block in range(int(counts[0]) if len(counts) else 0):
        going = longest_first[: int(np.searchsorted(-counts, -block))]
        answers = detector.step(state, slice(0, len(going)), np.stack([streams[which][block] for which in going]))
        for place, which in enumerate(going.tolist()):
            active[which][block] = answers.active[place]
            if block > 0:  # its answer about speech is of the block before
                speech[which][block - 1] = answers.speech[place]
    for flags in speech:
        # nothing follows the last block, so nothing was said of it
        flags[-1:] = flags[-2:-1].any()
    return list(zip(speech, active, strict=True))
