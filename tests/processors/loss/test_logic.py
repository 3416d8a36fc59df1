import pytest

from schemas.symbols import Channel, FrameKind, LossAlarm, LossReportKind, Reason, Source
from tests.processors.loss.calls import RATE_HZ, Call, Run, gaps_of, log_of, run


def test_a_session_whose_beginning_was_not_seen_counts_from_there_and_is_partial():
    call = Call().open(agent="eve").say(12).close()
    found = Run().feed(log_of(call)[21:])
    assert {record.partial for _, record in found.found} == {True}
    assert (found.final.start_samples, found.final.expected, found.final.lost) == (4 * RATE_HZ, 8 * RATE_HZ, 0)
    assert [(w.start_samples, w.end_samples) for w in found.windows] == [
        (4 * RATE_HZ, 5 * RATE_HZ),
        (5 * RATE_HZ, 10 * RATE_HZ),
        (10 * RATE_HZ, 12 * RATE_HZ),
    ]


def test_repeats_count_once():
    call = Call().open().say(7).mark(FrameKind.DISCARDED, 1).say(1).close()
    again = Run().feed([item for item in log_of(call) for _ in range(3)])
    assert [record for _, record in again.found] == [record for _, record in run(call).found]


def test_an_idle_session_has_its_final_by_stream_time_in_the_order_of_sessions_and_channels():
    calls = [Call(number, source=Source.AUDIOHOOK).open().say(1) for number in range(2)]
    calls.append(Call(2).open().packet(0).packet(1, stream=3).packet(2))
    found = run(*calls)
    silent = found.expire(1000 + 14 * 60_000)
    assert {(record.kind, record.alarm) for record in silent} == {(LossReportKind.ALARM_RAISED, LossAlarm.NO_AUDIO)}
    emitted = found.expire(1000 + 15 * 60_000)
    order = [(record.session_id, record.channel.code) for record in emitted]
    assert order == sorted(order)
    finals = [record for record in emitted if record.kind is LossReportKind.FINAL and record.segment < 0]
    assert sorted((record.channel, record.stream) for record in finals) == [
        (Channel.ALL, -1),
        (Channel.ALL, -1),
        (Channel.ALL, -1),
        (Channel.EXTERNAL, 3),
        (Channel.EXTERNAL, 7),
    ]
    assert {record.captured_at_us for record in emitted} == {-1}
    assert found.expire(1000 + 31 * 60_000) == []
    assert found.processor.snapshot(found.state) == Run().processor.snapshot(Run().state)


def test_a_session_that_returns_from_idle_goes_on_and_its_final_is_corrected():
    call = Call().open().say(6)
    found = run(call)
    (final,) = [r for r in found.expire(1000 + 16 * 60_000) if r.kind is LossReportKind.FINAL]
    assert (final.expected, final.corrects) == (6 * RATE_HZ, None)
    later = Call()
    later.sequence, later.position = call.sequence, call.position
    found.restart().found.clear()
    found.feed(log_of(later.say(6).close()))
    assert {record.partial for _, record in found.found} == {True}
    (corrected,) = found.of(LossReportKind.CORRECTION)
    assert (corrected.expected, corrected.received) == (12 * RATE_HZ, 12 * RATE_HZ)
    assert corrected.corrects.startswith("frames 30 -> 60, bytes 96000 -> 192000, expected 48000 -> 96000, ")
    assert found.of(LossReportKind.FINAL) == []
    assert found.state.known == {}


def returned_from_idle(**closed) -> Run:
    call = Call().open().say(6)
    found = run(call)
    found.expire(1000 + 16 * 60_000)
    found.found.clear()
    later = Call()
    later.sequence, later.position = call.sequence, call.position
    return found.restart().feed(log_of(later.close(**closed)))


def test_a_session_that_returns_from_idle_without_news_corrects_nothing():
    assert returned_from_idle(reason=Reason.IDLE).found == []


def test_a_session_that_returns_from_idle_to_tell_why_it_ended_is_corrected_in_that():
    (corrected,) = [record for _, record in returned_from_idle(reason=Reason.INGEST_LOST).found]
    assert (corrected.kind, corrected.closed_reason) == (LossReportKind.CORRECTION, Reason.INGEST_LOST)
    assert corrected.corrects.startswith("closed_reason IDLE -> INGEST_LOST: ")


@pytest.mark.parametrize(
    "reason",
    [Reason.END, Reason.PEER_ERROR, Reason.SOCKET_LOST, Reason.INGEST_LOST, Reason.IDLE, Reason.DRAIN, Reason.TAKEOVER],
)
def test_a_final_says_why_the_session_ended_and_nothing_else_does(reason):
    call = Call().open()
    for number in range(600):
        call.packet(number)
    found = run(call.close(reason))
    told = {(record.kind, record.closed_reason) for _, record in found.found}
    assert told == {(LossReportKind.WINDOW, Reason.UNKNOWN), (LossReportKind.FINAL, reason)}


def test_a_session_whose_ingest_died_is_final_by_stream_time_with_that_reason():
    call = Call().open()
    for number in range(600):
        call.packet(number)
    emitted = run(call).expire(1000 + 15 * 60_000)
    finals = [record for record in emitted if record.kind is LossReportKind.FINAL]
    assert len(finals) == 3  # the stream's segment, the stream, the session
    assert {record.closed_reason for record in finals} == {Reason.IDLE}
    assert {record.closed_reason for record in emitted if record not in finals} <= {Reason.UNKNOWN}


def test_a_stream_that_goes_on_after_idle_has_its_finals_corrected():
    call = Call().open()
    for number in range(100):
        call.packet(number)
    found = run(call)
    found.expire(1000 + 16 * 60_000)
    found.found.clear()
    later = Call()
    later.sequence = call.sequence
    for number in range(50_000, 50_100):
        later.packet(number, number - 49_000)
    found.feed(log_of(later.close()))
    corrected = found.of(LossReportKind.CORRECTION, Channel.EXTERNAL)
    assert [(r.segment, r.expected, r.lost) for r in corrected] == [(0, 200, 0), (-1, 200, 0)]
    assert corrected[1].corrects.startswith("frames 100 -> 200, ")


def test_no_audio_is_an_alarm_by_stream_time_alone_and_audio_clears_it():
    call = Call().open().say(6)
    found = run(call)
    assert found.expire(1000 + 14_999) == []
    (raised,) = found.expire(1000 + 15_000)
    assert (raised.alarm, raised.alarm_value, raised.alarm_threshold) == (LossAlarm.NO_AUDIO, 15, 15)
    assert found.expire(1000 + 60_000) == []
    later = Call()
    later.sequence, later.position = call.sequence, call.position
    found.restart().feed(log_of(later.say(1)))
    assert found.alarms == [("ALARM_CLEARED", "NO_AUDIO", "ALL")]


def test_no_audio_is_no_alarm_while_paused_or_before_a_source_we_follow_sent_any():
    paused = run(Call().open().say(6).put(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE))
    followed = run(Call(source=Source.APPFOUNDRY).open())
    opened = run(Call(source=Source.AUDIOHOOK).open())
    assert (paused.expire(1000 + 60_000), followed.expire(1000 + 60_000)) == ([], [])
    assert [record.alarm for record in opened.expire(1000 + 60_000)] == [LossAlarm.NO_AUDIO]


def test_a_pause_clears_the_alarm_of_no_audio_and_its_end_starts_the_time_anew():
    call = Call().open().say(6)
    found = run(call)
    assert len(found.expire(1000 + 15_000)) == 1
    later = Call()
    later.sequence, later.position = call.sequence, call.position
    later.put(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE).mark(FrameKind.RESUMED, 1, Reason.SECURE_PAUSE)
    found.feed(log_of(later))
    assert found.alarms == [("ALARM_CLEARED", "NO_AUDIO", "ALL")]
    assert len(found.expire(1000 + 15_000)) == 1


def test_what_follows_an_info_is_told_with_it_and_what_came_before_without():
    found = run(Call().open().say(5).open(agent="eve").say(5).close())
    assert [window.agent for window in found.windows] == [None, "eve"]


def test_after_closed_nothing_is_told_any_more():
    call = Call().open().say(5).close()
    closed = len(run(call).found)
    assert len(run(call.say(10).close()).found) == closed


@pytest.mark.parametrize("reason", [Reason.END, Reason.SOCKET_LOST, Reason.INGEST_LOST])
def test_closed_ends_a_session_whatever_its_reason(reason):
    assert run(Call().open().say(1).close(reason)).final.received == RATE_HZ


def test_a_session_without_audio_has_a_final_that_measured_nothing():
    final = run(Call().open().close()).final
    assert (final.frames, final.expected, final.lost, final.loss_ratio, final.frames_per_s) == (0, 0, 0, -1, -1)
    assert gaps_of(final) == []
