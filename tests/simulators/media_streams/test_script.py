from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.media_streams import script
from simulators.media_streams.script import PACKET_SAMPLES, Drop, Restart, Script, Stop

PACKETS = 500


def audio(packets: int = PACKETS) -> bytes:
    return b"".join(number.to_bytes(2, "big") * (PACKET_SAMPLES // 2) for number in range(packets))


def recounted(numbers: list[int]) -> tuple[int, int, int]:
    """Duplicates, reordered and lost of unwrapped numbers, in another way than the script's."""
    firsts = [number for at, number in enumerate(numbers) if number not in numbers[:at]]
    late = [number for at, number in enumerate(firsts) if any(earlier > number for earlier in firsts[:at])]
    return len(numbers) - len(firsts), len(late), max(numbers) - min(numbers) + 1 - len(firsts)


def test_a_perfect_call_is_one_packet_every_twenty_milliseconds():
    plan = Script(audio=audio(3) + b"end", first_sequence_number=7, first_timestamp=1000).plan()
    assert [packet.send_at_ms for packet in plan.packets] == [0, 20, 40, 60]
    assert [packet.sequence_number for packet in plan.packets] == [7, 8, 9, 10]
    assert [packet.timestamp for packet in plan.packets] == [1000, 1160, 1320, 1480]
    assert [len(packet.payload) for packet in plan.packets] == [160, 160, 160, 3]
    assert b"".join(packet.payload for packet in plan.packets) == audio(3) + b"end"
    assert plan.duration_ms == 61
    assert plan.truth() == script.Truth(4, 4, 4, 0, 0, 0, ())


def test_numbers_and_timestamps_wrap():
    plan = Script(audio=audio(4), first_sequence_number=65534, first_timestamp=2**32 - 320, sequence_bits=16).plan()
    assert [packet.sequence_number for packet in plan.packets] == [65534, 65535, 0, 1]
    assert [packet.timestamp for packet in plan.packets] == [2**32 - 320, 2**32 - 160, 0, 160]
    assert plan.truth().expected == 4


@given(
    loss_ratio=st.floats(0, 0.5),
    reordered=st.integers(0, 40),
    duplicates=st.integers(0, 80),
    seed=st.integers(0, 1000),
)
def test_the_truth_is_exactly_what_was_asked_for(loss_ratio, reordered, duplicates, seed):
    plan = Script(audio=audio(), loss_ratio=loss_ratio, reordered=reordered, duplicates=duplicates, seed=seed).plan()
    truth, lost = plan.truth(), round(loss_ratio * PACKETS)
    assert (truth.duplicates, truth.reordered, truth.lost) == (duplicates, reordered, lost)
    assert recounted([packet.number for packet in plan.packets]) == (duplicates, reordered, lost)
    assert (truth.expected, truth.received, truth.unique) == (PACKETS, len(plan.packets), PACKETS - lost)
    assert truth.received == truth.unique + truth.duplicates
    arrived = {packet.start_samples for packet in plan.packets}
    missing = [at for at in range(0, PACKETS * PACKET_SAMPLES, PACKET_SAMPLES) if at not in arrived]
    assert [at for start, end in truth.lost_spans for at in range(start, end, PACKET_SAMPLES)] == missing
    assert all(earlier[1] < later[0] for earlier, later in pairwise(truth.lost_spans))
    times = [packet.send_at_ms for packet in plan.packets]
    assert times == sorted(times)


def test_the_first_two_and_the_last_packet_arrive_as_they_should():
    for seed in range(50):
        plan = Script(audio=audio(40), loss_ratio=0.5, reordered=3, duplicates=5, seed=seed).plan()
        assert [packet.number for packet in plan.packets[:2]] == [0, 1]
        assert plan.packets[-1].number == 39
        assert [packet.number for packet in plan.packets].count(39) == 1


def test_a_delayed_packet_leaves_with_the_one_it_waited_for():
    plan = Script(audio=audio(), reordered=20).plan()
    late = [packet for packet in plan.packets if packet.send_at_ms != packet.number * script.PACKET_MS]
    assert len(late) == 20
    assert {packet.send_at_ms - packet.number * script.PACKET_MS for packet in late} == {20, 40, 60}


def test_losses_are_single_or_short_runs():
    lengths = set()
    for seed in range(20):
        spans = Script(audio=audio(), loss_ratio=0.15, seed=seed).plan().truth().lost_spans
        lengths |= {(end - start) // PACKET_SAMPLES for start, end in spans}
    assert lengths == {1, 2, 3}


def test_a_seed_is_a_call():
    imperfect = {"audio": audio(), "loss_ratio": 0.02, "reordered": 5, "duplicates": 5}
    assert Script(**imperfect, seed=1).plan() == Script(**imperfect, seed=1).plan()
    assert Script(**imperfect, seed=1).plan().packets != Script(**imperfect, seed=2).plan().packets


@pytest.mark.parametrize("asked", [{"loss_ratio": 0.9}, {"reordered": 9}, {"duplicates": 9}])
def test_more_imperfections_than_there_is_room_for_are_refused(asked):
    with pytest.raises(ValueError, match="there is room for"):
        Script(audio=audio(10), **asked).plan()


def test_in_a_stop_nothing_is_numbered_and_timestamps_go_on():
    plan = Script(audio=audio(10), actions=(Stop(41, 60),)).plan()
    assert [packet.send_at_ms for packet in plan.packets] == [0, 20, 40, 120, 140, 160, 180]
    assert [packet.sequence_number for packet in plan.packets] == list(range(7))
    assert plan.packets[3].timestamp == 960
    assert plan.packets[3].payload == audio(10)[960:1120]
    assert plan.silent_spans == ((480, 960),)
    assert plan.truth().lost == 0


def test_a_stop_up_to_the_end_is_silent_to_the_end():
    plan = Script(audio=audio(5), actions=(Stop(0, 20), Stop(60, 1000))).plan()
    assert plan.silent_spans == ((0, 160), (480, 800))
    assert plan.duration_ms == 100


def test_a_restart_begins_another_numbering():
    plan = Script(audio=audio(6), actions=(Restart(60, 5000, 77),)).plan()
    assert [packet.sequence_number for packet in plan.packets] == [0, 1, 2, 5000, 5001, 5002]
    assert [packet.timestamp for packet in plan.packets] == [0, 160, 320, 77, 237, 397]
    assert [packet.epoch for packet in plan.packets] == [0, 0, 0, 1, 1, 1]
    assert plan.truth() == script.Truth(6, 6, 6, 0, 0, 0, ())


def test_around_an_action_everything_arrives_as_it_should():
    at_ms = 400
    for seed in range(50):
        imperfect = Script(
            audio=audio(40), loss_ratio=0.4, reordered=4, duplicates=4, seed=seed, actions=(Restart(at_ms, 9, 9),)
        )
        plan = imperfect.plan()
        assert [packet.epoch for packet in plan.packets] == sorted(packet.epoch for packet in plan.packets)
        after = [packet for packet in plan.packets if packet.epoch == 1]
        before = [packet for packet in plan.packets if packet.epoch == 0]
        assert before[-1].number == 19
        assert [packet.number for packet in after[:2]] == [0, 1]
        assert plan.truth().lost == 16


def test_a_drop_stands_before_the_packet_of_its_time():
    plan = Script(audio=audio(4), actions=(Drop(40),)).plan()
    assert [(at_ms, type(step).__name__) for at_ms, step in plan.steps] == [
        (0, "Packet"),
        (20, "Packet"),
        (40, "Drop"),
        (40, "Packet"),
        (60, "Packet"),
    ]


def test_what_was_really_sent_can_be_accounted_for():
    plan = Script(audio=audio(10)).plan()
    truth = plan.truth([*plan.packets[2:4], *plan.packets[7:]])
    assert (truth.expected, truth.received, truth.lost) == (8, 5, 3)
    assert truth.lost_spans == ((640, 1120),)
    assert plan.truth([]) == script.Truth(0, 0, 0, 0, 0, 0, ())


def test_the_channels_of_the_shipped_conversation_are_its_two_halves():
    external, internal = script.channel("external"), script.channel("internal")
    assert len(external) == len(internal) > 8000
    assert external != internal
    with pytest.raises(ValueError, match="tuple"):
        script.channel("both")


def test_a_truth_is_plain_values():
    truth = Script(audio=audio(10), loss_ratio=0.1).plan().truth().as_json()
    assert truth["lost"] == 1
    assert truth["expected"] == 10
