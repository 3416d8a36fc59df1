"""What the demo says at its end: the checks as a table, and the figures of all calls in a few lines. Pure."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from rich.table import Table

from callstream.demo.checks import Check
from callstream.demo.evidence import Evidence
from schemas.symbols import BotTurnKind, Channel, LossReportKind, SilenceEventKind


def figures(frames_sent: int, evidence: Evidence) -> list[str]:
    """Return one line for each kind of figure, over all calls."""
    stored = sum(call.frames for call in evidence.stored.values())
    kinds = Counter(event.kind for events in evidence.silence.values() for event in events)
    silences, dead_air = kinds[SilenceEventKind.SILENCE], kinds[SilenceEventKind.DEAD_AIR]
    return [
        f"Frames: {frames_sent} sent, {stored} stored.",
        f"Silences: {silences} found, and {dead_air} stretches of dead air.",
        _on_the_way(evidence),
        *_bot(evidence),
    ]


def _bot(evidence: Evidence) -> list[str]:
    """Return nothing where there was no bot."""
    turns = [turn for turns in evidence.turns.values() for turn in turns if turn.kind is BotTurnKind.TURN_END]
    if not turns:
        return []
    latency_ms = median(turn.response_ms for turn in turns)
    return [f"Bot: {len(turns)} turns, each answered in {latency_ms:.0f} ms (median)."]


def _on_the_way(evidence: Evidence) -> str:
    finals = [
        report
        for reports in evidence.losses.values()
        for report in reports
        if report.kind is LossReportKind.FINAL and report.channel is Channel.ALL
    ]
    skipped_s = sum(report.discarded_ms for report in finals) / 1000
    paused_s = sum(report.paused_ms for report in finals) / 1000
    stalls = sum(report.stalls for report in finals)
    longest_ms = max((report.stall_longest_ms for report in finals), default=0)
    held_up = f"held up {stalls} times, {longest_ms:.0f} ms at most" if stalls else "never held up"
    text = f"On the way: {skipped_s:.1f} s skipped by the platform, {paused_s:.1f} s paused, {held_up}"
    numbered = [report for report in finals if report.lost_signed is not None]
    if not numbered:
        return f"{text}."
    lost, expected = sum(report.lost for report in numbered), sum(report.expected for report in numbered)
    return f"{text}; {lost} of {expected} packets lost ({lost / max(1, expected):.1%})."


def check_table(checks: Sequence[tuple[str, Check]]) -> Table:
    """Return one row per check, how many calls it holds for, and each failure by itself."""
    table = Table(title="What was checked", title_justify="left", show_header=False)
    names = list(dict.fromkeys(check.name for _, check in checks))
    counts = Counter(check.name for _, check in checks)
    for name in names:
        failures = [(call, check.found) for call, check in checks if check.name == name and not check.ok]
        first = next(check.found for _, check in checks if check.name == name)
        many = f"{counts[name]} calls; first: {first}" if counts[name] > 1 else first
        table.add_row("[green]yes[/green]" if not failures else "[red]NO[/red]", name, many)
        for call, found in failures if counts[name] > 1 else []:
            table.add_row("", f"[red]  {call}[/red]", found)
    return table
