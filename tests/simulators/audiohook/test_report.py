import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from simulators.audiohook.report import CallReport, Histogram, RunReport


def report(**settings):
    return CallReport("conversation-1", "s", "c", "x", **({"outcome": "closed"} | settings))


@given(st.lists(st.floats(0, 2), min_size=1), st.sampled_from([0.5, 0.99, 1.0]))
def test_a_percentile_is_exact_to_a_tenth_of_a_millisecond(durations, ratio):
    histogram = Histogram()
    for seconds in durations:
        histogram.add(seconds)
    exact = sorted(durations)[max(0, -int(-ratio * len(durations) // 1) - 1)] * 1e3
    assert histogram.percentile_ms(ratio) == pytest.approx(exact, abs=0.15)


def test_merged_histograms_count_both():
    one, two = Histogram(), Histogram()
    one.add(0.001)
    two.add(0.5)
    one.merge(two)
    assert one.summary() == {"count": 2, "p50_ms": 1.1, "p99_ms": 500.0, "max_ms": 500.0}
    assert Histogram().summary()["p99_ms"] == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"outcome": "lost"},
        {"outcome": "dropped"},
        {"expected_outcome": "dropped"},
        {"faults": [{"code": 408, "message": "late"}]},
        {"disconnect_reason": "error"},
    ],
)
def test_a_call_that_went_otherwise_than_meant_is_not_ok(wrong):
    assert report().ok
    assert not report(**wrong).ok
    assert not RunReport((report(), report(**wrong))).ok


def test_frame_sizes_are_run_lengths():
    call = report()
    for size in (3200, 3200, 16, 3200):
        call.count_frame(size, size // 2)
    assert call.frame_sizes == [[3200, 2], [16, 1], [3200, 1]]
    assert (call.frames_sent, call.bytes_sent, call.samples_sent) == (4, 9616, 4808)


def test_a_run_is_written_as_json_and_as_a_table_that_names_what_failed():
    run = RunReport((report(), report(outcome="lost", detail="it went away")))
    plain = json.loads(json.dumps(run.as_json()))
    assert (plain["ok"], plain["totals"]["calls_ok"], len(plain["calls"])) == (False, 1, 2)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(run.table())
    assert "1 of 2 calls" in capture.get()
    assert "it went away" in capture.get()
