"""Loss, expected packets and jitter of made captures: ours, tshark's, and the truth.

tshark's answers are committed, so the comparison needs none. Where it is installed it is asked again, about the same
captures. Where it is wrong, or counts something else, `DIFFERENCES` says why and what it prints.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from audio.numbers import extend
from schemas.records import LossReport
from tests.captures.packets import Packet
from tests.captures.scenarios import NAMES, OTHER_SSRC, SSRC
from tests.captures.sending import StreamTruth
from tests.oracle.ours import reports
from tests.oracle.tshark import Stream, answers, ask, capture, digest, is_installed, made, numbers_digest

LONG = "several_wraps"
SCENARIOS = [pytest.param(name, marks=[pytest.mark.slow] * (name == LONG)) for name in NAMES]
SAID = answers()


class Difference(NamedTuple):
    """What tshark prints that is not ours, and why: signed loss, mean and largest jitter; None where we agree."""

    why: str
    lost: int | None = None
    jitter_ms: tuple[str, str] | None = None


DIFFERENCES = {
    "reordered_at_wrap": Difference(
        "65535 behind 0 counts as a further wrap: a whole cycle is lost, though nothing is missing", lost=65_536
    ),
    "restart": Difference(
        "a sender that began anew on its SSRC is one range of numbers, and its new timestamps are jitter; here each run"
        " is counted by itself and their sums are reported",
        lost=54_939,
        jitter_ms=("278982.142", "15623000.000"),
    ),
    "first_late": Difference(
        "the packet older than the first one counts as received but not as expected, and takes no part in jitter",
        lost=-1,
        jitter_ms=("0.000", "0.000"),
    ),
    "duplicates": Difference(
        "copies take part in its jitter; here they do not, for what their delay says was said by the first ones",
        jitter_ms=("0.190", "0.983"),
    ),
    "duplicates_and_loss": Difference("copies take part in its jitter", jitter_ms=("0.200", "0.944")),
    "telephone_events": Difference(
        "packets of an event all have the timestamp of its begin, and take part in its jitter from the second one on"
        " (without SDP it does not know their clock at first); here they do not",
        jitter_ms=("2.364", "13.507"),
    ),
}
"""By scenario. What is not named here agrees, jitter to 3 decimals."""

NO_CLOCK = "dynamic_type"
"""Without SDP tshark does not know the clock of a dynamic payload type: its least jitter is then -1.000."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


def jitters(packets: Iterable[Packet], clock_hz: int) -> list[float]:
    """Return the running jitter of RFC 3550, A.8, in ms, from the second packet on."""
    found, transit_ms, jitter_ms = [], None, 0.0
    for one in packets:
        now_ms = one.arrival_us / 1000 - one.timestamp * 1000 / clock_hz
        if transit_ms is not None:
            jitter_ms += (abs(now_ms - transit_ms) - jitter_ms) / 16
            found.append(jitter_ms)
        transit_ms = now_ms
    return found


def printed(ms: float) -> str:
    return f"{ms:.3f}"


def checked(name: str, folder: Path) -> tuple[dict[int, LossReport], dict[int, StreamTruth], dict[int, Stream]]:
    found = made(name)
    ours = reports(capture(found, folder), found.payload_types)
    assert set(ours) == set(found.truth) == set(SAID[name].streams)
    return ours, dict(found.truth), SAID[name].streams


@pytest.mark.parametrize("name", SCENARIOS)
def test_tshark_was_asked_about_this_very_capture(name: str, folder: Path) -> None:
    assert digest(capture(made(name), folder)) == SAID[name].sha256


@pytest.mark.parametrize("name", SCENARIOS)
def test_ours_is_the_truth(name: str, folder: Path) -> None:
    ours, truths, _ = checked(name, folder)
    for ssrc, truth in truths.items():
        one = ours[ssrc]
        assert (one.expected, one.received, one.unique, one.duplicates, one.lost, one.reordered, one.restarts) == (
            truth.expected,
            truth.received,
            truth.unique,
            truth.duplicates,
            truth.lost,
            truth.reordered,
            truth.restarts,
        )
        assert one.lost_signed == sum(segment.lost_signed for segment in truth.segments)


@pytest.mark.parametrize("name", SCENARIOS)
def test_ours_and_tsharks_agree_or_the_difference_has_a_name(name: str, folder: Path) -> None:
    ours, truths, said = checked(name, folder)
    difference = DIFFERENCES.get(name, Difference(""))
    for ssrc, theirs in said.items():
        one = ours[ssrc]
        assert theirs.packets == one.received
        if difference.lost is None:
            assert (theirs.expected, theirs.lost) == (one.expected, one.lost_signed)
            assert theirs.lost_percent == f"{100 * theirs.lost / one.expected:.1f}"
        else:
            assert theirs.lost == difference.lost
            assert one.lost_signed == sum(segment.lost_signed for segment in truths[ssrc].segments)
        own = (printed(one.jitter_mean_ms), printed(one.jitter_max_ms))
        if difference.jitter_ms is None:
            assert (theirs.jitter_mean_ms, theirs.jitter_max_ms) == own
        else:
            assert (theirs.jitter_mean_ms, theirs.jitter_max_ms) == difference.jitter_ms != own
        assert theirs.jitter_min_ms == "-1.000" if name == NO_CLOCK else float(theirs.jitter_min_ms) >= 0


@pytest.mark.parametrize("name", SCENARIOS)
def test_numbers_are_extended_as_tshark_extends_them(name: str) -> None:
    for ssrc, theirs in SAID[name].streams.items():
        numbers: list[int] = []
        highest = None
        for one in made(name).packets:
            if one.ssrc == ssrc:
                highest = one.sequence if highest is None else highest
                numbers.append(extend(one.sequence, highest, 16))
                highest = max(highest, numbers[-1])
        assert numbers_digest(numbers) == theirs.extended_sha256


def test_where_the_jitters_differ_ours_is_that_of_the_audio_as_it_came_first(folder: Path) -> None:
    for name in ("duplicates", "duplicates_and_loss", "telephone_events", "first_late"):
        ours, _, _ = checked(name, folder)
        seen: set[int] = set()
        audio = []
        for one in made(name).packets:
            if one.payload_type == 0 and one.sequence not in seen:
                seen.add(one.sequence)
                audio.append(one)
        expected = jitters(audio, 8000)
        report = ours[SSRC]
        assert printed(report.jitter_mean_ms) == printed(sum(expected) / len(expected)), name
        assert printed(report.jitter_max_ms) == printed(max(expected)), name
    with_copies = jitters(made("duplicates").packets, 8000)
    assert printed(max(with_copies)) == SAID["duplicates"].streams[SSRC].jitter_max_ms


def test_a_sender_that_began_anew_has_no_jitter_for_it(folder: Path) -> None:
    ours, _, _ = checked("restart", folder)
    assert (printed(ours[SSRC].jitter_mean_ms), printed(ours[SSRC].jitter_max_ms)) == ("0.000", "0.000")


def test_two_streams_of_a_capture_are_told_apart() -> None:
    assert {ssrc: one.lost for ssrc, one in SAID["two_ssrcs"].streams.items()} == {SSRC: 0, OTHER_SSRC: 5}


def test_every_named_difference_is_one_of_a_capture() -> None:
    assert set(DIFFERENCES) <= set(NAMES)
    assert set(SAID) == set(NAMES)


@pytest.mark.slow
def test_tshark_says_the_same_live(folder: Path) -> None:
    if not is_installed():
        pytest.skip(f"tshark is not installed: {len(SAID)} captures were compared with its committed answers, not live")
    for name in NAMES:
        assert ask(capture(made(name), folder)) == SAID[name], name
