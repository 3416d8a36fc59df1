"""Blocks of audio → the levels of noise and speech in them → thresholds, or the reason why there are none. Pure.

Noise is what is neither speech nor music nor a tone by the voice detector, nor within `GUARD_BLOCKS` of speech, nor
digital silence. The noise floor is given as percentiles over its blocks. The speech level of a talker is the RMS over
their blocks with speech, as in ITU-T P.56, and `BELOW_SPEECH_DB` below it speech is counted as active there.

One pair of thresholds serves all channels, so the noisiest channel and the quietest talker decide:

- `low`: the level that 95 % of the noise of the noisiest channel stays below
- `high`: the level `BELOW_SPEECH_DB` below the speech level that 90 % of the talkers reach
- on: half-way between them where `high` is `2 * MARGIN_DB` or more above `low`, else `MARGIN_DB` above `low`; where
  nobody speaks `2 * MARGIN_DB` above `low`
- off: `MARGIN_DB` below on, so never below `low`
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.levels import FLOOR_DBFS, FULL_SCALE, level_dbfs
from audio.vad_frames import FACTORS
from callstream.calibrate.listening import BLOCKS_PER_S, Flags, Heard, Stream
from runtime.errors import CallstreamError
from schemas.symbols import Channel

MARGIN_DB: Final = 3.0
BELOW_SPEECH_DB: Final = 15.9
"""ITU-T P.56: the threshold of activity lies so far below the active speech level."""

GUARD_BLOCKS: Final = 10
"""200 ms beside speech are no noise: its soft begins and ends, and what rooms add."""

LEAST_NOISE_S: Final = 10.0
LEAST_SPEECH_S: Final = 3.0
"""Of one talker; less is not taken for a level of speech."""

MOST_CLIPPED_RATIO: Final = 0.001
PERCENTILES: Final = (10, 50, 95, 99)
_LOW_PERCENTILE: Final = 95
_QUIET_TALKERS_PERCENTILE: Final = 10
_LEAST_DBFS, _MOST_DBFS = -90.0, -1.0
"""The range of the settings."""


class NoProposal(CallstreamError):
    """There is no honest proposal for this audio; the text says why, and the operator brings other audio."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Which blocks of a stream are what; `near` is True beside speech, where neither is certain."""

    speech: Flags
    noise: Flags
    digital: Flags
    near: Flags
    other: Flags


@dataclass(frozen=True, slots=True)
class ChannelLevels:
    """What one channel of all calls sounds like. Levels are RMS over 20 ms in dBFS.

    `noise_dbfs` has `PERCENTILES`, and is empty under `LEAST_NOISE_S`; `speech_dbfs` is None where nobody spoke for
    `LEAST_SPEECH_S`, else the level that 90 % of the talkers reach. `other_s` is music and tones, and what is beside
    speech.
    """

    channel: Channel
    streams: int
    seconds: float
    noise_s: float
    speech_s: float
    digital_s: float
    other_s: float
    noise_dbfs: dict[int, float]
    speech_dbfs: float | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """Thresholds, how they came about, and what speaks against them."""

    on_dbfs: float
    off_dbfs: float
    reason: str
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Levels:
    """What was measured, and on which streams. `left_out`: why some channels of calls were not used."""

    channels: tuple[ChannelLevels, ...]
    streams: tuple[Stream, ...]
    left_out: tuple[str, ...]


def parts_of(stream: Stream) -> Parts:
    """Return which blocks of a stream are what. Each block is one of speech, noise, digital silence, near and other."""
    speech = stream.speech & ~stream.digital
    edges = np.concatenate(((0,), np.cumsum(stream.speech)))
    index = np.arange(len(speech))
    low, high = np.maximum(index - GUARD_BLOCKS, 0), np.minimum(index + GUARD_BLOCKS + 1, len(speech))
    near = (edges[high] > edges[low]) & ~speech & ~stream.digital
    other = stream.active & ~speech & ~near & ~stream.digital
    return Parts(speech, ~(speech | near | other | stream.digital), stream.digital, near, other)


def block_levels(stream: Stream) -> NDArray[np.float64]:
    """Return the level of each block, dBFS."""
    mean = np.maximum(stream.sums / (stream.block_samples * FULL_SCALE**2), 10 ** (FLOOR_DBFS / 10))
    levels: NDArray[np.float64] = 10 * np.log10(mean)
    return levels


def measure(heard: Heard) -> Levels:
    """Return what the usable streams sound like. Raises `NoProposal` where none is usable."""
    if not heard.streams:
        unheard = ", ".join(_unheard(heard))
        rates = ", ".join(map(str, FACTORS))
        can = f"PCMU, PCMA and L16 of {rates} Hz can"
        message = f"none of the audio can be listened to: {unheard}; {can}" if unheard else "there is no audio"
        raise NoProposal(message)
    usable: dict[Channel, list[Stream]] = defaultdict(list)
    refused: dict[tuple[Channel, str], list[float]] = defaultdict(list)
    for stream in heard.streams:
        clipped_ratio = stream.clipped_samples / (len(stream.starts) * stream.block_samples)
        if clipped_ratio > MOST_CLIPPED_RATIO:
            refused[stream.channel, "clipped"].append(clipped_ratio)
        elif stream.digital.all():
            refused[stream.channel, "silent"].append(0)
        else:
            usable[stream.channel].append(stream)
    left_out = [_refusal(channel, why, ratios) for (channel, why), ratios in sorted(refused.items())]
    if not usable:
        raise NoProposal("; ".join(left_out))
    left_out += [f"{unheard}: cannot be listened to" for unheard in _unheard(heard)]
    channels = [_levels(channel, usable[channel]) for channel in sorted(usable)]
    streams = [stream for channel in sorted(usable) for stream in usable[channel]]
    return Levels(tuple(channels), tuple(streams), tuple(left_out))


def propose(levels: Levels) -> Proposal:
    """Return thresholds. Raises `NoProposal` where there is too little noise, or where it is as loud as speech."""
    noisy = [each for each in levels.channels if each.noise_dbfs]
    if not noisy:
        raise NoProposal(_too_little(levels.channels))
    noisiest = max(noisy, key=lambda each: each.noise_dbfs[_LOW_PERCENTILE])
    low = noisiest.noise_dbfs[_LOW_PERCENTILE]
    doubts = [
        f"{_name(each)} has {each.noise_s:.1f} s of noise, less than {LEAST_NOISE_S:g} s, so its noise does not count"
        for each in levels.channels
        if not each.noise_dbfs
    ]
    by_speech = {each.speech_dbfs: each for each in levels.channels if each.speech_dbfs is not None}
    if not by_speech:
        doubts.append(
            "nobody speaks in it, so how quiet talkers are is not known: calibrate with calls to have that counted"
        )
        reason = f"{2 * MARGIN_DB:g} dB above what 95 % of the noise stays below ({low:.1f} dBFS, {_name(noisiest)})"
        return _proposal(low + 2 * MARGIN_DB, reason, doubts)
    speech_dbfs = min(by_speech)
    quietest = by_speech[speech_dbfs]
    if low + 2 * MARGIN_DB > speech_dbfs:
        message = (
            f"no level tells noise from speech: the noise of {_name(noisiest)} reaches {low:.1f} dBFS, "
            f"and speech of {_name(quietest)} has {speech_dbfs:.1f} dBFS"
        )
        raise NoProposal(message)
    high = speech_dbfs - BELOW_SPEECH_DB
    if high - low >= 2 * MARGIN_DB:
        reason = (
            f"half-way between what 95 % of the noise stays below ({low:.1f} dBFS, {_name(noisiest)}) and "
            f"{BELOW_SPEECH_DB:g} dB below speech ({speech_dbfs:.1f} dBFS, {_name(quietest)})"
        )
        return _proposal((low + high) / 2, reason, doubts)
    doubts.append(f"speech is only {speech_dbfs - low:.1f} dB above the noise: its soft parts will count as quiet")
    reason = f"{MARGIN_DB:g} dB above what 95 % of the noise stays below ({low:.1f} dBFS, {_name(noisiest)})"
    return _proposal(low + MARGIN_DB, reason, doubts)


def _proposal(on_dbfs: float, reason: str, doubts: Sequence[str]) -> Proposal:
    """Round up to half a decibel, within what the settings take."""
    on = min(max(math.ceil(2 * on_dbfs) / 2, _LEAST_DBFS + MARGIN_DB), _MOST_DBFS)
    return Proposal(on, on - MARGIN_DB, reason, tuple(doubts))


def _levels(channel: Channel, streams: Sequence[Stream]) -> ChannelLevels:
    parts = [parts_of(stream) for stream in streams]
    noise = np.concatenate([block_levels(stream)[part.noise] for stream, part in zip(streams, parts, strict=True)])
    talkers = [
        level_dbfs(int(stream.sums[part.speech].sum()), int(part.speech.sum()) * stream.block_samples)
        for stream, part in zip(streams, parts, strict=True)
        if part.speech.sum() >= LEAST_SPEECH_S * BLOCKS_PER_S
    ]
    enough = len(noise) >= LEAST_NOISE_S * BLOCKS_PER_S
    return ChannelLevels(
        channel=channel,
        streams=len(streams),
        seconds=sum(stream.seconds for stream in streams),
        noise_s=len(noise) / BLOCKS_PER_S,
        speech_s=_seconds([part.speech for part in parts]),
        digital_s=_seconds([part.digital for part in parts]),
        other_s=_seconds([part.other | part.near for part in parts]),
        noise_dbfs={each: round(float(np.percentile(noise, each)), 1) for each in PERCENTILES} if enough else {},
        speech_dbfs=round(float(np.percentile(talkers, _QUIET_TALKERS_PERCENTILE)), 1) if talkers else None,
    )


def _seconds(flags: Sequence[Flags]) -> float:
    return sum(int(each.sum()) for each in flags) / BLOCKS_PER_S


def _unheard(heard: Heard) -> list[str]:
    return [f"{seconds:.1f} s of {why}" for why, seconds in sorted(heard.unheard_s.items())]


def _name(levels: ChannelLevels) -> str:
    return levels.channel.lower()


def _refusal(channel: Channel, why: str, ratios: Sequence[float]) -> str:
    name = channel.lower() if len(ratios) == 1 else f"{channel.lower()} of {len(ratios)} calls"
    if why == "silent":
        return f"{name}: digital silence only, so there is no noise to measure"
    return (
        f"{name}: clipped, {100 * max(ratios):.1f} % of the samples are at full scale "
        f"({100 * MOST_CLIPPED_RATIO:g} % may be); turn down the gain"
    )


def _too_little(channels: Sequence[ChannelLevels]) -> str:
    found = "; ".join(
        f"{each.channel.lower()} has {each.noise_s:.1f} s of noise, {each.speech_s:.1f} s of speech, "
        f"{each.digital_s:.1f} s of digital silence and {each.other_s:.1f} s of music, tones and what is beside speech"
        for each in channels
    )
    return f"too little noise to measure: {LEAST_NOISE_S:g} s are needed on a channel; {found}"
