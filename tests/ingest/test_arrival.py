import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.arrival import PAUSE_S, TOLERANCE_S, WINDOW_S, Arrival, Gap, Placed
from schemas.symbols import Reason

RATE_HZ = 8000
FRAME = 160
FRAME_S = 0.02


class Stream:
    """A sender of 20 ms frames, and what became of each of them."""

    def __init__(self, chunk: int = FRAME) -> None:
        self.arrival = Arrival(RATE_HZ)
        self.chunk = chunk
        self.now_s = 100.0
        self.placed: list[Placed] = []

    def live(self, seconds: float) -> "Stream":
        """Send as time goes by: each chunk once it has been spoken."""
        for _ in range(round(seconds * RATE_HZ / self.chunk)):
            self.now_s += self.chunk / RATE_HZ
            self.send(self.chunk)
        return self

    def burst(self, seconds: float, pace: float = float("inf")) -> "Stream":
        """Send what was held up, at `pace` times real time."""
        for _ in range(round(seconds * RATE_HZ / self.chunk)):
            self.now_s += self.chunk / RATE_HZ / pace
            self.send(self.chunk)
        return self

    def wait(self, seconds: float) -> "Stream":
        self.now_s += seconds
        return self

    def lose(self, seconds: float) -> "Stream":
        self.arrival.interrupt()
        return self.wait(seconds)

    def send(self, samples: int) -> None:
        self.placed.append(self.arrival.place(samples, self.now_s))

    @property
    def gaps(self) -> list[Gap]:
        return [placed.gap for placed in self.placed if placed.gap is not None]

    @property
    def late(self) -> int:
        return sum(placed.late for placed in self.placed)


def test_live_audio_lies_end_to_end_from_zero():
    stream = Stream().live(2)
    assert stream.placed == [Placed(FRAME * number) for number in range(100)]
    assert stream.arrival.head_samples == 2 * RATE_HZ


def test_a_backlog_of_three_seconds_keeps_its_positions_and_all_but_its_end_is_late():
    stream = Stream().live(2).lose(3).burst(3).live(2)
    assert stream.gaps == []
    assert [placed.position_samples for placed in stream.placed] == [FRAME * n for n in range(350)]
    held_up = stream.placed[100:250]
    assert sum(placed.late for placed in held_up) == pytest.approx((3 - TOLERANCE_S) / FRAME_S, abs=1)
    assert held_up == sorted(held_up, key=lambda placed: not placed.late)
    assert not any(placed.late for placed in stream.placed[250:])


def test_a_live_stream_after_an_outage_has_a_gap_of_it_and_is_soon_no_longer_late():
    stream = Stream().live(2).lose(3).live(2)
    (gap,) = stream.gaps
    assert gap.reason is Reason.RECONNECT
    assert gap.estimated
    assert gap.duration_samples == pytest.approx(3 * RATE_HZ, abs=0.1 * RATE_HZ)
    assert stream.late * FRAME_S <= 0.1 + 1e-9
    assert stream.arrival.head_samples == pytest.approx(7 * RATE_HZ, abs=1)


def test_a_stall_without_a_lost_connection_is_lost_in_the_network():
    (gap,) = Stream().live(2).wait(3).live(1).gaps
    assert gap.reason is Reason.LOST_IN_NETWORK
    assert gap.duration_samples == pytest.approx(3 * RATE_HZ, abs=1)


@pytest.mark.parametrize(("pause_s", "gaps"), [(0.98, 0), (1.0, 0), (1.02, 0), (1.04, 1)])
def test_a_pause_hides_a_loss_only_where_it_is_longer_than_the_limit(pause_s, gaps):
    stream = Stream().live(1)
    stream.now_s += pause_s - 1e-6  # a frame of 20 ms is 20 ms old when it comes
    stream.send(FRAME)
    assert len(stream.live(0.3).gaps) == gaps


@pytest.mark.parametrize(("outage_s", "gaps"), [(0.18, 0), (0.2, 0), (0.22, 1)])
def test_what_a_lost_connection_cost_is_a_gap_only_above_the_tolerance(outage_s, gaps):
    stream = Stream().live(1).lose(outage_s).live(1)
    assert (len(stream.gaps), stream.late) == (gaps, 5 * gaps)


@pytest.mark.parametrize("outage_s", [1.5, 3.0, 30.0])
@pytest.mark.parametrize("held_up_s", [0.0, 0.5, 1.0])
def test_the_part_of_an_outage_that_was_not_held_up_is_the_gap(outage_s, held_up_s):
    (gap,) = Stream().live(1).lose(outage_s).burst(held_up_s, pace=20).live(1).gaps
    assert gap.duration_samples == pytest.approx((outage_s - held_up_s) * RATE_HZ, abs=0.1 * RATE_HZ)


@pytest.mark.parametrize(("pace", "gaps"), [(1.4, 1), (1.5, 0), (1.6, 0), (4.0, 0)])
def test_a_backlog_that_comes_at_half_again_real_time_or_more_is_caught_up_with(pace, gaps):
    assert len(Stream().live(1).lose(3).burst(9 if pace < 2 else 4, pace).live(1).gaps) == gaps


def test_long_messages_that_come_a_little_late_are_live_audio():
    stream = Stream(2 * RATE_HZ).live(4)
    for delay_s in (0.5, -0.5, 0.9, 0.0, -0.9):
        stream.wait(delay_s).live(2)
    assert (stream.gaps, stream.late) == ([], 0)


def test_a_backlog_that_comes_in_two_goes_is_no_live_stream():
    stream = Stream().live(1).lose(3).burst(0.02).wait(0.15).burst(2.98).live(1)
    assert stream.gaps == []


def test_a_stream_that_stays_thin_settles_all_the_same():
    stream = Stream().live(1).lose(3)
    for _ in range(30):
        stream.wait(0.06)
        stream.send(FRAME)
    assert stream.gaps
    assert not stream.placed[-1].late


@pytest.mark.parametrize("bunch", [1, 3, 5, 10, 45])
def test_bunches_of_packets_are_live_audio_and_an_outage_between_them_is_measured(bunch):
    stream = Stream()

    def bunches(count: int) -> None:
        for _ in range(count):
            stream.wait(bunch * FRAME_S).burst(bunch * FRAME_S)

    bunches(20)
    assert stream.late == 0
    stream.lose(3)
    bunches(7)
    (gap,) = stream.gaps
    assert gap.duration_samples == pytest.approx(3 * RATE_HZ, abs=0.1 * RATE_HZ)


@pytest.mark.parametrize("chunk_s", [0.02, 0.06, 0.5, 1.0, 2.0])
def test_messages_of_any_length_are_live_audio(chunk_s):
    stream = Stream(round(chunk_s * RATE_HZ)).live(6)
    assert (stream.gaps, stream.late) == ([], 0)
    stream.lose(3).live(6)
    (gap,) = stream.gaps
    assert gap.duration_samples == pytest.approx(3 * RATE_HZ, abs=1)
    assert stream.late == math.ceil(WINDOW_S / chunk_s)


def test_audio_that_is_sent_before_its_time_sets_the_clock():
    stream = Stream().burst(2).live(1).lose(1).live(1)
    (gap,) = stream.gaps
    assert gap.start_samples + gap.duration_samples <= stream.arrival.head_samples
    assert gap.duration_samples == pytest.approx(RATE_HZ, abs=1)


def test_a_sender_whose_clock_is_slow_falls_behind_no_further_than_the_limit():
    stream = Stream()
    for _ in range(1000):
        stream.wait(FRAME_S * 1.1)
        stream.send(FRAME)
    assert {gap.reason for gap in stream.gaps} == {Reason.LOST_IN_NETWORK}
    clock = (stream.now_s - 100.0) * RATE_HZ
    assert clock - stream.arrival.head_samples <= (PAUSE_S + 0.2) * RATE_HZ


def test_a_second_loss_before_the_stream_has_settled_is_of_the_same_reconnection():
    stream = Stream().live(1).lose(2).live(0.04).wait(2).live(1)
    assert {gap.reason for gap in stream.gaps} == {Reason.RECONNECT}
    assert sum(gap.duration_samples for gap in stream.gaps) == pytest.approx(4 * RATE_HZ, abs=0.1 * RATE_HZ)


def test_what_is_missing_at_the_end_is_as_far_as_it_is_known():
    assert Arrival(RATE_HZ).missing() is None
    never = Stream()
    never.arrival.interrupt()
    assert never.arrival.missing() is None
    stream = Stream().live(1)
    assert stream.arrival.missing() is None
    stream.lose(3)
    assert stream.arrival.missing() == Gap(Reason.RECONNECT, RATE_HZ, -1, estimated=False)
    stream.live(0.04)
    missing = stream.arrival.missing()
    assert missing is not None
    assert (missing.start_samples, missing.estimated) == (RATE_HZ + 2 * FRAME, True)
    assert missing.duration_samples == pytest.approx(3 * RATE_HZ, abs=1)


def test_an_unknown_length_counts_as_none():
    stream = Stream()
    stream.send(-1)
    assert stream.placed == [Placed(0)]
    assert stream.arrival.head_samples == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["audio", "lose"]),
        st.integers(-1, 20_000),
        st.floats(0, 0.3) | st.floats(0, 40) | st.just(0.0),
    ),
    max_size=80,
)


@given(STEPS, st.sampled_from([8000, 16_000, 48_000]))
def test_whatever_comes_positions_go_on_gaps_are_ahead_and_nothing_lies_beyond_what_came(steps, rate_hz):
    arrival, now_s, received = Arrival(rate_hz), 50.0, 0
    began_s = None
    for what, samples, wait_s in steps:
        now_s += wait_s
        if what == "lose":
            arrival.interrupt()
            continue
        head = arrival.head_samples
        placed = arrival.place(samples, now_s)
        began_s = now_s if began_s is None else began_s
        received += max(0, samples)
        skipped = 0 if placed.gap is None else placed.gap.duration_samples
        assert placed.position_samples == head + skipped
        assert arrival.head_samples == placed.position_samples + max(0, samples)
        if placed.gap is not None:
            assert placed.gap.start_samples == head
            assert skipped > TOLERANCE_S * rate_hz
        assert arrival.head_samples <= (now_s - began_s) * rate_hz + received + 1
        missing = arrival.missing()
        assert missing is None or missing.duration_samples > 0


SCENES = st.lists(st.tuples(st.sampled_from(["live", "held up", "lost"]), st.integers(2, 10)), min_size=1, max_size=5)


def played(scenes: list[tuple[str, int]], chunk: int) -> Stream:
    stream = Stream(chunk).live(2)
    for what, seconds in scenes:
        if what == "live":
            stream.live(seconds)
        elif what == "held up":
            stream.wait(seconds).burst(seconds).live(2)
        else:
            stream.lose(seconds).live(2)
    return stream


@given(SCENES, st.sampled_from([80, 160, 400, 800]))
def test_how_audio_is_cut_into_messages_changes_neither_its_gaps_nor_where_it_ends(scenes, chunk):
    whole, cut = played(scenes, 1600), played(scenes, chunk)
    assert cut.arrival.head_samples == pytest.approx(whole.arrival.head_samples, abs=10)
    lengths = [[gap.duration_samples for gap in stream.gaps] for stream in (whole, cut)]
    assert lengths[0] == pytest.approx(lengths[1], abs=10)
    assert len(lengths[0]) == sum(what == "lost" for what, _ in scenes)
    assert cut.arrival.head_samples == pytest.approx((cut.now_s - 100.0) * RATE_HZ, abs=10)


@given(st.lists(st.floats(0, 0.19), min_size=10, max_size=150))
def test_a_network_that_delays_less_than_the_tolerance_costs_nothing(delays):
    arrival, arrived_s, placed = Arrival(RATE_HZ), 0.0, []
    for number, delay_s in enumerate(delays):
        # TCP keeps the order: who comes early waits for the one before
        arrived_s = max(arrived_s, 10.0 + number * FRAME_S + delay_s)
        placed.append(arrival.place(FRAME, arrived_s))
    assert all(after.position_samples - before.position_samples == FRAME for before, after in pairwise(placed))
    assert not any(each.late or each.gap for each in placed)
