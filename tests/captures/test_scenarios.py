from pathlib import Path

import pytest

from tests.captures.files import Link, write_pcap, write_pcapng
from tests.captures.packets import rtp
from tests.captures.scenarios import NAMES, OTHER_SSRC, SSRC, scenario

_SHORT = [name for name in NAMES if name != "several_wraps"]


@pytest.mark.parametrize("name", _SHORT)
def test_a_scenario_is_the_same_each_time_and_in_order_of_arrival(name: str) -> None:
    made = scenario(name)
    assert made == scenario(name)
    assert [one.arrival_us for one in made.packets] == sorted(one.arrival_us for one in made.packets)


@pytest.mark.parametrize("name", _SHORT)
def test_what_arrived_and_what_is_lost_add_up(name: str) -> None:
    made = scenario(name)
    for truth in made.truth.values():
        assert truth.received == sum(one.ssrc == truth.ssrc for one in made.packets)
        assert truth.expected == truth.unique + truth.lost
        assert truth.received == truth.unique + truth.duplicates


def test_the_truth_of_a_scenario_is_what_was_done_to_it() -> None:
    assert scenario("random_loss").truth[SSRC].lost == 50
    assert scenario("duplicates").truth[SSRC].duplicates == 10
    assert scenario("reordered_at_wrap").truth[SSRC].reordered == 2
    assert [segment.lost for segment in scenario("restart").truth[SSRC].segments] == [2, 1, 0]
    assert scenario("two_ssrcs").truth[OTHER_SSRC].lost == 5
    assert scenario("jitter").truth[SSRC].reordered == 0
    ends = scenario("lost_ends").truth[SSRC].segments[0]
    assert (ends.lost, ends.unseen_head, ends.unseen_tail) == (0, 10, 20)
    assert {13} < scenario("dtx").truth[SSRC].payload_types


def test_numbers_wrap_and_the_truth_does_not() -> None:
    numbers = [one.sequence for one in scenario("loss_across_wrap").packets]
    assert (min(numbers), max(numbers)) == (5, 65_529)
    assert scenario("loss_across_wrap").truth[SSRC].segments[0].last_number == 65_899


@pytest.mark.parametrize("link", list(Link))
def test_a_file_ends_with_the_last_packet(link: Link, tmp_path: Path) -> None:
    packets = scenario("clean").packets[:3]
    last = rtp(packets[-1])
    assert write_pcap(tmp_path / "a.pcap", packets, link=link).read_bytes().endswith(last)
    tail = write_pcapng(tmp_path / "a.pcapng", packets, link=link).read_bytes()[-len(last) - 8 :]
    assert last[-100:] in tail
