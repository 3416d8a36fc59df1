"""`callstream calibrate`: listens to audio, proposes the silence service's thresholds, and shows what they change."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from audio.frames import decode
from audio.wav_reading import HEAD_BYTES, NotReadable, read_head
from callstream.audited import Deed, audited
from callstream.calibrate.effect import LEVEL, effects
from callstream.calibrate.listening import listen
from callstream.calibrate.proposal import NoProposal, measure, propose
from callstream.calibrate.report import Findings, Outcome, as_json, as_text
from callstream.calibrate.thresholds import Calls, environment, environment_of, of_calls, with_proposal
from callstream.calibrate.topic_calls import Collected, WantedCalls, calls_of
from callstream.calibrate.wav_calls import records_of
from callstream.import_command import Holds
from callstream.replay.span import epoch_ms, moment
from ingest.sources.capture.recorded import layout
from processors.silence.config import SilenceSettings, tuning
from processors.silence.thresholds import entries_of
from runtime.config import KafkaSettings, RegistrySettings, load, prefix_of
from runtime.errors import ConfigError
from runtime.log import configure
from schemas.codec import SchemaStore
from schemas.symbols import AuditAction
from schemas.topics import AUDIO

_KIND = "calibration"
_MOST_QUEUES = 10


def command(  # noqa: PLR0913 - one parameter per option
    file: Annotated[Path | None, typer.Argument(help="A WAV file.", show_default=False)] = None,
    *,
    from_topic: Annotated[bool, typer.Option("--from-topic", help="Listen to calls on calls.audio instead.")] = False,
    queue: Annotated[str | None, typer.Option(help="Only calls of this queue.")] = None,
    organisation: Annotated[str | None, typer.Option(help="Only calls of this organisation.")] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Only what was stored from this time on (ISO 8601, of this machine's local time unless it has an "
            "offset); else from the log's beginning.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=10, max=3600, help="Listen to no more than this.")] = 600,
    holds: Annotated[
        Holds | None,
        typer.Option("--channels", help="What the file holds; else mixed, or by its two channels external-internal."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Tell everything as JSON.")] = False,
) -> None:
    """Propose the thresholds of the silence service from audio, and show what they would have changed on it.

    Give a recording of the ambient noise or of calls, or --from-topic to take calls that are stored (audited). At least
    10 s of noise are needed. Calls with speech in them give better thresholds: noise alone cannot say how quiet the
    talkers are. Ends with 1 and the reason where no honest proposal can be made.
    """
    configure("warning", "console")
    _check(file, from_topic=from_topic, only_topic=(queue, organisation, begin), only_file=holds)
    settings = load(SilenceSettings, prefix_of("silence"))
    if file is not None:
        source, collected = _of_file(file, holds, seconds)
    else:
        wanted = WantedCalls(queue, organisation, _epoch_ms(begin), seconds)
        source, collected = _of_topic(wanted)
    found = findings(source, collected, settings, Calls(organisation, queue))
    if json_:
        typer.echo(json.dumps(as_json(found)))
        return
    for line in as_text(found):
        typer.echo(line)


def findings(source: str, collected: Collected, settings: SilenceSettings, calls: Calls) -> Findings:
    """Return what a calibration of these calls finds. Raises `NoProposal`."""
    frames = decode(collected.values, collected.store)
    levels = measure(listen(frames, collected.keys))
    proposal = propose(levels)
    current = tuning(settings)
    by_level = replace(current, detector=LEVEL)
    tunings = {"current": current, LEVEL: by_level, "proposed": with_proposal(by_level, proposal)}
    if current == by_level:
        del tunings[LEVEL]
    outcomes = [
        Outcome(key, of_calls(each, calls), effects(frames, collected.keys, levels.streams, each))
        for key, each in tunings.items()
    ]
    of_these = environment_of(calls, proposal, entries_of(settings.thresholds))
    return Findings(source, levels, proposal, outcomes, environment(proposal), of_these)


def _check(file: Path | None, *, from_topic: bool, only_topic: tuple[str | None, ...], only_file: Holds | None) -> None:
    if (file is None) is not from_topic:
        message = "give a WAV file, or --from-topic"
        raise typer.BadParameter(message, param_hint="FILE")
    if not from_topic and any(option is not None for option in only_topic):
        message = "choose among stored calls: they go with --from-topic"
        raise typer.BadParameter(message, param_hint="--queue, --organisation, --from")
    if from_topic and only_file is not None:
        message = "is for a file: calls say themselves what they hold"
        raise typer.BadParameter(message, param_hint="--channels")


def _of_file(path: Path, holds: Holds | None, seconds: float) -> tuple[str, Collected]:
    """Read a file. Raises `ConfigError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = read_head(file.read(HEAD_BYTES))
            file.seek(head.data_offset)
            most_bytes = round(seconds * head.sample_rate_hz) * head.block_bytes
            samples = file.read(most_bytes if head.data_bytes < 0 else min(most_bytes, head.data_bytes))
            channels = layout(holds.channels if holds else None, head.channel_count)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    except (NotReadable, ValueError) as mistake:
        raise ConfigError([f"{path}: {mistake}"]) from None
    heard_s = len(samples) / head.block_bytes / head.sample_rate_hz
    of = ", the first" if len(samples) == most_bytes else ","
    source = f"{path.name}{of} {heard_s:.1f} s of {head.codec} at {head.sample_rate_hz} Hz"
    store = SchemaStore()
    keys, values = records_of(head, samples, channels, store)
    return source, Collected(store, list(keys), values)


def _of_topic(wanted: WantedCalls) -> tuple[str, Collected]:
    """Read the calls. Raises `ConfigError`, `Unavailable`, `NoProposal` where there are none."""
    collected = asyncio.run(_collected(load(KafkaSettings, ""), load(RegistrySettings, ""), wanted))
    if not collected.values:
        raise NoProposal(_nobody(wanted, collected))
    return f"{AUDIO.name}, {wanted}: {collected.seconds:.1f} s of calls", collected


async def _collected(kafka: KafkaSettings, registry: RegistrySettings, wanted: WantedCalls) -> Collected:
    details = {"calls": str(wanted), "seconds": f"{wanted.seconds:g}"}
    async with audited(kafka, registry, Deed(AuditAction.ACCESS, _KIND, AUDIO.name, details)) as more:
        collected = await calls_of(kafka, registry, wanted)
        more["heard_s"] = f"{collected.seconds:.3f}"
    return collected


def _nobody(wanted: WantedCalls, collected: Collected) -> str:
    text = f"{AUDIO.name} holds nothing of {wanted}"
    if collected.queues:
        named = ", ".join(f"{name} ({count})" for name, count in collected.queues.most_common(_MOST_QUEUES))
        text += f"; queues and their calls: {named}"
    if collected.unknown:
        text += f"; of {collected.unknown} calls the beginning is not among what was read"
    return text


def _epoch_ms(begin: str | None) -> int | None:
    if begin is None:
        return None
    try:
        return epoch_ms(moment(begin))
    except ValueError:
        message = "is no time like 2026-11-21T10:00 or 2026-11-21T10:00+01:00"
        raise typer.BadParameter(message, param_hint="--from") from None
