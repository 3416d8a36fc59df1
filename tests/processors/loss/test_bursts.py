from dataclasses import dataclass
from itertools import combinations, groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.loss.bursts import GMIN, BurstFigures, Bursts

NOTHING = -1


def taken(fates: str) -> Bursts:
    """Take packets one by one: `.` received, `x` lost."""
    bursts = Bursts()
    for fate in fates:
        (bursts.take_lost if fate == "x" else bursts.take_received)(1)
    return bursts


def defined(fates: str) -> BurstFigures:
    """The figures by the words of RFC 3611, 4.7.2: which packet lies in a burst is decided for each on its own."""
    losses = [index for index, fate in enumerate(fates) if fate == "x"]

    inside = [False] * len(fates)
    for first, last in combinations(losses, 2):
        if "." * GMIN not in fates[first:last]:
            inside[first : last + 1] = [True] * (last + 1 - first)
    periods = [(burst, list(run)) for burst, run in groupby(range(len(fates)), key=lambda index: inside[index])]
    bursts = [run for burst, run in periods if burst]
    gaps = [run for burst, run in periods if not burst]
    runs = [len(list(run)) for fate, run in groupby(fates) if fate == "x"]
    burst_packets, gap_packets = sum(map(len, bursts)), sum(map(len, gaps))
    burst_lost = sum(fates[index] == "x" for run in bursts for index in run)
    gap_lost = len(losses) - burst_lost
    mean_run = len(losses) / len(runs) if runs else NOTHING
    return BurstFigures(
        bursts=len(bursts),
        burst_packets=burst_packets,
        burst_lost=burst_lost,
        gaps=len(gaps),
        gap_packets=gap_packets,
        gap_lost=gap_lost,
        burst_density_ratio=burst_lost / burst_packets if bursts else NOTHING,
        gap_density_ratio=gap_lost / gap_packets if gaps else NOTHING,
        mean_burst_packets=burst_packets / len(bursts) if bursts else NOTHING,
        mean_gap_packets=gap_packets / len(gaps) if gaps else NOTHING,
        mean_loss_run=mean_run,
        burst_ratio=pytest.approx(mean_run * (1 - len(losses) / len(fates))) if runs else NOTHING,
    )


@dataclass(slots=True)
class Counters:
    """The counters of RFC 3611, A.2, as printed there. `packets` is where its `pkt` starts."""

    packets: int = 0
    run: int = 0
    c11: int = 0
    c13: int = 0
    c14: int = 0
    c22: int = 0
    c23: int = 0
    c33: int = 0

    def take(self, fate: str) -> None:
        if fate == ".":
            self.packets += 1
            return
        if self.packets >= GMIN:
            if self.run == 1:
                self.c14 += 1
            else:
                self.c13 += 1
            self.run = 1
            self.c11 += self.packets
        else:
            self.run += 1
            if self.packets == 0:
                self.c33 += 1
            else:
                self.c23 += 1
                self.c22 += self.packets - 1
        self.packets = 0


def counted(fates: str, *, before: int = 0) -> Counters:
    counters = Counters(packets=before)
    for fate in fates:
        counters.take(fate)
    return counters


CLEAR = "." * GMIN
CASES = {
    "nothing came": ("", (0, 0, 0, 0, 0, 0)),
    "nothing is lost": ("." * 40, (0, 0, 0, 1, 40, 0)),
    "one is lost alone": (CLEAR + "x" + CLEAR, (0, 0, 0, 1, 33, 1)),
    "two in a row are a burst": (CLEAR + "xx" + CLEAR, (1, 2, 2, 2, 32, 0)),
    "15 received do not end a burst": (CLEAR + "x" + "." * 15 + "x" + CLEAR, (1, 17, 2, 2, 32, 0)),
    "16 received do": (CLEAR + "x" + "." * 16 + "x" + CLEAR, (0, 0, 0, 1, 50, 2)),
    "the first packet is lost": ("x" + CLEAR, (0, 0, 0, 1, 17, 1)),
    "it begins in a burst": ("xx" + CLEAR, (1, 2, 2, 1, 16, 0)),
    "it ends in a burst": (CLEAR + "xx", (1, 2, 2, 1, 16, 0)),
    "it ends after a burst": (CLEAR + "xx.", (1, 2, 2, 2, 17, 0)),
    "everything is lost": ("x" * 30, (1, 30, 30, 0, 0, 0)),
    "an isolated loss comes before a burst": ("x" + CLEAR + "x.x" + CLEAR, (1, 3, 2, 2, 33, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_periods_are_right_when(name):
    fates, expected = CASES[name]
    found = taken(fates).figures()
    assert (
        found.bursts,
        found.burst_packets,
        found.burst_lost,
        found.gaps,
        found.gap_packets,
        found.gap_lost,
    ) == expected


def test_where_there_is_nothing_to_take_them_of_figures_are_absent():
    clean, empty = taken("." * 5).figures(), Bursts().figures()
    absent = (NOTHING, NOTHING, NOTHING, NOTHING)
    assert (clean.burst_density_ratio, clean.mean_burst_packets, clean.mean_loss_run, clean.burst_ratio) == absent
    assert (clean.gap_density_ratio, clean.mean_gap_packets) == (0, 5)
    assert (empty.gap_density_ratio, empty.mean_gap_packets) == (NOTHING, NOTHING)


def test_the_burst_ratio_is_one_at_random_and_more_in_bursts():
    alternating = taken("." * 90 + "x" * 10).figures()
    assert alternating.mean_loss_run == 10
    assert alternating.burst_ratio == pytest.approx(9)
    assert taken(("." * 9 + "x") * 10).figures().burst_ratio == pytest.approx(0.9)


stretches = st.lists(
    st.tuples(st.sampled_from(".x"), st.integers(1, 3) | st.integers(GMIN - 2, GMIN + 2)), max_size=14
).map(lambda runs: "".join(fate * length for fate, length in runs))


@given(stretches | st.text(".x", max_size=60))
def test_figures_are_those_of_the_definition(fates):
    assert taken(fates).figures() == defined(fates)


@given(stretches)
def test_it_makes_no_difference_in_what_runs_packets_are_taken(fates):
    bursts = Bursts()
    for fate, run in groupby(fates):
        (bursts.take_lost if fate == "x" else bursts.take_received)(len(list(run)))
        bursts.take_lost(0)
        bursts.take_received(0)
    assert bursts == taken(fates)


@given(stretches, st.integers(0, 200))
def test_a_state_goes_on_where_its_snapshot_was_taken(fates, at):
    before = taken(fates[:at])
    after = Bursts.of_numbers(before.as_numbers())
    for fate in fates[at:]:
        (after.take_lost if fate == "x" else after.take_received)(1)
    assert after == taken(fates)
    assert all(type(number) is int for number in after.as_numbers())


def test_a_snapshot_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        Bursts.of_numbers([1, 2, 3])


@given(stretches)
def test_the_counters_of_the_standard_agree_when_the_stream_is_preceded_and_followed(fates):
    # `lost` = 0 at the start makes the first cluster close a burst that never was, and what follows the last loss is
    # counted only by the next one: so one isolated loss stands in front, and one behind
    found = taken(fates).figures()
    counters = counted("x" + CLEAR + fates + CLEAR + "x", before=GMIN)
    assert counters.c13 - 1 == found.bursts
    assert counters.c14 - 1 == found.gap_lost
    assert counters.c22 + counters.c23 == found.burst_packets - found.burst_lost
    assert found.bursts + counters.c23 + counters.c33 == found.burst_lost
    assert counters.c11 - 3 * GMIN == found.gap_packets - found.gap_lost


def test_the_counters_of_the_standard_take_a_loss_among_the_first_packets_for_one_in_a_burst():
    # ten isolated losses, the first after 5 packets: A.2 lets `pkt` start at 0, so that loss is counted as c23,
    # as if another had come 5 packets before; by the prose 16 received packets precede the stream
    fates = ("." * 5 + "x" + "." * 19) * 10
    assert counted(fates).c23 == 1
    assert counted(fates, before=GMIN).c23 == 0
    found = taken(fates).figures()
    assert (found.bursts, found.gap_lost, found.gap_packets) == (0, 10, 250)


def test_the_counters_of_the_standard_do_not_know_a_last_burst_yet():
    fates = CLEAR + "x" + CLEAR + "xxx" + CLEAR
    counters = counted(fates)
    assert (counters.c13, counters.c14) == (1, 1), "the burst of three is counted by the next loss only"
    assert taken(fates).figures().bursts == 1
