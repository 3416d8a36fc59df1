"""`callstream import`: a file of packets or of audio becomes calls on the topics."""

import asyncio
import json
import signal
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from callstream.audited import Deed, audited
from callstream.importing import Source, Way, check_topics, import_file, open_file, outlet_for
from ingest.dialling import LONGEST_ID_CHARACTERS
from ingest.sequencer import Encoding
from ingest.sources.capture.findings import Defect, Findings
from ingest.sources.capture.payload_types import STATIC, explained
from ingest.sources.capture.wanted import Pair, Wanted, choice_of
from runtime.clock import Clock, SystemClock
from runtime.config import KafkaSettings, RegistrySettings, load
from runtime.log import configure
from runtime.registry import Registry
from schemas.codec import SchemaStore
from schemas.symbols import AuditAction, Channels

_KIND = "import"
_INTERRUPTED = 130
_LONGEST_CHOICE_CHARACTERS = 48
"""A hyphen and an SSRC, or an IPv6 address and a port."""
_HINTS = {
    Defect.CUT_SHORT: " (the capture has only the begin of each packet: raise its snap length)",
    Defect.LOOKS_ENCRYPTED: " (SRTP? decrypt the capture first; numbers are imported, payloads left out)",
    Defect.OTHER_WAY: " (a chosen SSRC between other ends too: choose by the sender's address to take that side)",
}
T = TypeVar("T")
_CHOICE = "by SSRC (123456, 0x1f2e3d4c) or sender's address (192.0.2.1:5004)"


class Holds(StrEnum):
    """What a stream or file holds."""

    EXTERNAL = "external"
    INTERNAL = "internal"
    MIXED = "mixed"
    EXTERNAL_INTERNAL = "external-internal"
    INTERNAL_EXTERNAL = "internal-external"

    @property
    def channels(self) -> Channels:
        """The same in the contract's words."""
        return Channels[self.name]


def command(  # noqa: PLR0913, PLR0917 - one parameter per option
    file: Annotated[Path, typer.Argument(help="A pcap or pcapng file with RTP in it, or a WAV file.")],
    external: Annotated[
        list[str] | None,
        typer.Option(help=f"The customer's stream, {_CHOICE}; the first belongs to the first --internal."),
    ] = None,
    internal: Annotated[list[str] | None, typer.Option(help=f"The agent's stream, {_CHOICE}.")] = None,
    payload_type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N=NAME/HZ[/1]",
            help="What a payload type is, as in SDP's rtpmap: 96=L16/16000/1. "
            f"Without: {', '.join(f'{number} {meaning.codec}' for number, meaning in STATIC.items())}.",
        ),
    ] = None,
    holds: Annotated[
        Holds | None,
        typer.Option(
            "--channels",
            help="What streams without a choice, or the WAV file, hold; else mixed, or by "
            "its two channels external-internal.",
        ),
    ] = None,
    conversation: Annotated[
        str | None, typer.Option(help="The conversation's id; else the file's name, with the stream's SSRC.")
    ] = None,
    organisation: Annotated[str | None, typer.Option(help="The organisation the calls belong to.")] = None,
    queue: Annotated[str | None, typer.Option(help="Their queue.")] = None,
    agent: Annotated[str | None, typer.Option(help="Their agent.")] = None,
    real_time: Annotated[
        bool, typer.Option("--real-time", help="As fast as it was spoken; else as fast as it goes.")
    ] = False,
    started_at: Annotated[
        str | None, typer.Option(help="When a WAV file begins (ISO 8601, local unless it has an offset); else now.")
    ] = None,
    frame_ms: Annotated[int, typer.Option(min=10, max=1000, help="How much of a WAV file makes a record.")] = 100,
    idle_s: Annotated[
        float, typer.Option(min=1, help="A stream of a capture that had no packet for so long is over.")
    ] = 900,
    patience_s: Annotated[float, typer.Option(min=1, help="How long records may wait for Kafka.")] = 60,
    publish_digits: Annotated[
        bool, typer.Option("--publish-digits", help="Publish which keys were pressed; they may be of a card's number.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Tell what was found as JSON.")] = False,
) -> None:
    """Import a capture (RTP in pcap or pcapng) or a WAV file as calls, and tell what was in it. Audited.

    Each RTP stream becomes a session; with --external and --internal the two directions of a call become one, and all
    other streams are passed over. Packets that cannot be used are counted. Importing a file again makes new sessions.
    What the file holds is published as it is: nothing in it says where a call was paused.
    """
    clock = SystemClock()
    wanted = Wanted(
        name=_name(file),
        conversation=_checked(conversation),
        pairs=_pairs(external or [], internal or []),
        channels=holds.channels if holds else None,
        meanings=_valid("--payload-type", lambda: explained(payload_type or [])),
        publish_digits=publish_digits,
        organisation=organisation,
        queue=queue,
        agent=agent,
        idle_s=idle_s,
        began_s=_moment(started_at, clock),
        frame_ms=frame_ms,
        import_id=str(uuid.uuid4()),
    )
    if conversation and len(wanted.pairs) > 1:
        message = "is for one call, and several are chosen"
        raise typer.BadParameter(message, param_hint="--conversation")
    configure("warning", "console")
    findings = Findings()
    source = open_file(file, wanted, findings)
    with source.file:
        began_s = clock.monotonic_s()
        whole = asyncio.run(
            imported(
                load(KafkaSettings, ""),
                load(RegistrySettings, ""),
                file,
                wanted,
                source,
                findings,
                Way(real_time, patience_s),
                clock,
            )
        )
        seconds = clock.monotonic_s() - began_s
    _tell(findings, wanted, seconds, as_json=json_)
    _judge(findings, source, whole=whole)


async def imported(  # noqa: PLR0913, PLR0917 - what an import needs
    kafka: KafkaSettings,
    registry: RegistrySettings,
    path: Path,
    wanted: Wanted,
    source: Source,
    findings: Findings,
    way: Way,
    clock: Clock,
) -> bool:
    """Import an opened file, audited before and after; return False where a signal ended it before its end.

    Raises `ConfigError`, `Unavailable`.
    """
    store, client = SchemaStore(), Registry(registry)
    try:
        await client.prepare(store)
    finally:
        await client.close()
    await check_topics(kafka)
    details = {
        "file": path.name.encode(errors="replace").decode(),
        "bytes": str(source.size_bytes),
        "publish_digits": str(wanted.publish_digits).lower(),
    }
    deed = Deed(AuditAction.OTHER, _KIND, wanted.import_id or "", details)
    async with audited(kafka, registry, deed, clock) as more:
        with suppress(RuntimeError, ValueError):  # only the main thread hears signals
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, way.stopping.set)
        whole = False
        try:
            whole = await import_file(outlet_for(kafka, clock), Encoding(store), source, way, clock)
        finally:
            more |= {"sessions": str(findings.sessions), "packets": str(findings.packets), "whole": str(whole).lower()}
    return whole


def report(findings: Findings, wanted: Wanted, seconds: float) -> dict[str, Any]:
    """Return what was found, as JSON has it."""
    return {
        "import_id": wanted.import_id,
        "sessions": findings.sessions,
        "packets": findings.packets,
        "audio_bytes": findings.audio_bytes,
        "capture_s": round(max(0.0, findings.last_s - findings.first_s), 3),
        "seconds": round(seconds, 3),
        "passed_over": {str(kind): count for kind, count in sorted(findings.passed_over.items()) if count},
        "payload_types": {str(number): count for number, count in sorted(findings.payload_types.items())},
        "cut_off_bytes": findings.cut_off_bytes,
        "damage": None if findings.damage is None else str(findings.damage),
    }


def _tell(findings: Findings, wanted: Wanted, seconds: float, *, as_json: bool) -> None:
    found = report(findings, wanted, seconds)
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(
        f"{findings.sessions} sessions, {findings.packets} packets, {findings.audio_bytes} bytes of audio, "
        f"{found['capture_s']:.1f} s captured, imported in {seconds:.1f} s"
    )
    for kind, count in found["passed_over"].items():
        typer.echo(f"passed over: {kind} {count}{_HINTS.get(Defect(kind), '')}")
    for number, count in found["payload_types"].items():
        typer.echo(f"payload type {number}: {count} packets; --payload-type {number}=NAME/HZ says what it is")
    if findings.cut_off_bytes:
        typer.echo(f"the file ends too early: {findings.cut_off_bytes} bytes at its end are of no use or missing")


def _judge(findings: Findings, source: Source, *, whole: bool) -> None:
    """End with 1 where less was imported than was asked for, with 130 where it was interrupted."""
    mistakes = source.taken.missed if whole else []
    if findings.damage is not None:
        mistakes.append(f"the file is {findings.damage}; what stands before it is imported")
    for mistake in mistakes:
        typer.echo(mistake, err=True)
    if not whole:
        typer.echo("interrupted: the sessions are ended, behind a gap", err=True)
        raise typer.Exit(_INTERRUPTED)
    if mistakes:
        raise typer.Exit(1)


def _name(file: Path) -> str:
    """Return what the conversation ids begin with: whatever a file is called, as much of it as an id can hold."""
    text = file.name.removesuffix(file.suffix).encode(errors="replace").decode()
    return text[: LONGEST_ID_CHARACTERS - _LONGEST_CHOICE_CHARACTERS]


def _checked(conversation: str | None) -> str | None:
    if conversation is not None and not 0 < len(conversation) <= LONGEST_ID_CHARACTERS:
        message = f"is not of 1 to {LONGEST_ID_CHARACTERS} characters"
        raise typer.BadParameter(message, param_hint="--conversation")
    return conversation


def _pairs(external: list[str], internal: list[str]) -> tuple[Pair, ...]:
    outer = [_valid("--external", partial(choice_of, text)) for text in external]
    inner = [_valid("--internal", partial(choice_of, text)) for text in internal]
    count = max(len(outer), len(inner))
    if min(len(outer), len(inner)) not in {0, count}:
        message = "where several calls are chosen, each needs both directions, or each the same one"
        raise typer.BadParameter(message, param_hint="--external, --internal")
    return tuple(Pair(outer[index] if outer else None, inner[index] if inner else None) for index in range(count))


def _moment(text: str | None, clock: Clock) -> float:
    if text is None:
        return clock.wall_s()
    moment_s = _valid("--started-at", lambda: datetime.fromisoformat(text).timestamp())
    if moment_s < 0:
        message = "is before 1970"
        raise typer.BadParameter(message, param_hint="--started-at")
    return moment_s


def _valid(option: str, make: Callable[[], T]) -> T:
    """Return what is made of an option's text, or end with its mistake."""
    try:
        return make()
    except (ValueError, OverflowError) as mistake:
        raise typer.BadParameter(str(mistake), param_hint=option) from None
