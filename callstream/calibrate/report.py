"""What was measured, proposed and what it would have changed, as text and as JSON. Pure."""

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from callstream.calibrate.effect import LEVEL, VOICE, Effect
from callstream.calibrate.proposal import PERCENTILES, ChannelLevels, Levels, Proposal
from processors.silence.tuning import Tuning

_NOTHING: Final = "-"
_WIDTH: Final = 110
Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What some settings make of the audio. `key` is what they are called here."""

    key: str
    tuning: Tuning
    effects: Sequence[Effect]

    @property
    def thresholds(self) -> tuple[float, float] | None:
        """On and off in dBFS, where they decide."""
        return (self.tuning.on_dbfs, self.tuning.off_dbfs) if self.tuning.detector == LEVEL else None

    @property
    def text(self) -> str:
        """The settings for a person."""
        return f"{self.tuning.detector} {'/'.join(f'{each:.1f}' for each in self.thresholds or ())}".rstrip()


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything a calibration found. `source` says in a few words what was listened to."""

    source: str
    levels: Levels
    proposal: Proposal
    outcomes: Sequence[Outcome]
    environment: Mapping[str, str]
    """What makes the proposal true for all calls."""

    environment_of_calls: Mapping[str, str]
    """What makes it true for the calls that were chosen; empty where none were."""


def as_json(found: Findings) -> dict[str, Any]:
    """Return the findings for a program. Levels are dBFS, lengths seconds; absent is null."""
    return {
        "source": found.source,
        "channels": [_channel(each) for each in found.levels.channels],
        "left_out": list(found.levels.left_out),
        "proposal": {
            "on_dbfs": found.proposal.on_dbfs,
            "off_dbfs": found.proposal.off_dbfs,
            "reason": found.proposal.reason,
            "doubts": list(found.proposal.doubts),
        },
        "outcomes": {
            each.key: {
                "detector": each.tuning.detector,
                "on_dbfs": each.thresholds[0] if each.thresholds else None,
                "off_dbfs": each.thresholds[1] if each.thresholds else None,
                "channels": [_effect(effect) for effect in each.effects],
            }
            for each in found.outcomes
        },
        "environment": dict(found.environment),
        "environment_of_calls": dict(found.environment_of_calls) or None,
    }


def as_text(found: Findings) -> Iterator[str]:
    """Return the lines for a person; the last ones can be pasted into an environment file."""
    proposal = found.proposal
    yield found.source
    yield from _wrapped(f"left out: {each}" for each in found.levels.left_out)
    yield ""
    yield "Lengths in s; levels in dBFS, RMS over 20 ms. P95: 95 % of the noise is quieter."
    yield from _table(_levels_table(found.levels.channels))
    yield ""
    yield f"Proposed: active from {proposal.on_dbfs:.1f} dBFS up, quiet below {proposal.off_dbfs:.1f} dBFS."
    yield from _wrapped([f"Why: {proposal.reason}.", *(f"Note: {each}." for each in [*proposal.doubts, *_use(found)])])
    yield ""
    yield "What the silence service finds in it, and how much of the noise it calls active and of the speech quiet:"
    yield from _table(_outcomes_table(found.outcomes))
    yield ""
    if found.environment_of_calls:
        yield "# for these calls alone"
        yield from (f"{name}={shlex.quote(value)}" for name, value in found.environment_of_calls.items())
        yield "# or for all calls"
    yield from (f"{name}={value}" for name, value in found.environment.items())


def _use(found: Findings) -> Iterator[str]:
    """Say when thresholds decide, where the current detector does not go by them."""
    detector = found.outcomes[0].tuning.detector
    if detector == VOICE:
        yield (
            f"SILENCE_DETECTOR={VOICE} follows the noise by itself; thresholds decide with SILENCE_DETECTOR={LEVEL}, "
            "and at sample rates it does not know"
        )
    if found.outcomes[0].tuning.overrides:
        yield "calls that SILENCE_THRESHOLDS names go by it, in the rows current and level too"
    if detector not in {LEVEL, VOICE}:
        yield f"SILENCE_DETECTOR={detector} has a threshold of its own; these decide with SILENCE_DETECTOR={LEVEL}"


def _wrapped(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from textwrap.wrap(text, _WIDTH, subsequent_indent="  ")


def _channel(levels: ChannelLevels) -> dict[str, Any]:
    return {
        "channel": str(levels.channel),
        "calls": levels.streams,
        "seconds": round(levels.seconds, 2),
        "noise_s": round(levels.noise_s, 2),
        "speech_s": round(levels.speech_s, 2),
        "digital_silence_s": round(levels.digital_s, 2),
        "other_s": round(levels.other_s, 2),
        "noise_dbfs": {f"p{each}": level for each, level in levels.noise_dbfs.items()},
        "speech_dbfs": levels.speech_dbfs,
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "channel": str(effect.channel),
        "active_ratio": _rounded(effect.active_ratio),
        "speech_spans": effect.speech_spans,
        "silences": effect.silences,
        "longest_silence_s": round(effect.longest_silence_s, 2),
        "active_noise_ratio": _rounded(effect.active_noise_ratio),
        "quiet_speech_ratio": _rounded(effect.quiet_speech_ratio),
    }


def _rounded(ratio: float) -> float | None:
    return None if ratio < 0 else round(ratio, 4)


def _levels_table(channels: Sequence[ChannelLevels]) -> Iterator[Row]:
    lengths = ("audio", "noise", "speech", "digital silence")
    yield ("channel", "calls", *lengths, *(f"noise P{each}" for each in PERCENTILES), "speech level")
    for each in channels:
        noise = [f"{each.noise_dbfs[one]:.1f}" if each.noise_dbfs else _NOTHING for one in PERCENTILES]
        seconds = [f"{length:.1f}" for length in (each.seconds, each.noise_s, each.speech_s, each.digital_s)]
        speech = _NOTHING if each.speech_dbfs is None else f"{each.speech_dbfs:.1f}"
        yield (each.channel.lower(), str(each.streams), *seconds, *noise, speech)


def _outcomes_table(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    found = ("active", "speech spans", "silences", "longest silence", "noise active", "speech quiet")
    yield ("channel", "settings", "detector, on/off", *found)
    for several in zip(*(each.effects for each in outcomes), strict=True):
        for outcome, effect in zip(outcomes, several, strict=True):
            yield (effect.channel.lower(), outcome.key, outcome.text, *_effect_cells(effect))


def _effect_cells(effect: Effect) -> Row:
    return (
        _share(effect.active_ratio),
        str(effect.speech_spans),
        str(effect.silences),
        f"{effect.longest_silence_s:.1f} s",
        _share(effect.active_noise_ratio),
        _share(effect.quiet_speech_ratio),
    )


def _share(ratio: float) -> str:
    return _NOTHING if ratio < 0 else f"{100 * ratio:.1f} %"


def _table(rows: Iterator[Row]) -> Iterator[str]:
    """Return lines with aligned columns: to the left where a cell begins with a letter, else to the right."""
    table = list(rows)
    columns = list(zip(*table, strict=True))
    widths = [max(map(len, column)) for column in columns]
    words = [any(cell[0].isalpha() for cell in column[1:]) for column in columns]
    for row in table:
        cells = zip(row, widths, words, strict=True)
        yield "  ".join(cell.ljust(width) if word else cell.rjust(width) for cell, width, word in cells).rstrip()
