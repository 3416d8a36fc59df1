from dataclasses import replace

import pytest

from processors.cognigy.logic import (
    TOO_LARGE,
    NoReply,
    Outcome,
    Reply,
    Step,
    end_of,
    expired,
    first_step,
    judge,
    left_behind,
    turn_of,
    wait_s,
)
from runtime.errors import InvalidRecord
from schemas.records import CallEvent
from schemas.symbols import Channel, TurnState, UtteranceInput, UtteranceKind
from tests.processors.cognigy.turns import NOW_S, RULES, body, received, turn, utterance

RESEND = replace(RULES, on_ambiguous="resend")


@pytest.mark.parametrize(
    ("change", "is_input"),
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
def test_final_texts_of_the_caller_are_inputs(change, is_input):
    assert (turn_of(received(utterance(**change)), RULES) is not None) is is_input


def test_the_channels_are_a_setting():
    rules = replace(RULES, channels=(Channel.INTERNAL,))
    assert turn_of(received(utterance(channel=Channel.INTERNAL)), rules) is not None
    assert turn_of(received(utterance()), rules) is None


def test_a_text_that_could_be_sent_twice_unnoticed_is_invalid():
    with pytest.raises(InvalidRecord, match="no id"):
        turn_of(received(utterance(utterance_id="")), RULES)
    with pytest.raises(InvalidRecord, match="no utterance"):
        turn_of(received(CallEvent(conversation_id="c", session_id="s")), RULES)


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
