"""D1 to D5: what was lost. Ours: packets as the platform sends them, through ingest to the reports of calls.loss."""

import pytest

from processors.loss.numbering import Numbering
from schemas.symbols import ClosedBy, LossReportKind
from schemas.topics import AUDIO
from tests.data.defects import counting
from tests.ingest.showing import shows
from tests.ingest.sources.media_streams.words import CALL, OTHER, Stream, packet
from tests.processors.loss.calls import Run


class OurNumbers(Numbering):
    def take(self, number, bits=16):
        super().take(number, bits)


NUMBERS = {
    "one comes twice": ([1, 2, 2, 3], 0),
    "they begin anew": ([500, 501, 1, 2], 0),
    "they wrap": ([65_534, 65_535, 0, 1], 0),
    "they wrap and one is lost": ([65_534, 65_535, 1, 2], 1),
    "one comes twice and one is lost": ([1, 2, 2, 4], 1),
}


@pytest.mark.parametrize(("numbers", "lost"), NUMBERS.values(), ids=NUMBERS)
@shows(OurNumbers, D1=counting.AnyStepIsLoss)
def test_only_what_did_not_come_is_lost(make, numbers, lost):
    counter = make()
    for number in numbers:
        counter.take(number)
    assert counter.lost == lost


@pytest.mark.parametrize("numbers", [[1, 2, 4, 3, 5], [1, 3, 2, 2, 4], [65_535, 1, 0, 2]])
@shows(OurNumbers, D1=counting.AnyStepIsLoss)
def test_disorder_never_makes_less_than_nothing_lost(make, numbers):
    counter, seen = make(), []
    for number in numbers:
        counter.take(number)
        seen.append(counter.lost)
    assert (min(seen), seen[-1]) == (0, 0)


class OurCounting:
    """The machine of media streams, its records, and the reports of the loss processor on them."""

    def __init__(self):
        self.stream = Stream(CALL, OTHER)
        self.stream.now_s = 0.0
        self.stream.do("connected")
        self.first = {}

    def take(self, call, number, now_s):
        base = self.first.setdefault(call, number)
        self.stream.now_s = now_s
        self.stream.send(packet(number - base, call, base=base))

    def reconnected(self, now_s):
        self.stream.do("disconnected", 1006, "", ClosedBy.NETWORK)
        self.stream.now_s = now_s
        self.stream.do("connected")

    def report(self, now_s):
        self.stream.now_s = now_s
        self.stream.do("drain")
        found = Run().feed([(record.key, record.value) for record in self.stream.records if record.topic == AUDIO.name])
        finals = {final.conversation_id: final for final in found.of(LossReportKind.FINAL)}
        heard = [window for window in found.windows if window.frames]
        return counting.Report(
            {call: final.lost for call, final in finals.items()},
            heard[-1].loss_ratio,
            finals[CALL].loss_ratio,
            finals[CALL].frames_per_s,
        )


def feed(counter, numbers, call=CALL, start_s=0.0):
    """Give a stream of 20 ms packets, each at its time; return when the last one came."""
    at_s = start_s
    for number in numbers:
        at_s = start_s + (number - numbers[0]) * 0.02
        counter.take(call, number, at_s)
    return at_s


@shows(OurCounting, counting.Counting, D2=counting.OneNumberForAll)
def test_calls_over_one_connection_are_counted_apart(make):
    counter = make()
    for step in range(50):
        counter.take(CALL, 1 + step, step * 0.02)
        counter.take(OTHER, 100 + step, step * 0.02)
    assert set(counter.report(1.0).lost.values()) == {0}


@shows(OurCounting, counting.Counting, D3=counting.LostOfReceived)
def test_the_share_is_of_what_was_expected(make):
    counter = make()
    feed(counter, [1, 2, 11, 12])
    report = counter.report(0.24)
    assert report.lost[CALL] == 8
    assert report.ratio_ever == pytest.approx(8 / 12)


@shows(OurCounting, counting.Counting, D3=counting.LostOfReceived)
def test_an_old_loss_ages(make):
    counter = make()
    feed(counter, [*range(50), *range(60, 1000)])
    report = counter.report(20.0)
    assert report.ratio_now == 0
    assert report.ratio_ever == pytest.approx(10 / 1000)


@shows(OurCounting, counting.Counting, D4=counting.GoesOnAfterAReconnect)
def test_what_was_sent_while_there_was_no_connection_is_no_loss_on_the_way(make):
    counter = make()
    end_s = feed(counter, range(100, 150))
    counter.reconnected(end_s + 3)
    feed(counter, range(300, 350), start_s=end_s + 3.02)
    assert counter.report(end_s + 5).lost[CALL] == 0


@pytest.mark.parametrize("first", [0, 40_000])
@shows(OurCounting, counting.Counting, D5=counting.SinceNoBeginning)
def test_throughput_is_by_the_time_since_the_session_began(make, first):
    counter = make()
    end_s = feed(counter, range(first, first + 500))
    assert counter.report(end_s).per_second == pytest.approx(50, rel=0.1)
