import pytest

from processors.loss.numbering import Numbering
from processors.loss.report import ratio
from processors.loss.streams import Counted, Stream
from schemas.symbols import Channel, Codec, LossReportKind, Source
from tests.processors.loss.calls import BASE_S, Call, run, session_id


def test_nothing_measured_is_no_ratio():
    assert (ratio(0, 0), ratio(3, 12)) == (-1, 0.25)


def test_a_window_never_lost_less_than_nothing():
    stream = Stream(numbering=Numbering(reorder=0))
    for number in (0, 2):
        stream.numbering.take(number, 16)
    stream.begin_window(0)
    stream.numbering.take(1, 16)
    now = stream.counted()
    window = now.since(stream.window_mark)
    assert (window.expected, window.unique, window.lost) == (0, 1, 0)
    assert (now.expected, now.unique, now.lost) == (3, 3, 0)
    assert now.since(Counted()) == now


def test_a_report_says_whose_it_is():
    call = Call(4).open(organisation="o", queue="q", agent="a").say(1)
    found = run(call.close())
    final = found.final
    assert (final.conversation_id, final.organisation, final.queue, final.agent) == ("conversation-4", "o", "q", "a")
    assert final.session_id.replace("-", "") == session_id(4).hex()
    assert (final.source, final.codec, final.channel, final.stream) == (
        Source.AUDIOHOOK,
        Codec.PCMU,
        Channel.ALL,
        -1,
    )
    assert (final.anchor_at_us, final.captured_at_us) == (BASE_S * 1e6, (BASE_S + 1) * 1e6)
    assert not final.partial


def test_every_report_of_every_source_has_throughput_and_loss():
    call = Call().open()
    for number in range(600):
        call.packet(number)
    found = run(call.close(), Call(1).open().say(11).close())
    reports = [record for _, record in found.found]
    assert {record.kind for record in reports} == {LossReportKind.WINDOW, LossReportKind.FINAL}
    assert len(reports) == 2 * 4 + 5  # the stream's segment has a final of its own
    for record in reports:
        assert record.frames_per_s > 0
        assert record.bytes_per_s == pytest.approx(record.frames_per_s * record.bytes / record.frames)
        assert record.media_ratio == pytest.approx(1, rel=0.25)
        assert record.loss_ratio == 0
        assert record.cumulative_expected >= record.expected
