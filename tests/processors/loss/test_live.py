"""The live metrics say what the reports say, with labels that name no call."""

from processors.loss.live import MeteredLoss
from runtime import metrics
from schemas.symbols import Channels, FrameKind, Reason
from tests.processors.loss.calls import Call, Run, log_of


def numbered(**fields) -> Call:
    call = Call().open()
    for number in range(600):
        if number % 10:
            call.packet(number, **fields)
    return call.close()


def test_packets_are_counted_once_though_the_session_sums_them():
    before = metrics.total(metrics.LOSS_EXPECTED_PACKETS), metrics.total(metrics.LOSS_LOST_PACKETS)
    found = Run(MeteredLoss()).feed(log_of(numbered()))
    after = metrics.total(metrics.LOSS_EXPECTED_PACKETS), metrics.total(metrics.LOSS_LOST_PACKETS)
    final = found.final
    assert (after[0] - before[0], after[1] - before[1]) == (final.expected, final.lost)


def test_packets_of_both_sides_in_one_stream_count_too():
    before = metrics.total(metrics.LOSS_EXPECTED_PACKETS)
    Run(MeteredLoss()).feed(log_of(numbered(channels=Channels.EXTERNAL_INTERNAL, stream=-1)))
    assert metrics.total(metrics.LOSS_EXPECTED_PACKETS) - before == 599


def test_seconds_and_alarms_are_counted_by_their_kind():
    media = metrics.LOSS_MEDIA_SECONDS.labels("AUDIOHOOK", "PCMU", "ALL", "discarded")
    alarms = metrics.LOSS_ALARMS.labels("AUDIOHOOK", "NO_AUDIO", "raised")
    before = media._value.get(), alarms._value.get()
    found = Run(MeteredLoss()).feed(
        log_of(Call().open().say(2).mark(FrameKind.DISCARDED, 1.5, Reason.SOURCE_DISCARD).say(3))
    )
    found.expire(1000 + 20_000)
    assert (media._value.get() - before[0], alarms._value.get() - before[1]) == (1.5, 1)
