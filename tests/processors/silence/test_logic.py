import pytest

from processors.silence.logic import SilenceProcessor
from schemas.symbols import Channels, EndedBy, Reason, SilenceEventKind
from tests.processors.silence.calls import FIVE_S, LOUD, QUIET, Call, Run, log_of, run


def test_a_span_begins_where_its_first_block_began_and_is_announced_when_certain():
    found = run(Call().say(QUIET).say(LOUD).say(QUIET).close())
    assert found.spans() == [
        ("SILENCE_STARTED", "EXTERNAL", 0, -1, "ONGOING"),
        ("SILENCE", "EXTERNAL", 0, FIVE_S, "SPEECH"),
        ("SPEECH_STARTED", "EXTERNAL", FIVE_S, -1, "ONGOING"),
        ("SPEECH", "EXTERNAL", FIVE_S, 2 * FIVE_S, "SILENCE"),
        ("SILENCE_STARTED", "EXTERNAL", 2 * FIVE_S, -1, "ONGOING"),
        ("SILENCE", "EXTERNAL", 2 * FIVE_S, 3 * FIVE_S, "CLOSED"),
    ]
    rows = {record.kind: row for row, record in reversed(found.found) if hasattr(record, "ended_by")}
    assert rows[SilenceEventKind.SPEECH_STARTED] == 250 + 5
    speech = next(event for event in found.events if event.kind is SilenceEventKind.SPEECH)
    assert (speech.duration_ms, speech.level_dbfs) == (5000, pytest.approx(-20, abs=0.01))


def test_repeats_count_once():
    call = Call().say(QUIET).close()
    again = Run().feed([item for item in log_of(call) for _ in range(3)])
    assert [record for _, record in again.found] == [record for _, record in run(call).found]


def test_a_session_whose_beginning_was_not_seen_is_partial():
    call = Call().open().say(QUIET).close()
    found = Run().feed(log_of(call)[100:])
    assert found.windows
    assert {record.partial for _, record in found.found} == {True}
    assert {record.organisation for _, record in found.found} == {None}


def test_an_idle_session_is_closed_by_stream_time_in_the_order_of_sessions_and_channels():
    calls = [Call(number, channels=Channels.EXTERNAL_INTERNAL).say(QUIET[:24_000], 640) for number in range(3)]
    found = run(*calls)
    emitted = []
    found.processor.expire(1000 + 14 * 60_000, found.state, emitted.append)
    assert emitted == []
    found.processor.expire(1000 + 15 * 60_000, found.state, emitted.append)
    order = [(record.session_id, record.channel.code) for record in emitted]
    assert order == sorted(order)
    assert len({record.session_id for record in emitted}) == 3
    assert {e.ended_by for e in emitted if hasattr(e, "ended_by")} == {EndedBy.IDLE}
    found.processor.expire(1000 + 31 * 60_000, found.state, emitted.append)
    assert found.processor.snapshot(found.state) == SilenceProcessor().snapshot(found.processor.new_state())
    calls[0].say(LOUD)
    fresh = Run(found.processor).feed(log_of(calls[0]))
    again = Run(found.processor)
    again.state = found.state
    assert again.feed(log_of(calls[0])).found == fresh.found


def test_a_session_that_returns_from_idle_is_partial():
    call = Call().open().say(QUIET)
    found = run(call)
    found.processor.expire(1000 + 16 * 60_000, found.state, lambda _record: None)
    later = Call()
    later.sequence, later.position = call.sequence, call.position
    found.found.clear()
    found.feed(log_of(later.say(QUIET).close(reason=Reason.END)))
    assert {record.partial for _, record in found.found} == {True}
    assert found.totals[0].audio_ms == 5000
