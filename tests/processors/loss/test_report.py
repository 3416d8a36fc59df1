import pytest

from processors.loss.report import packets_of, ratio
from processors.loss.state import Stream
from schemas.symbols import Channel, Codec, LossReportKind, Source
from tests.processors.loss.calls import BASE_S, Call, run, session_id


def test_nothing_measured_is_no_ratio():
    assert (ratio(0, 0), ratio(3, 12)) == (-1, 0.25)


def test_a_window_never_lost_less_than_nothing():
    stream = Stream()
    for number in (0, 2):
        stream.numbering.take(number, 16)
    stream.begin_window()
    stream.numbering.take(1, 16)
    window, final = packets_of(stream, final=False), packets_of(stream, final=True)
    assert (window.expected, window.unique, window.lost) == (0, 1, 0)
    assert (final.expected, final.unique, final.lost) == (3, 3, 0)


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
    assert len(reports) == 2 * 4 + 4
    for record in reports:
        assert record.frames_per_s > 0
        assert record.bytes_per_s == pytest.approx(record.frames_per_s * record.bytes / record.frames)
        assert record.media_ratio == pytest.approx(1, rel=0.25)
        assert record.loss_ratio == 0
        assert record.cumulative_expected >= record.expected
