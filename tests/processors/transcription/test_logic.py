"""What each event becomes, told through the component as a host would."""

import dataclasses

import pytest

from processors.transcription.forward import Transcription
from processors.transcription.identity import utterance_id
from processors.transcription.logic import Tuning
from schemas.records import Origin, SessionInfo, Utterance
from schemas.symbols import CallEventKind, Channel, Reason, UtteranceInput, UtteranceKind
from schemas.topics import EVENTS
from tests.processors.transcription.calls import BASE_MS, NOBODY, RATE_HZ, Call, Run, key_of, kinds, session_id, tick

OPENED, TEXT, CLOSED = UtteranceKind.OPENED, UtteranceKind.TEXT, UtteranceKind.CLOSED
SILENT = set(CallEventKind) - {
    CallEventKind.OPENED,
    CallEventKind.CLOSED,
    CallEventKind.DTMF,
    CallEventKind.TRANSCRIPT,
    CallEventKind.TICK,
}


def said(found: list[Utterance]) -> list[tuple[str, str | None]]:
    return [(utterance.kind.value, utterance.text) for utterance in found]


def test_a_call_is_opened_told_in_order_and_closed():
    run, call = Run(), Call()
    found = run.feed(call.opened(), call.text("good"), call.digit("1"), call.digit("1"), call.text("bye"))
    found += run.feed(call.closed(Reason.PEER_ERROR))
    assert said(found) == [
        ("OPENED", None),
        ("TEXT", "good"),
        ("TEXT", "1"),
        ("TEXT", "1"),
        ("TEXT", "bye"),
        ("CLOSED", None),
    ]
    assert found[-1].reason is Reason.PEER_ERROR
    assert len({utterance.utterance_id for utterance in found}) == len(found)
    assert not any(utterance.partial for utterance in found)


def test_opened_holds_what_is_known_about_the_session():
    run, call = Run(), Call(language="de-DE")
    (opened,) = run.feed(call.opened())
    assert opened == Utterance(
        kind=OPENED,
        conversation_id=call.conversation,
        session_id=call.session,
        organisation="org",
        queue="billing",
        agent="agent-1",
        channel=Channel.ALL,
        utterance_id=utterance_id(call.session, OPENED, Channel.ALL, 0),
        language="de-DE",
        event_counter=0,
        occurred_at_us=BASE_MS * 1000,
        session_info=call.info,
        origin=Origin(topic=EVENTS.name, partition=3, offset=0, index=0),
    )


def test_a_transcript_is_a_text_of_the_platform_as_it_came():
    run, call = Run(), Call(language="de-DE")
    run.feed(call.opened())
    spoken = call.text(
        "  Grüß Gott\n",
        channel=Channel.INTERNAL,
        language="de-AT",
        confidence=0.5,
        start_samples=800,
        end_samples=1600,
        queue="complaints",
    )
    (text,) = run.feed(spoken)
    assert text == Utterance(
        kind=TEXT,
        conversation_id=call.conversation,
        session_id=call.session,
        organisation="org",
        queue="complaints",
        agent="agent-1",
        channel=Channel.INTERNAL,
        utterance_id=utterance_id(call.session, UtteranceInput.PLATFORM, Channel.INTERNAL, 1),
        input=UtteranceInput.PLATFORM,
        text="  Grüß Gott\n",
        language="de-AT",
        confidence=0.5,
        sample_rate_hz=RATE_HZ,
        start_samples=800,
        end_samples=1600,
        event_counter=1,
        occurred_at_us=spoken.occurred_at_us,
        origin=Origin(topic=EVENTS.name, partition=3, offset=1, index=0),
    )


def test_a_pressed_key_is_a_text_that_is_its_digit():
    run, call = Run(), Call()
    run.feed(call.opened())
    (pressed,) = run.feed(call.digit("#"))
    assert (pressed.kind, pressed.input, pressed.text) == (TEXT, UtteranceInput.DTMF, "#")
    assert (pressed.start_samples, pressed.end_samples, pressed.confidence) == (-1, -1, -1)
    assert pressed.utterance_id == utterance_id(call.session, UtteranceInput.DTMF, Channel.EXTERNAL, 1)


@pytest.mark.parametrize("digit", [None, ""])
def test_a_pressed_key_without_its_digit_is_nothing(digit):
    run, call = Run(), Call()
    run.feed(call.opened())
    assert run.feed(call.digit(digit)) == []


@pytest.mark.parametrize("text", [None, "", " \n\t"])
def test_a_blank_transcript_is_nothing(text):
    run, call = Run(), Call()
    run.feed(call.opened())
    assert run.feed(call.text(text)) == []


def test_a_transcript_that_may_change_is_nothing():
    run, call = Run(), Call()
    run.feed(call.opened())
    assert run.feed(call.text("he", is_final=False)) == []


@pytest.mark.parametrize("kind", sorted(SILENT))
def test_other_events_are_nothing(kind):
    run, call = Run(), Call()
    run.feed(call.opened())
    other = call.event(kind, text="of an intent", digit="1", is_final=True, session_info=call.info)
    assert run.feed(other) == []


@pytest.mark.parametrize(
    ("of_event", "of_session", "setting", "expected"),
    [
        ("fr", "de", "en", "fr"),
        (None, "de", "en", "de"),
        (None, None, "en", "en"),
        (None, None, None, None),
    ],
)
def test_a_language_is_the_event_s_else_the_session_s_else_the_setting_s(of_event, of_session, setting, expected):
    run, call = Run(Transcription(Tuning(language=setting))), Call(language=of_session)
    run.feed(call.opened())
    assert [text.language for text in run.feed(call.text(language=of_event))] == [expected]


def test_a_new_language_of_the_session_holds_from_its_info_on():
    run, call = Run(), Call(language="de")
    run.feed(call.opened())
    call.info = dataclasses.replace(call.info, language="en")
    assert [text.language for text in run.feed(call.digit("1"), call.told(), call.digit("2"))] == ["de", "en"]


def test_the_digest_of_the_settings_is_on_every_utterance():
    run, call = Run(Transcription(Tuning(settings_hash="0123456789abcdef"))), Call()
    found = run.feed(call.opened(), call.text(), call.closed())
    assert {utterance.settings_hash for utterance in found} == {"0123456789abcdef"}


def test_a_repeat_is_nothing():
    run, call = Run(), Call()
    events = [call.opened(), call.text(), call.digit("2")]
    assert len(run.feed(*events)) == 3
    assert run.feed(*events, *events) == []


def test_a_session_whose_begin_was_cut_off_is_opened_at_its_first_record():
    run, call = Run(), Call()
    call.counter = 7
    opened, text = run.feed(call.alive(), call.text())
    assert (opened.kind, opened.partial, opened.session_info, opened.event_counter) == (OPENED, True, None, 7)
    assert (text.kind, text.partial, text.language) == (TEXT, True, None)
    assert [utterance.origin.index for utterance in (opened, text)] == [0, 0]
    assert kinds(run.feed(call.text())) == [TEXT]


def test_a_text_may_be_the_first_record_seen_of_a_session():
    call = Call()
    call.counter = 7
    opened, text = Run().feed(call.text())
    assert [(one.kind, one.origin.index) for one in (opened, text)] == [(OPENED, 0), (TEXT, 1)]


def test_a_session_older_than_what_is_read_again_is_not_opened_a_second_time():
    run, call = Run(), Call()
    call.counter = 7
    looked_back_on = run.feed(call.alive())
    assert kinds(looked_back_on) == [OPENED]
    assert kinds(run.feed(call.text(), call.closed())) == [TEXT, CLOSED]


def test_a_session_that_was_told_about_late_is_opened_with_that_and_whole_from_there():
    run, call = Run(), Call(language="de")
    call.counter = 7
    opened, text = run.feed(call.told(), call.text())
    assert (opened.kind, opened.partial, opened.session_info) == (OPENED, False, call.info)
    assert (text.partial, text.language) == (False, "de")


def test_a_session_of_which_only_the_end_was_seen_is_opened_and_closed():
    run, call = Run(), Call()
    call.counter = 7
    found = run.feed(call.closed(Reason.DRAIN))
    assert [(found.kind, found.partial, found.reason) for found in found] == [
        (OPENED, True, Reason.UNKNOWN),
        (CLOSED, True, Reason.DRAIN),
    ]


def test_what_comes_after_the_end_is_nothing():
    run, call = Run(), Call()
    run.feed(call.opened(), call.closed())
    assert run.feed(call.text(), call.digit("1"), call.closed()) == []


def test_a_session_without_records_is_closed_as_idle_by_the_tick_that_makes_it_so():
    run, call = Run(), Call()
    run.feed(call.opened(), call.text())
    assert run.wait(15 - 5 / 60) == []
    (closed,) = run.wait(5 / 60)
    assert closed == Utterance(
        kind=CLOSED,
        conversation_id=call.conversation,
        session_id=call.session,
        organisation="org",
        queue="billing",
        agent="agent-1",
        channel=Channel.ALL,
        utterance_id=utterance_id(call.session, CLOSED, Channel.ALL, 1),
        event_counter=1,
        reason=Reason.IDLE,
        origin=Origin(topic=EVENTS.name, partition=3, offset=run.offset - 1, index=0),
    )
    assert run.wait(20) == []


def test_records_of_a_session_keep_it():
    run, call = Run(), Call()
    run.feed(call.opened())
    for _ in range(3):
        assert run.wait(14) == []
        run.feed(call.alive())


def test_an_outage_of_hours_makes_nobody_idle():
    run, call = Run(), Call()
    run.feed(call.opened())
    run.wait(600, ticking=False)
    assert run.feed(tick()) == []
    assert kinds(run.feed(call.text())) == [TEXT]


def test_sessions_that_end_together_end_before_the_record_that_shows_it_says_anything():
    run = Run()
    calls = [Call(number) for number in range(5)]
    run.feed(*(call.opened() for call in calls))
    run.wait(15 - 5 / 60)
    run.now_ms += 5000
    other = Call(9)
    found = run.feed(other.opened())
    assert kinds(found) == [CLOSED] * 5 + [OPENED]
    assert [utterance.session_id for utterance in found] == [*sorted(call.session for call in calls), other.session]
    assert [utterance.origin.index for utterance in found] == list(range(6))
    jobs = run.jobs[run.offset - 1]
    assert [job.key for job in jobs] == [job.work[0].conversation_id.encode() for job in jobs]


def test_whether_time_is_up_is_looked_at_once_a_second():
    run, call = Run(), Call()
    run.now_ms = 300
    run.feed(call.opened())
    run.wait(15 - 5 / 60)
    run.now_ms += 4800  # 15 min less 200 ms
    assert run.feed(tick()) == []
    run.now_ms += 500  # more than 15 min, but in the same second
    assert run.feed(tick()) == []
    run.now_ms += 500
    assert kinds(run.feed(tick())) == [CLOSED]


def test_the_own_record_of_a_session_that_was_just_closed_as_idle_reopens_it():
    run, call = Run(), Call(language="de")
    run.feed(call.opened())
    run.wait(15 - 5 / 60)
    run.now_ms += 5000
    closed, opened, text = run.feed(call.text())
    assert (closed.kind, closed.reason, closed.partial, closed.event_counter) == (CLOSED, Reason.IDLE, False, 0)
    assert (opened.kind, opened.partial, opened.session_info) == (OPENED, True, call.info)
    assert (text.kind, text.partial, text.language) == (TEXT, True, "de")
    assert [found.origin.index for found in (closed, opened, text)] == [0, 1, 2]
    assert kinds(run.feed(call.closed())) == [CLOSED]


def test_a_session_that_only_lived_is_opened_and_closed_when_it_is_idle():
    run, call = Run(), Call()
    call.counter = 3
    (opened,) = run.feed(call.alive())
    (closed,) = run.wait(15)
    assert kinds([opened, closed]) == [OPENED, CLOSED]
    assert (closed.event_counter, closed.occurred_at_us, closed.origin.index) == (3, -1, 0)


def test_fifteen_minutes_after_its_end_a_session_is_forgotten():
    run, call = Run(), Call()
    run.feed(call.opened(), call.closed())
    run.wait(14)
    assert run.feed(call.text()) == []
    run.wait(1)
    found = run.feed(call.text())
    assert [(found.kind, found.partial) for found in found] == [(OPENED, True), (TEXT, True)]


@pytest.mark.parametrize(
    ("changes", "key", "why"),
    [
        ({"session_id": ""}, b"conversation-0", "session_id is empty"),
        ({"session_id": "4711"}, b"conversation-0", "session_id is not the UUID of a session"),
        ({"session_id": NOBODY}, b"conversation-0", "session_id is not the UUID of a session"),
        ({"session_id": session_id(0).upper()}, b"conversation-0", "session_id is not the UUID of a session"),
        ({"event_counter": -1}, b"conversation-0", "event_counter is negative"),
        ({"conversation_id": ""}, b"", "conversation_id is empty"),
        ({}, b"4711", "the key is not conversation_id"),
        ({}, None, "the key is not conversation_id"),
        (
            {"session_info": SessionInfo(conversation_id="4711")},
            b"conversation-0",
            "session_info.conversation_id is not conversation_id",
        ),
    ],
)
def test_an_event_that_cannot_be_placed_is_refused_by_its_field_and_not_quoted(changes, key, why):
    event = Call().text("secret 4711", **changes)
    assert Run().refused(event, key) == why
    assert "4711" not in why


def test_what_was_refused_changes_nothing():
    run, untouched, call = Run(), Run(), Call()
    opened, text = call.opened(), call.text()
    for one in (run, untouched):
        one.feed(opened)
    run.now_ms = 3_600_000
    assert run.refused(text, b"another") != ""
    assert run.refused(dataclasses.replace(text, event_counter=-5), key_of(text)) != ""
    run.now_ms = 0
    assert kinds(run.feed(text)) == kinds(untouched.feed(text)) == [TEXT]
    assert [kinds(one.wait(15)) for one in (run, untouched)] == [[CLOSED], [CLOSED]]


def test_an_event_of_a_known_session_in_another_conversation_is_refused():
    run, call = Run(), Call()
    run.feed(call.opened())
    moved = call.text(conversation_id="elsewhere")
    assert run.refused(moved, b"elsewhere") == "conversation_id is not that of the session's earlier records"


def test_a_tick_is_nobody_s_record_whatever_its_key():
    run = Run()
    assert run.plan(tick(), None) == []
    assert run.plan(tick(), b"x") == []
