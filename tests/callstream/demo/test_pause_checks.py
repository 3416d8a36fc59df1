"""What was sent in the pause must have arrived and been kept back; what was pressed outside of it must be there."""

import pytest

from callstream.demo.evidence import Withheld
from callstream.demo.pause_checks import check_keys, check_withheld, withheld_of
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, Source
from simulators.audiohook import media
from simulators.audiohook.report import CallReport
from simulators.audiohook.scenario import Dtmf, Scenario

METRICS = """# HELP callstream_ingest_observations_total What protocols noticed.
callstream_ingest_observations_total{source="audiohook",what="audio_while_paused"} 10.0
callstream_ingest_observations_total{source="audiohook",what="event_while_paused"} 2.0
callstream_ingest_observations_total{source="appfoundry",what="event_while_paused"} 4.0
callstream_ingest_observations_total{source="audiohook",what="unknown_message"} 7.0
"""


def test_the_counts_are_read_over_all_sources() -> None:
    assert withheld_of(METRICS) == Withheld(10, 6)
    assert withheld_of("") == Withheld()


@pytest.mark.parametrize("withheld", [Withheld(9, 6), Withheld(10, 5), Withheld(11, 6)])
def test_a_frame_or_key_that_was_not_met_or_not_sent_is_found(withheld) -> None:
    reports = [CallReport(str(call), "s", "x", "demo", leaked_frames=5, leaked_digits=1) for call in range(2)]
    assert check_withheld(reports, 4, Withheld(10, 6)).ok
    assert not check_withheld(reports, 4, withheld).ok


def test_a_run_in_which_nothing_was_sent_in_the_pause_proves_nothing() -> None:
    assert not check_withheld([CallReport("c", "s", "x", "demo")], 0, Withheld()).ok


def test_keys_must_be_there_once_and_in_order() -> None:
    scenario = Scenario("x", media.silence(1000), (Dtmf(0, "1"), Dtmf(80, "1"), Dtmf(160, "#")))

    def check(digits: str) -> bool:
        events = [
            CallEvent(
                kind=CallEventKind.DTMF, digit=digit, source=Source.AUDIOHOOK, conversation_id="c", session_id="s"
            )
            for digit in digits
        ]
        return check_keys(scenario, events).ok

    assert check("11#")
    assert not check("1#")
    assert not check("1#1")
    assert not check("11##")
    assert not check("11#D")
