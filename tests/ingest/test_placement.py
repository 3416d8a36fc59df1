from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.numbers import serial_step
from ingest.arrival import Gap
from ingest.placement import MOST_DISORDER, Placed, Placement, Scale
from schemas.symbols import Reason

TOP = 2**32


@dataclass
class Sender:
    """A stream of 20 ms packets. `at` is the number of the next one; packet n arrives n · 20 ms after the first."""

    sequence: int = 0
    timestamp: int = 0
    scale: Scale = field(default_factory=Scale)
    late_s: float = 0.0

    def __post_init__(self) -> None:
        self.placement = Placement(self.scale)

    def send(self, number: int, *, arrives: float | None = None) -> Placed:
        samples = self.scale.sample_rate_hz // 50
        ticks = self.scale.clock_hz // 50
        return self.placement.place(
            (self.sequence + number) % 2**self.scale.sequence_bits,
            (self.timestamp + number * ticks) % 2**self.scale.timestamp_bits,
            samples,
            1000.0 + (number if arrives is None else arrives) * 0.02,
        )


@pytest.mark.parametrize(
    ("number", "reference", "bits", "step"),
    [
        (1, 0, 8, 1),
        (0, 255, 8, 1),
        (255, 0, 8, -1),
        (127, 0, 8, 127),
        (128, 0, 8, -128),
        (0, 2**32 - 1, 32, 1),
        (2**31, 0, 32, -(2**31)),
        (0, 2**53 - 1, 53, -(2**53) + 1),
    ],
)
def test_steps_follow_serial_arithmetic(number, reference, bits, step):
    assert serial_step(number, reference, bits) == step


@given(st.integers(8, 52).flatmap(lambda bits: st.tuples(st.just(bits), st.integers(0, 2**bits - 1))), st.integers())
def test_a_step_shorter_than_half_the_range_is_found_across_any_wrap(start, step):
    bits, reference = start
    step = step % 2**bits - 2 ** (bits - 1)
    assert serial_step((reference + step) % 2**bits, reference, bits) == step


@pytest.mark.parametrize(("sequence", "timestamp"), [(0, 0), (TOP - 3, TOP - 500), (65_530, 12_345)])
def test_positions_follow_timestamps_from_zero_on_also_across_the_wraps(sequence, timestamp):
    sender = Sender(sequence, timestamp)
    assert [sender.send(n) for n in range(10)] == [Placed(160 * n, late=False) for n in range(10)]
    assert sender.placement.head_samples == 1600


def test_a_lost_packet_leaves_its_place_empty():
    sender = Sender()
    assert [sender.send(n).position_samples for n in (0, 1, 4, 5)] == [0, 160, 640, 800]


def test_packets_out_of_order_get_their_own_places_and_are_late():
    sender = Sender(TOP - 2, TOP - 300)
    placed = [sender.send(n, arrives=at) for at, n in enumerate((0, 1, 3, 4, 2, 5))]
    assert [p.position_samples for p in placed] == [0, 160, 480, 640, 320, 800]
    assert [p.late for p in placed] == [False, False, False, False, True, False]


def test_a_copy_has_its_place_again_and_is_late_only_behind_later_packets():
    sender = Sender()
    placed = [sender.send(n, arrives=at) for at, n in enumerate((0, 1, 1, 2, 0))]
    assert [p.position_samples for p in placed] == [0, 160, 160, 320, 0]
    assert [p.late for p in placed] == [False, False, False, False, True]


def test_what_comes_before_the_first_packet_has_no_place():
    sender = Sender(10, 8000)
    sender.send(0)
    assert sender.send(-1, arrives=1) == Placed(-1, late=True)
    assert sender.send(1) == Placed(160, late=False)


@pytest.mark.parametrize(
    ("rate", "clock", "tenth"), [(8000, 48_000, 1600), (16_000, 8000, 3200), (8000, 90_000, 1600), (44_100, 8000, 8820)]
)
def test_the_source_s_clock_is_converted_without_adding_up_roundings(rate, clock, tenth):
    sender = Sender(scale=Scale(rate, clock))
    assert [sender.send(n).position_samples for n in range(11)][10] == tenth


def test_roundings_do_not_add_up():
    placement = Placement(Scale(8000, 3000))
    positions = [placement.place(n, n * 7, 18, n * 7 / 3000).position_samples for n in range(3001)]
    assert positions[1] == 18
    assert positions[3000] == 56_000


def test_a_silent_stream_that_goes_on_goes_on_where_its_timestamp_says():
    sender = Sender()
    sender.send(0)
    assert sender.send(50 * 3600) == Placed(160 * 50 * 3600, late=False)


def test_a_stream_whose_timestamps_waited_goes_on_at_once():
    sender = Sender()
    sender.send(0)
    assert sender.send(1, arrives=50 * 3600) == Placed(160, late=False)


def test_a_backlog_delivered_at_once_has_its_places():
    sender = Sender()
    sender.send(0)
    placed = [sender.send(n, arrives=1500) for n in range(1, 1500)]
    assert placed == [Placed(160 * n, late=False) for n in range(1, 1500)]


def test_a_backlog_after_a_lost_connection_has_its_places_and_is_late_but_for_its_end():
    sender = Sender()
    for n in range(100):
        sender.send(n)
    sender.placement.interrupt()
    placed = [sender.send(n, arrives=250) for n in range(100, 251)]
    assert [one.position_samples for one in placed] == [160 * n for n in range(100, 251)]
    assert [one.late for one in placed] == [True] * 140 + [False] * 11
    assert sender.send(251).late is False


def test_packets_longer_than_the_tolerance_may_follow_each_other_at_once():
    placement = Placement(Scale())
    placed = [placement.place(n, n * 160_000, 160_000, 5.0) for n in range(3)]
    assert placed == [Placed(160_000 * n, late=False) for n in range(3)]


@pytest.mark.parametrize("jump_s", [-11, 11, 3600])
def test_a_jump_of_the_timestamp_begins_anew_where_it_arrives(jump_s):
    sender = Sender(timestamp=10**6)
    for n in range(5):
        sender.send(n)
    sender.timestamp += jump_s * 8000
    restart = Gap(Reason.RESTART, 800, 160 * 3, estimated=True)
    assert sender.send(5, arrives=8) == Placed(160 * 8, late=False, gap=restart)
    assert sender.send(6, arrives=9) == Placed(160 * 9, late=False)


@pytest.mark.parametrize(("jump_s", "arrives"), [(9.9, 5), (70, 5 + 61 * 50), (-1.9, 5)])
def test_a_jump_that_its_arrival_can_explain_is_none(jump_s, arrives):
    sender = Sender(timestamp=10**6, sequence=500)
    for n in range(5):
        sender.send(n)
    n = 4 + round(jump_s * 50)
    assert sender.send(n, arrives=arrives).gap is None


def test_a_restart_never_lies_before_audio_that_is_there():
    sender = Sender()
    for n in range(100):
        sender.send(n, arrives=0)
    sender.sequence, sender.timestamp = 10_000, 10**9
    placed = sender.send(100, arrives=1)
    assert placed == Placed(16_000, late=False, gap=Gap(Reason.RESTART, 16_000, 0, estimated=True))


def test_a_stream_that_starts_over_within_the_first_seconds_is_no_late_one():
    sender = Sender()
    for n in range(200):
        sender.send(n)
    placed = [sender.placement.place(n, n * 160, 160, 1000 + (200 + n) * 0.02) for n in range(3)]
    assert [p.position_samples for p in placed] == [32_000, 32_160, 32_320]
    assert [p.gap is not None for p in placed] == [True, False, False]
    assert not any(p.late for p in placed)


@pytest.mark.parametrize(("behind", "restarts"), [(MOST_DISORDER - 2, False), (MOST_DISORDER, True)])
def test_two_packets_in_a_row_from_far_behind_are_a_stream_that_started_over(behind, restarts):
    sender = Sender(2**32 - 100)
    for n in range(300):
        sender.send(n)
    placed = [sender.send(299 - behind + n, arrives=300 + n) for n in range(2)]
    late = [Placed((299 - behind + n) * 160, late=True) for n in range(2)]
    gap = Gap(Reason.RESTART, 300 * 160, 160, estimated=True)
    assert placed == [late[0], Placed(301 * 160, late=False, gap=gap) if restarts else late[1]]


def test_packets_that_were_on_their_way_for_long_keep_their_places():
    sender = Sender()
    for n in range(500):
        if n not in (50, 51):
            sender.send(n)
    assert sender.send(50, arrives=500) == Placed(50 * 160, late=True)
    assert sender.send(500) == Placed(500 * 160, late=False)
    assert sender.send(51, arrives=501) == Placed(51 * 160, late=True)


def test_a_timestamp_that_goes_back_under_growing_numbers_begins_anew():
    sender = Sender()
    for n in range(10):
        sender.send(n)
    placed = sender.placement.place(10, 160, 160, 1000.2)
    assert (placed.position_samples, placed.gap) == (1600, Gap(Reason.RESTART, 1600, 0, estimated=True))


def test_numbers_that_start_over_under_growing_timestamps_change_no_place():
    sender = Sender(sequence=70_000)
    for n in range(10):
        sender.send(n)
    sender.sequence = -10
    assert [sender.send(n) for n in range(10, 13)] == [Placed(160 * n, late=False) for n in range(10, 13)]


def test_one_stray_packet_moves_nothing_behind_it():
    sender = Sender()
    for n in range(5):
        sender.send(n)
    stray = sender.placement.place(99_999, 2**31, 160, 1000.1)
    assert (stray.position_samples, stray.gap is not None) == (800, True)
    assert [sender.send(n).position_samples for n in range(5, 8)] == [800, 960, 1120]
    assert sender.send(8).gap is None


def test_two_senders_that_alternate_restart_once():
    one, two = Sender(), Sender(50_000, 2**31)
    two.placement = one.placement
    placed = [sender.send(n) for n in range(50) for sender in (one, two)]
    assert sum(p.gap is not None for p in placed) == 1
    assert [p.position_samples for p in placed[::2]] == [160 * n for n in range(50)]
    assert [p.position_samples for p in placed[1::2]] == [160 * (n + 1) for n in range(50)]


# --- lost connections ------------------------------------------------------------------------------------------------


def reconnected(played: int, **start) -> Sender:
    sender = Sender(**start)
    for n in range(played):
        sender.send(n)
    sender.placement.interrupt()
    return sender


def test_after_a_lost_connection_the_timestamps_say_how_much_is_missing():
    sender = reconnected(50, timestamp=TOP - 4000)
    gap = Gap(Reason.RECONNECT, 8000, 160 * 4000, estimated=False)
    assert sender.send(4050) == Placed(160 * 4050, late=False, gap=gap)
    assert sender.send(4051).gap is None
    assert not sender.placement.interrupted


def test_a_lost_connection_that_cost_nothing_is_a_gap_of_no_length():
    assert reconnected(50).send(50).gap == Gap(Reason.RECONNECT, 8000, 0, estimated=False)


def test_timestamps_that_begin_anew_leave_the_arrival_to_tell_how_much_is_missing():
    sender = reconnected(5000)
    sender.sequence = sender.timestamp = 0
    placed = sender.send(0, arrives=5100)
    assert placed == Placed(160 * 5100, late=False, gap=Gap(Reason.RECONNECT, 160 * 5000, 16_000, estimated=True))
    assert sender.send(1, arrives=5101) == Placed(160 * 5101, late=False)


@pytest.mark.parametrize("base", [0, 12_345])
def test_a_count_that_begins_anew_early_in_a_call_does_not_write_over_its_beginning(base):
    sender = reconnected(100, sequence=base, timestamp=base)
    sender.sequence = sender.timestamp = 0
    placed = [sender.send(n, arrives=110 + n) for n in range(3)]
    assert [p.position_samples for p in placed] == [160 * 110, 160 * 111, 160 * 112]
    assert placed[0].gap == Gap(Reason.RECONNECT, 16_000, 1600, estimated=True)


def test_what_a_new_connection_repeats_keeps_its_places_and_is_late():
    sender = reconnected(500)
    placed = [sender.send(n, arrives=510) for n in range(350, 520)]
    assert [p.position_samples for p in placed] == [160 * n for n in range(350, 520)]
    # 500 comes for the first time, and is 0.2 s old
    assert [p.late for p in placed] == [n < 500 for n in range(350, 520)]
    assert placed[0].gap == Gap(Reason.RECONNECT, 80_000, 0, estimated=False)
    assert all(p.gap is None for p in placed[1:])


def test_what_counted_before_a_loss_is_over_once_the_new_connection_counts_anew():
    sender = reconnected(50)
    sender.placement.place(10**6, 2**31, 160, 1001.0)
    gap = sender.send(50).gap
    assert gap is not None
    assert gap.reason is Reason.RESTART


def test_a_stray_packet_before_the_loss_does_not_hide_the_count_that_goes_on():
    sender = Sender()
    for n in range(50):
        sender.send(n)
    sender.placement.place(7, 2**31, 160, 1001.0)
    sender.placement.interrupt()
    assert sender.send(100) == Placed(
        160 * 100, late=False, gap=Gap(Reason.RECONNECT, 51 * 160, 49 * 160, estimated=False)
    )


def test_a_loss_before_any_packet_is_none():
    placement = Placement(Scale())
    placement.interrupt()
    assert not placement.interrupted
    assert placement.place(5, 5, 160, 9.0) == Placed(0, late=False)


def test_packets_of_unknown_length_have_places_too():
    placement = Placement(Scale())
    placed = [placement.place(n, n * 160, -1, n * 0.02) for n in (0, 1, 3, 2)]
    assert [p.position_samples for p in placed] == [0, 160, 480, 320]
    assert placement.head_samples == 480


# --- properties ------------------------------------------------------------------------------------------------------

WIDTHS = st.builds(
    Scale,
    sample_rate_hz=st.sampled_from([8000, 16_000, 44_100, 48_000]),
    clock_hz=st.sampled_from([1000, 8000, 48_000, 90_000]),
    sequence_bits=st.integers(8, 53),
    timestamp_bits=st.integers(24, 53),
)


@given(
    WIDTHS,
    st.integers(0, 2**53),
    st.integers(0, 2**53),
    st.lists(st.tuples(st.integers(0, 30), st.integers(-20, 20)), min_size=1, max_size=60),
)
def test_any_loss_disorder_and_copies_leave_every_place_exact(scale, sequence, timestamp, steps):
    # packets in an order that strays by at most 40 from the sent one, some left out, some twice
    order = [number for at, (shift, _) in enumerate(steps) for number in (at * 3 + shift // 3,) if shift % 4]
    bits = (scale.sequence_bits, scale.timestamp_bits)
    sequence, timestamp = (
        min(value, 2**width - 10_000) if width == 53 else value % 2**width
        for value, width in zip((sequence, timestamp), bits, strict=True)
    )
    placement, first, highest = Placement(scale), None, -1
    for number in order:
        first = number if first is None else first
        at = placement.place(
            (sequence + number) % 2 ** bits[0],
            (timestamp + number * scale.clock_hz // 50) % 2 ** bits[1],
            scale.sample_rate_hz // 50,
            number * 0.02 + 5,
        )
        ticks = number * scale.clock_hz // 50 - first * scale.clock_hz // 50
        assert at.position_samples == max(-1, ticks * scale.sample_rate_hz // scale.clock_hz)
        assert at.late is (number < highest)
        assert at.gap is None
        highest = max(highest, number)


@given(
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(-1, 400), st.floats(0, 100))
        | st.none(),
        max_size=40,
    )
)
def test_whatever_the_numbers_are_places_are_places_and_gaps_lie_behind_the_audio(packets):
    placement, now_s = Placement(Scale()), 0.0
    for packet in packets:
        if packet is None:
            placement.interrupt()
            continue
        sequence, timestamp, duration, passed_s = packet
        now_s += passed_s
        head, interrupted = placement.head_samples, placement.interrupted
        at = placement.place(sequence, timestamp, duration, now_s)
        assert at.position_samples >= -1
        assert placement.head_samples >= head
        if at.position_samples >= 0:
            assert placement.head_samples >= at.position_samples + max(0, duration)
        if interrupted:
            assert at.gap is not None
            assert at.gap.reason is Reason.RECONNECT
        if at.gap is not None:
            assert at.gap.start_samples == head
            assert at.gap.duration_samples >= 0


def test_a_second_stream_begins_where_its_arrival_lies_on_the_clock_of_the_session():
    placement = Placement(Scale(), origin_s=100.0)
    assert placement.place(5, 9000, 160, 100.5).position_samples == 4000
    assert placement.place(6, 9160, 160, 100.9).position_samples == 4160


def test_what_is_no_audio_has_a_place_and_moves_nothing():
    placement = Placement(Scale())
    assert placement.locate(0) == -1
    placement.place(1, 1000, 160, 0.0)
    placement.place(2, 1160, 160, 0.02)
    assert placement.locate(1000) == 0
    assert placement.locate(1320) == 320
    assert placement.locate(999) == -1
    assert placement.locate(1160 + 81_000) == -1
    assert placement.place(3, 1320, 160, 0.04).position_samples == 320
