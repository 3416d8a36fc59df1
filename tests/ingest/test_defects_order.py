"""C1 to C3: order. Ours: ingest holds nothing back; a packet goes on at once, with its place and whether it is late."""

import pytest

from tests.data.defects import order
from tests.data.defects.order import Out
from tests.ingest.showing import shows
from tests.ingest.sources.media_streams.words import Stream, packet


class Ours:
    """The machine of media streams."""

    def __init__(self):
        self.stream = Stream()
        self.stream.do("connected")
        self.began_s = self.stream.now_s

    def take(self, sequence, timestamp, now_s):
        self.stream.now_s = self.began_s + now_s
        effects = self.stream.send(packet(0, sequenceNumber=sequence, timestamp=timestamp))
        return [Out(audio.source_sequence, audio.position_samples, audio.late) for audio in effects]

    def settle(self, now_s):
        return []


def play(make, places, first=0, at_s=None):
    """Send the packets of these places, 20 ms after each other or at their times; return all that went on."""
    made, out = make(), []
    for index, place in enumerate(places):
        now_s = index * 0.02 if at_s is None else at_s[index]
        out += made.take(place, (first + place * 160) % 2**32, now_s)
    return out + made.settle(1e6)


@shows(Ours, order.Buffer, C1=order.ReleasesAndKeeps)
def test_each_packet_goes_on_once(make):
    out = play(make, range(8))
    assert [each.sequence for each in out] == list(range(8))


@shows(Ours, order.Buffer, C1=order.ReleasesAndKeeps)
def test_a_packet_that_comes_long_after_its_successor_keeps_its_place_and_is_late(make):
    out = play(make, [0, 1, 3, 4, 2, 5], at_s=[0, 0.02, 0.06, 0.08, 0.2, 0.3])
    assert sorted(each.position for each in out) == [0, 160, 320, 480, 640, 800]
    assert [each.sequence for each in out if each.late] == [2]


@shows(Ours, order.Buffer, C2=order.ForgetsWhatIsOld)
def test_nothing_that_arrived_is_lost_by_waiting_for_what_did_not(make):
    out = play(make, [0, 1, 3, 4, 5, 6, 7])
    assert sorted(each.sequence for each in out) == [0, 1, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("places", [range(6), [0, 1, 3, 2, 4, 5]])
@shows(Ours, order.Buffer, C3=order.SortsByTheBareTimestamp)
def test_places_go_on_where_the_timestamps_wrap(make, places):
    out = play(make, places, first=2**32 - 3 * 160)
    assert sorted((each.position, each.sequence) for each in out) == [(160 * place, place) for place in range(6)]
