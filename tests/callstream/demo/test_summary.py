"""The last words of the demo: figures over all calls, and every failure by itself."""

import io

from rich.console import Console

from callstream.demo.checks import Check
from callstream.demo.evidence import Evidence, Stored
from callstream.demo.summary import check_table, figures
from schemas.records import BotTurn, LossReport, Origin
from schemas.symbols import BotTurnKind, Channel, LossReportKind, Source

NOWHERE = Origin(topic="", partition=0, offset=0, index=0)


def loss(conversation: str, channel: Channel = Channel.ALL, **values) -> LossReport:
    shared = {"conversation_id": conversation, "session_id": "s", "origin": NOWHERE}
    shared |= {"channel": channel, "source": Source.AUDIOHOOK}
    counts = {"discarded_ms": 0, "paused_ms": 0, "stalls": 0, "stall_longest_ms": 0}
    return LossReport(kind=LossReportKind.FINAL, **(shared | counts | values))


def test_figures_are_sums_over_the_calls() -> None:
    evidence = Evidence()
    evidence.stored |= {"a": Stored(frames=3), "b": Stored(frames=4)}
    evidence.record(loss("a", discarded_ms=1200.0, paused_ms=3000.0, stalls=1, stall_longest_ms=903.0))
    evidence.record(loss("b", stalls=2, stall_longest_ms=250.0))
    frames, _, on_the_way = figures(7, evidence)
    assert frames == "Frames: 7 sent, 7 stored."
    assert on_the_way.endswith("1.2 s skipped by the platform, 3.0 s paused, held up 3 times, 903 ms at most.")


def test_packets_lost_are_told_where_a_source_numbers_them_and_counted_once() -> None:
    evidence = Evidence()
    evidence.record(loss("a", lost=2, expected=100, lost_signed=2))
    evidence.record(loss("a", Channel.EXTERNAL, lost=2, expected=100, lost_signed=2))
    assert figures(0, evidence)[-1].endswith("never held up; 2 of 100 packets lost (2.0%).")


def test_the_bots_latency_is_the_median_over_all_turns() -> None:
    evidence = Evidence()
    for response_ms in (5.0, 7.0, 90.0):
        end = BotTurn(
            kind=BotTurnKind.TURN_END, response_ms=response_ms, conversation_id="a", session_id="s", origin=NOWHERE
        )
        evidence.record(end)
    assert figures(0, evidence)[-1] == "Bot: 3 turns, each answered in 7 ms (median)."


def test_a_failure_stands_under_its_check_with_its_call_and_what_was_found() -> None:
    checks = [("one", Check("it holds", ok=True, found="5")), ("two", Check("it holds", ok=False, found="4"))]
    console = Console(file=io.StringIO(), width=100)
    console.print(check_table(checks))
    lines = console.file.getvalue().splitlines()
    (row,) = [number for number, line in enumerate(lines) if "it holds" in line]
    assert "NO" in lines[row]
    assert "2 calls; first: 5" in lines[row]
    assert "two" in lines[row + 1]
    assert "4" in lines[row + 1]
