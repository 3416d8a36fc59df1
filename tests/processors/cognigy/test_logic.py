from dataclasses import replace

import pytest

from processors.cognigy.calls import Calls
from processors.cognigy.events import Outcome
from processors.cognigy.logic import (
    TOO_LARGE,
    Boundary,
    Step,
    Turn,
    end_of,
    expired,
    first_step,
    is_input,
    left_behind,
    letter,
    utterance_of,
    wait_s,
    works_of,
)
from processors.cognigy.replies import NoReply, Reply
from processors.cognigy.replies import judge as judged
from runtime.errors import InvalidRecord
from schemas.records import CallEvent
from schemas.symbols import Channel, TurnState, UtteranceInput, UtteranceKind
from tests.processors.cognigy.turns import NOW_S, RULES, body, received, turn, utterance

RESEND = replace(RULES, on_ambiguous="resend")


def judge(reply, rules):
    return judged(reply, rules)[0]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, True),
        ({"channel": Channel.UNKNOWN}, True),
        ({"input": UtteranceInput.DTMF, "text": "5"}, True),
        ({"channel": Channel.INTERNAL}, False),
        ({"channel": Channel.BOT}, False),
        ({"kind": UtteranceKind.INTERIM}, False),
        ({"kind": UtteranceKind.OPENED, "utterance_id": ""}, False),
        ({"kind": UtteranceKind.CLOSED, "utterance_id": ""}, False),
        ({"text": " "}, False),
        ({"text": None}, False),
    ],
)
def test_final_texts_of_the_caller_are_inputs(change, wanted):
    assert is_input(utterance(**change), RULES) is wanted


def test_the_channels_are_a_setting():
    rules = replace(RULES, channels=(Channel.INTERNAL,))
    assert is_input(utterance(channel=Channel.INTERNAL), rules)
    assert not is_input(utterance(), rules)


def test_a_text_that_could_be_sent_twice_unnoticed_is_invalid():
    with pytest.raises(InvalidRecord, match="no id"):
        utterance_of(received(utterance(utterance_id="")))
    with pytest.raises(InvalidRecord, match="no utterance"):
        utterance_of(received(CallEvent(conversation_id="c", session_id="s")))


def test_the_age_counts_from_the_end_of_the_utterance_else_from_its_record():
    assert turn(occurred_at_us=round((NOW_S - 2) * 1e6)).age_s(NOW_S) == 2
    assert turn(occurred_at_us=-1).age_s(NOW_S + 3) == 3
    assert turn(occurred_at_us=round((NOW_S + 1) * 1e6)).age_s(NOW_S) == -1


@pytest.mark.parametrize(
    ("state", "age_s", "rules", "step"),
    [
        (None, 0, RULES, Step.SEND),
        (None, -5, RULES, Step.SEND),
        (None, 7.999, RULES, Step.SEND),
        (None, 8, RULES, Step.END_STALE),
        (TurnState.SENDING, 0, RULES, Step.END_AMBIGUOUS),
        (TurnState.SENDING, 99, RULES, Step.END_AMBIGUOUS),
        (TurnState.SENDING, 0, RESEND, Step.RESEND),
        (TurnState.SENDING, 8, RESEND, Step.END_AMBIGUOUS),
        (TurnState.ANSWERED, 0, RESEND, Step.NOTHING),
        (TurnState.FAILED, 0, RULES, Step.NOTHING),
        (TurnState.STALE, 99, RULES, Step.NOTHING),
        (TurnState.AMBIGUOUS, 99, RESEND, Step.NOTHING),
        (TurnState.UNKNOWN, 0, RULES, Step.NOTHING),
    ],
)
def test_what_is_done_with_a_turn_depends_on_its_state_and_age(state, age_s, rules, step):
    assert first_step(state, age_s, rules) is step


@pytest.mark.parametrize(
    ("reply", "outcome", "error_class"),
    [
        (NoReply(unsent=True), Outcome.UNSENT, "unreachable"),
        (NoReply(unsent=False), Outcome.AMBIGUOUS, "no_answer"),
        (Reply(200, body()), Outcome.ANSWERED, None),
        (Reply(204), Outcome.ANSWERED, None),
        (Reply(429), Outcome.UNSENT, "rate_limited"),
        (Reply(429, b"", 2.0), Outcome.UNSENT, "rate_limited"),
        (Reply(503, b"", 2.0), Outcome.UNSENT, "overloaded"),
        (Reply(503), Outcome.AMBIGUOUS, "server_error"),
        *[(Reply(status, b"", 2.0), Outcome.AMBIGUOUS, "server_error") for status in (408, 500, 501, 502, 504, 599)],
        *[
            (Reply(status, b"", 2.0), Outcome.REFUSED, "rejected")
            for status in (301, 400, 401, 403, 404, 405, 410, 413, 418, 422, 425)
        ],
    ],
)
def test_only_what_was_provably_not_taken_may_be_sent_again(reply, outcome, error_class):
    verdict = judge(reply, RULES)
    assert (verdict.outcome, verdict.error_class) == (outcome, error_class)
    retried = wait_s(end_of(verdict, retaken=False, attempts=1), 0, 1.0, RULES) is not None
    assert retried is (outcome is Outcome.UNSENT)


def test_a_refusal_has_its_status_and_trace():
    verdict = judge(Reply(404, b'{"traceId": "t"}'), RULES)
    assert (verdict.code, verdict.trace_id, verdict.message) == (404, "t", "the bot answered with status 404")


def failed(attempts, retry_after_s=None):
    return end_of(judge(Reply(429, b"", retry_after_s), RULES), retaken=False, attempts=attempts)


@pytest.mark.parametrize(
    ("attempts", "retry_after_s", "age_s", "wait"),
    [
        (1, None, 0, 0.1),
        (2, None, 0, 0.2),
        (3, None, 0, None),
        (1, 2.0, 0, 2.0),
        (1, 0.0, 0, 0.0),
        (1, 2.0, 5.999, 2.0),
        (1, 2.0, 6, None),
        (1, 300.0, 0, None),
        (1, None, 7.95, None),
    ],
)
def test_waits_grow_obey_retry_after_and_never_outlast_the_input(attempts, retry_after_s, age_s, wait):
    assert wait_s(failed(attempts, retry_after_s), age_s, 1.0, RULES) == wait


def test_the_jitter_is_full_and_waits_end_at_a_second():
    rules = replace(RULES, attempts=10)
    assert wait_s(failed(1), 0, 0.0, rules) == 0
    assert wait_s(failed(1), 0, 0.5, rules) == 0.05
    assert wait_s(failed(9), 0, 1.0, rules) == 1.0


def test_what_was_never_sent_is_not_tried_again():
    assert wait_s(end_of(TOO_LARGE, retaken=False), 0, 1.0, RULES) is None
    assert wait_s(expired(retaken=False), 0, 1.0, RULES) is None


@pytest.mark.parametrize(
    ("end", "state", "ambiguous", "retryable"),
    [
        (end_of(judge(Reply(200, body()), RULES), retaken=False), TurnState.ANSWERED, False, False),
        (end_of(judge(Reply(200, body()), RULES), retaken=True), TurnState.ANSWERED, True, False),
        (end_of(judge(NoReply(unsent=True), RULES), retaken=False), TurnState.FAILED, False, True),
        (end_of(judge(NoReply(unsent=False), RULES), retaken=False), TurnState.AMBIGUOUS, True, False),
        (end_of(judge(Reply(400), RULES), retaken=False), TurnState.FAILED, False, False),
        (end_of(TOO_LARGE, retaken=False), TurnState.FAILED, False, False),
        (expired(retaken=False), TurnState.STALE, False, False),
        (expired(retaken=True), TurnState.AMBIGUOUS, True, False),
        (left_behind(), TurnState.AMBIGUOUS, True, False),
    ],
)
def test_every_end_has_a_final_state_and_says_whether_it_is_certain(end, state, ambiguous, retryable):
    assert (end.state, end.ambiguous, end.retryable) == (state, ambiguous, retryable)


@pytest.mark.parametrize(
    ("state", "superseded", "policy", "step"),
    [
        (None, True, "queue", Step.SEND),
        (None, True, "supersede", Step.END_SUPERSEDED),
        (None, False, "supersede", Step.SEND),
        (TurnState.SENDING, True, "supersede", Step.END_AMBIGUOUS),
        (TurnState.ANSWERED, True, "supersede", Step.NOTHING),
    ],
)
def test_what_was_not_sent_is_superseded_only_where_the_operator_wants_that(state, superseded, policy, step):
    assert first_step(state, 0, replace(RULES, on_newer_input=policy), superseded=superseded) is step


@pytest.mark.parametrize(
    ("end", "reason", "error"),
    [
        (end_of(judge(Reply(200, body()), RULES), retaken=False), None, None),
        (end_of(judge(Reply(429), RULES), retaken=False, attempts=3), "retries_exhausted", "rate_limited, status 429"),
        (end_of(judge(NoReply(unsent=True), RULES), retaken=False, attempts=3), "retries_exhausted", "unreachable"),
        (end_of(judge(NoReply(unsent=False), RULES), retaken=False), "ambiguous", "no_answer"),
        (end_of(judge(Reply(403), RULES), retaken=False), "permanent", "rejected, status 403"),
        (end_of(TOO_LARGE, retaken=False), "too_large", "too_large"),
        (expired(retaken=False), "stale", "it was too old to be sent"),
        (
            expired(retaken=False, state=TurnState.SUPERSEDED),
            "superseded",
            "the caller spoke again before it was sent",
        ),
        (left_behind(), "ambiguous", "unknown_outcome"),
    ],
)
def test_every_input_that_was_not_answered_leaves_a_letter_with_its_reason(end, reason, error):
    found = letter(end)
    assert (reason, error) == (None, None) if found is None else (found.reason, found.error) == (reason, error)


def test_a_letter_says_when_it_was_tried_first_and_last():
    end = end_of(judge(Reply(429), RULES), retaken=False, attempts=2, sent_at_s=NOW_S + 2, first_sent_at_s=NOW_S)
    found = letter(end)
    assert found is not None
    assert (found.attempts, found.last_attempt_ms - found.first_attempt_ms) == (2, 2000)


def works(rules, **change):
    record = received(utterance(**change))
    call = Calls().take(record, record.record, is_input=False)
    return works_of(record, record.record, call, rules)


def test_a_call_begins_and_ends_in_the_order_of_its_inputs():
    (begin,) = works(RULES, kind=UtteranceKind.OPENED)
    (end,) = works(RULES, kind=UtteranceKind.CLOSED)
    assert (begin.opens, end.opens, end.call.over) == (True, False, True)
    assert works(RULES, kind=UtteranceKind.INTERIM) == []


def test_a_bot_that_is_told_of_the_call_at_its_start_gets_an_input_without_words():
    begin, told = works(replace(RULES, metadata="call_start"), kind=UtteranceKind.OPENED, text=None)
    assert isinstance(begin, Boundary)
    assert isinstance(told, Turn)
    assert told.utterance.text is None
