"""What the silence processor makes of audio under some thresholds, held against what the voice detector hears in it.

Pure. It is the processor that runs, not a model of it: spans, minimum lengths and gaps are the service's own.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from audio.frames import Frames
from audio.session import IDLE_MS
from callstream.calibrate.listening import BLOCKS_PER_S, Flags, Stream
from callstream.calibrate.proposal import parts_of
from processors.silence.logic import SilenceProcessor
from processors.silence.tuning import Tuning
from runtime.processor import Batch
from schemas.records import Derived, SilenceEvent
from schemas.symbols import Channel, SilenceEventKind

_POLL: Final = 2000
_SPEECH, _SILENCE = SilenceEventKind.SPEECH, SilenceEventKind.SILENCE
_Name = tuple[str, Channel, int]
LEVEL: Final = "level"
"""The detector that goes by the thresholds."""

VOICE: Final = "voice"
"""The detector that says what is noise and what is speech; it is not judged by itself."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One channel of all calls. Ratios are 0 to 1, -1 where there is nothing they could be of, or nobody to judge.

    Active is what lies in no silence. `active_noise_ratio` is the share of noise that is active, `quiet_speech_ratio`
    that of speech which is not; what is noise and what is speech says the voice detector.
    """

    channel: Channel
    active_ratio: float
    speech_spans: int
    silences: int
    longest_silence_s: float
    active_noise_ratio: float
    quiet_speech_ratio: float


def effects(
    frames: Frames, keys: Sequence[bytes | None], streams: Sequence[Stream], tuning: Tuning
) -> tuple[Effect, ...]:
    """Return what `tuning` makes of each channel, counted over `streams`, which were made of these records."""
    spans, judged = _spans(frames, keys, tuning), tuning.detector != VOICE
    by_channel: dict[Channel, list[Stream]] = defaultdict(list)
    for stream in streams:
        by_channel[stream.channel].append(stream)
    found = (_effect(channel, by_channel[channel], spans) for channel in sorted(by_channel))
    return tuple(each if judged else replace(each, active_noise_ratio=-1, quiet_speech_ratio=-1) for each in found)


def _spans(frames: Frames, keys: Sequence[bytes | None], tuning: Tuning) -> dict[_Name, list[SilenceEvent]]:
    """Run the processor over the records, end what is open, and return the finished spans of each stream."""
    found: dict[_Name, list[SilenceEvent]] = defaultdict(list)

    def emit(_row: int, record: Derived) -> None:
        keep(record)

    def keep(record: Derived) -> None:
        if isinstance(record, SilenceEvent) and record.kind in (_SPEECH, _SILENCE):
            found[record.session_id, record.channel, record.sample_rate_hz].append(record)

    processor = SilenceProcessor(tuning)
    state = processor.new_state()
    for start in range(0, len(frames), _POLL):
        part = slice(start, start + _POLL)
        processor.process(Batch(frames.slice(start, start + _POLL), tuple(keys[part]), 0), state, emit)
    processor.expire(IDLE_MS, state, keep)
    return found


def _effect(channel: Channel, streams: Sequence[Stream], spans: dict[_Name, list[SilenceEvent]]) -> Effect:
    own = [spans.get((each.session_id, each.channel, each.sample_rate_hz), []) for each in streams]
    active = [_active(stream, events) for stream, events in zip(streams, own, strict=True)]
    parts = [parts_of(stream) for stream in streams]
    silences = [event.duration_ms for events in own for event in events if event.kind is _SILENCE]
    every = [np.ones(len(flags), np.bool_) for flags in active]
    return Effect(
        channel=channel,
        active_ratio=_ratio(active, every),
        speech_spans=sum(event.kind is _SPEECH for events in own for event in events),
        silences=len(silences),
        longest_silence_s=max(silences, default=0) / 1000,
        active_noise_ratio=_ratio(active, [part.noise for part in parts]),
        quiet_speech_ratio=_ratio([~flags for flags in active], [part.speech for part in parts]),
    )


def _active(stream: Stream, events: Sequence[SilenceEvent]) -> Flags:
    """Return True for the blocks whose middle lies in no silence."""
    middle = stream.starts + stream.sample_rate_hz // (2 * BLOCKS_PER_S)
    active = np.ones(len(middle), np.bool_)
    for event in events:
        if event.kind is _SILENCE:
            active &= (middle < event.start_samples) | (middle >= event.end_samples)
    return active


def _ratio(chosen: Sequence[Flags], of: Sequence[Flags]) -> float:
    whole = sum(int(flags.sum()) for flags in of)
    part = sum(int((mine & flags).sum()) for mine, flags in zip(chosen, of, strict=True))
    return part / whole if whole else -1.0
