"""The component on the shipped driver: every reply, every age, a crash at every step."""

import asyncio
import json
from dataclasses import replace

import pytest

from processors.cognigy.breaker import Patience
from processors.cognigy.events import BotOutput, Ended, Outcome, Verdict
from processors.cognigy.messages import turn_id, user_id
from processors.cognigy.replies import NoReply, Reply
from processors.cognigy.report import RETAKEN_INDEX, UNAVAILABLE_INDEX
from runtime.forward_testing import Crashed, Point
from runtime.forward_testing import _Hands as DriverHands
from schemas.records import SessionInfo
from schemas.symbols import (
    BotSpeaker,
    BotTransport,
    BotTurnKind,
    Channel,
    Direction,
    Reason,
    TurnState,
    UtteranceInput,
    UtteranceKind,
)
from tests.processors.cognigy.turns import NOW_S, RULES, Desk, FakeBot, received, said, utterance

UNSENT, NO_ANSWER = NoReply(unsent=True), NoReply(unsent=False)


def result(desk, counter=0):
    entry = desk.driver.turns.get(f"{turn_id(utterance(counter=counter).utterance_id)}/result")
    return None if entry is None else entry.state


def kinds(rows):
    return [row.kind.value for row in rows]


async def test_an_input_is_sent_and_its_answer_written():
    desk = Desk()
    desk.bot.replies.append(said("Hi.", "How can I help?"))
    rows = await desk.carried(utterance())
    assert kinds(rows) == ["OUTPUT", "OUTPUT", "TURN_END"]
    assert [row.text for row in rows] == ["Hi.", "How can I help?", None]
    (asked,) = desk.bot.asked
    assert (asked["text"], asked["sessionId"], asked["userId"]) == ("hello", "conversation", user_id("conversation"))
    assert result(desk) is TurnState.ANSWERED
    assert [output.key for output in desk.driver.outputs] == [b"conversation"] * 3


async def test_inputs_are_sent_in_their_order_and_digits_supersede_nothing_and_are_not_superseded():
    desk = Desk()
    digits = [utterance(digit, counter=n, input=UtteranceInput.DTMF) for n, digit in enumerate("1223")]
    rows = await desk.carried(*digits, utterance("hello", counter=9))
    assert desk.texts == ["1", "2", "2", "3", "hello"]
    assert [row.state for row in rows if row.kind is BotTurnKind.TURN_END] == [TurnState.ANSWERED] * 5
    assert not any(row.superseded for row in rows)


async def test_what_is_no_input_of_the_caller_is_no_turn():
    desk = Desk()
    rows = await desk.carried(
        utterance(kind=UtteranceKind.OPENED, utterance_id=""),
        utterance(channel=Channel.INTERNAL),
        utterance(kind=UtteranceKind.INTERIM),
        utterance(kind=UtteranceKind.CLOSED, utterance_id=""),
    )
    assert (rows, desk.bot.asked, desk.driver.turns) == ([], [], {})


async def test_a_text_without_an_id_is_a_dead_letter_and_the_next_is_sent():
    desk = Desk()
    await desk.carried(utterance(utterance_id=""), utterance("next", counter=1))
    assert (desk.driver.dead_letters, desk.texts) == ([0], ["next"])


@pytest.mark.parametrize("reply", [UNSENT, Reply(429), Reply(503, b"", 0.3)])
async def test_what_was_not_taken_is_sent_again_and_each_time_announced(reply):
    desk = Desk()
    desk.bot.replies.extend([reply, reply])
    rows = await desk.carried(utterance())
    assert len(desk.bot.asked) == 3
    assert {row.attempts for row in rows} == {3}
    assert (kinds(rows), rows[-1].state) == (["OUTPUT", "TURN_END"], TurnState.ANSWERED)
    assert desk.slept == ([0.3, 0.3] if isinstance(reply, Reply) and reply.status == 503 else [0.1, 0.2])
    (intent,) = [entry for key, entry in desk.driver.turns.items() if key.endswith("/intent")]
    assert (intent.attempt, intent.worker) == (3, "worker")


async def test_a_bot_that_is_not_there_costs_three_attempts_and_may_come_back():
    desk = Desk()
    desk.bot.replies.extend([UNSENT] * 3)
    rows = await desk.carried(utterance(), utterance("again", counter=1))
    assert desk.texts == ["hello"] * 3 + ["again"]
    assert kinds(rows) == ["ERROR", "TURN_END", "OUTPUT", "TURN_END"]
    assert (rows[1].state, rows[1].error_class, rows[1].retryable) == (TurnState.FAILED, "unreachable", True)
    assert rows[1].attempts == 3


@pytest.mark.parametrize("reply", [NO_ANSWER, Reply(500), Reply(502), Reply(503), Reply(504), Reply(408)])
async def test_what_may_have_been_taken_is_never_sent_again(reply):
    desk = Desk(replace(RULES, on_ambiguous="resend"))
    desk.bot.replies.append(reply)
    rows = await desk.carried(utterance(), utterance("next", counter=1))
    assert desk.texts == ["hello", "next"]
    assert kinds(rows[:2]) == ["ERROR", "TURN_END"]
    assert (rows[1].state, rows[1].ambiguous, rows[1].retryable) == (TurnState.AMBIGUOUS, True, False)
    assert result(desk) is TurnState.AMBIGUOUS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_a_refusal_is_final(status):
    desk = Desk()
    desk.bot.replies.append(Reply(status, b"", 5.0))
    rows = await desk.carried(utterance())
    assert (len(desk.bot.asked), rows[-1].state, rows[-1].error_code) == (1, TurnState.FAILED, status)
    assert not rows[-1].retryable


async def test_an_answer_nobody_documented_ends_the_turn_as_answered_with_the_defect():
    desk = Desk()
    desk.bot.replies.append(Reply(200, b"<html>"))
    error, end = await desk.carried(utterance())
    assert (error.kind, error.error_class, end.state) == (BotTurnKind.ERROR, "not_documented", TurnState.ANSWERED)
    assert len(desk.bot.asked) == 1


async def test_an_input_that_waited_too_long_is_not_sent():
    desk = Desk()
    old = utterance(occurred_at_us=round((NOW_S - 8) * 1e6))
    (end,) = await desk.carried(old)
    assert (end.kind, end.state, desk.bot.asked) == (BotTurnKind.TURN_END, TurnState.STALE, [])
    assert result(desk) is TurnState.STALE


async def test_an_input_that_grows_old_while_it_waits_for_its_turn_to_leave_is_not_sent():
    desk = Desk()
    desk.pace.takes_s = 9
    (end,) = await desk.carried(utterance())
    assert (end.state, desk.bot.asked, desk.driver.turns.keys()) == (
        TurnState.STALE,
        [],
        {f"{end.turn_id}/result"},
    )


async def test_an_input_that_grows_old_while_its_intent_is_stored_is_not_sent():
    desk = Desk()
    passed = desk.driver.passed

    def slow(point):
        if point is Point.AFTER_ANNOUNCE:
            desk.clock.advance(9)
        passed(point)

    desk.driver.passed = slow
    (end,) = await desk.carried(utterance())
    assert (end.state, end.attempts, desk.bot.asked) == (TurnState.STALE, 0, [])


@pytest.mark.parametrize(("takes_s", "asked"), [(2, 3), (3.8, 3), (4, 2), (8, 1)])
async def test_nothing_is_sent_again_once_it_is_too_old(takes_s, asked):
    desk = Desk()
    desk.bot.replies.extend([UNSENT] * 3)
    desk.bot.takes_s = takes_s
    rows = await desk.carried(utterance())
    assert len(desk.bot.asked) == asked
    assert (rows[-1].state, rows[-1].retryable) == (TurnState.FAILED, True)


async def test_retry_after_beyond_the_input_s_age_ends_the_turn_at_once():
    desk = Desk()
    desk.bot.replies.append(Reply(429, b"", 60.0))
    rows = await desk.carried(utterance())
    assert (len(desk.bot.asked), desk.slept, rows[-1].state) == (1, [], TurnState.FAILED)


async def test_an_input_larger_than_the_endpoint_takes_is_not_sent():
    desk = Desk()
    error, end = await desk.carried(utterance("ü" * 30_000))
    assert (error.error_class, end.state, end.attempts, end.retryable) == ("too_large", TurnState.FAILED, 0, False)
    assert desk.bot.asked == []
    assert f"{end.turn_id}/intent" not in desk.driver.turns


async def test_a_slow_and_late_answer_is_written_and_marked():
    desk = Desk()
    desk.bot.takes_s = 5.5
    output, end = await desk.carried(utterance())
    assert (output.late, output.slow, end.late, end.slow, end.state) == (True, True, True, True, TurnState.ANSWERED)
    assert (round(end.response_ms), round(end.total_ms)) == (5500, 5500)


async def test_the_second_of_two_equal_utterances_is_sent_too():
    desk = Desk()
    await desk.carried(utterance("yes", counter=1), utterance("yes", counter=2))
    assert desk.texts == ["yes", "yes"]


async def test_an_utterance_that_comes_again_is_not_sent_again_and_writes_nothing():
    desk = Desk()
    first = await desk.carried(utterance())
    again = await desk.carried(utterance())
    assert (desk.texts, again) == (["hello"], first)


SENT_ONCE = {
    Point.AFTER_ANNOUNCE: 0,
    Point.BEFORE_WRITE: 1,
    Point.AFTER_WRITE: 1,
    Point.BEFORE_CONCLUDE: 1,
}
"""Where a crash leaves an intent without a result → how often the bot was asked before."""


@pytest.mark.parametrize("point", SENT_ONCE)
async def test_a_crash_between_intent_and_result_leaves_one_flagged_end_and_sends_nothing_twice(point):
    desk = Desk()
    desk.driver.crash_at(point)
    with pytest.raises(Crashed):
        await desk.carried(utterance(), utterance("next", counter=1))
    before = desk.driver.records("calls.bot")
    rows = (await desk.carried())[len(before) :]
    assert desk.texts == ["hello"] * SENT_ONCE[point] + ["next"]
    assert (kinds(rows), rows[0].state, rows[0].ambiguous) == (
        ["TURN_END", "OUTPUT", "TURN_END"],
        TurnState.AMBIGUOUS,
        True,
    )
    assert rows[0].index == RETAKEN_INDEX
    assert not rows[2].ambiguous
    assert (result(desk), result(desk, 1)) == (TurnState.AMBIGUOUS, TurnState.ANSWERED)


@pytest.mark.parametrize("point", [Point.BEFORE_ANNOUNCE, Point.AFTER_CONCLUDE, Point.BEFORE_COMMIT])
async def test_a_crash_elsewhere_leaves_no_doubt(point):
    desk = Desk()
    desk.driver.crash_at(point)
    with pytest.raises(Crashed):
        await desk.carried(utterance())
    rows = await desk.carried()
    assert desk.texts == ["hello"]
    assert (kinds(rows), rows[1].state, rows[1].ambiguous) == (["OUTPUT", "TURN_END"], TurnState.ANSWERED, False)


async def test_an_operator_may_have_it_sent_again_flagged():
    desk = Desk(replace(RULES, on_ambiguous="resend"))
    desk.driver.crash_at(Point.BEFORE_WRITE)
    with pytest.raises(Crashed):
        await desk.carried(utterance())
    output, end = await desk.carried()
    assert desk.texts == ["hello", "hello"]
    assert (output.kind, output.ambiguous, output.index) == (BotTurnKind.OUTPUT, True, RETAKEN_INDEX)
    assert (end.state, end.ambiguous) == (TurnState.ANSWERED, True)
    assert desk.bot.asked[0]["data"]["_idem"] == desk.bot.asked[1]["data"]["_idem"]


async def test_what_may_have_been_sent_and_is_now_too_old_is_not_sent_again_whatever_the_operator_chose():
    desk = Desk(replace(RULES, on_ambiguous="resend"))
    desk.driver.crash_at(Point.BEFORE_WRITE)
    with pytest.raises(Crashed):
        await desk.carried(utterance())
    desk.clock.advance(9)
    (end,) = await desk.carried()
    assert (desk.texts, end.state) == (["hello"], TurnState.AMBIGUOUS)


async def test_words_of_the_caller_and_the_bot_are_in_no_log_line(capsys):
    desk = Desk()
    desk.bot.replies.extend([UNSENT, NO_ANSWER, Reply(400, b'{"detail": "private"}'), Reply(200, b"private")])
    await desk.carried(*(utterance("private", counter=n) for n in range(4)))
    await desk.carried(utterance("private", counter=9, occurred_at_us=0))
    logged = capsys.readouterr()
    text = logged.out + logged.err
    assert text.count("a turn was not answered") == 3
    assert "private" not in text
    assert "agent 7" not in text


# --- the life of a call --------------------------------------------------------------------------------------------

INFO = SessionInfo(conversation_id="conversation", source_name="audiohook", direction=Direction.INBOUND, division="d")


def opened(counter=100, **more):
    return utterance(None, counter=counter, kind=UtteranceKind.OPENED, channel=Channel.ALL, session_info=INFO, **more)


def closed(counter=101, **more):
    return utterance(None, counter=counter, kind=UtteranceKind.CLOSED, channel=Channel.ALL, reason=Reason.END, **more)


async def test_the_bot_is_told_what_call_it_is_with_the_first_input_and_not_again():
    desk = Desk()
    await desk.carried(opened(), utterance("one", counter=1), utterance("two", counter=2))
    first, second = (asked["data"].get("call") for asked in desk.bot.asked)
    assert first == {
        "conversationId": "conversation",
        "organisation": "organisation",
        "queue": "sales",
        "language": "en-US",
        "startedAtMs": round(NOW_S * 1000),
        "source": "audiohook",
        "direction": "inbound",
        "division": "d",
    }
    assert second is None


async def test_what_was_not_taken_is_told_with_the_next_input():
    desk = Desk()
    desk.bot.replies.extend([UNSENT] * 3)
    await desk.carried(
        opened(), utterance("one", counter=1), utterance("two", counter=2), utterance("three", counter=3)
    )
    assert ["call" in asked["data"] for asked in desk.bot.asked] == [True, True, True, True, False]


async def test_an_operator_may_have_it_told_when_the_call_begins_or_never():
    desk = Desk(replace(RULES, metadata="call_start"))
    rows = await desk.carried(opened(), utterance("one", counter=1))
    start, one = desk.bot.asked
    assert ("text" in start, "call" in start["data"], one["text"], "call" in one["data"]) == (False, True, "one", False)
    assert kinds(rows) == ["SESSION", "OUTPUT", "TURN_END", "OUTPUT", "TURN_END"]
    desk = Desk(replace(RULES, metadata="never"))
    await desk.carried(opened(), utterance("one", counter=1))
    assert "call" not in desk.bot.asked[0]["data"]


async def test_after_a_crash_the_bot_is_told_again_from_what_the_log_says():
    desk = Desk()
    await desk.carried(opened(), utterance("one", counter=1))
    desk.driver.crash()
    await desk.carried(utterance("two", counter=2))
    assert desk.bot.asked[1]["data"]["call"]["conversationId"] == "conversation"


async def test_a_call_is_closed_after_its_last_input():
    desk = Desk()
    rows = await desk.carried(opened(), utterance("one", counter=1), closed())
    assert kinds(rows) == ["SESSION", "OUTPUT", "TURN_END", "SESSION"]
    assert json.loads(rows[-1].data_json) == {"event": "closed", "reason": "END", "over": True}
    assert (rows[0].turn_id, rows[0].index) == (turn_id(opened().utterance_id), 0)
    assert desk.bot.closed == ["conversation"]


async def test_a_call_that_another_session_goes_on_with_is_not_closed():
    desk = Desk()
    rows = await desk.carried(opened(), opened(counter=102, session_id="other"), closed())
    assert (desk.bot.closed, json.loads(rows[-1].data_json)["over"]) == ([], False)


# --- the caller speaks again ---------------------------------------------------------------------------------------


async def test_a_turn_under_way_is_marked_when_the_caller_speaks_again_and_its_answer_is_kept():
    desk = Desk()

    async def speaks_again():
        newer = received(utterance("more", counter=5), offset=9)
        desk.forward.plan(newer)

    desk.bot.before_answer.append(speaks_again)
    desk.driver.send(utterance("first"), key="conversation")
    desk.driver.log[0] = replace_partition(desk)
    rows = await desk.carried()
    assert [(row.kind, row.superseded, row.state) for row in rows] == [
        (BotTurnKind.OUTPUT, True, TurnState.ANSWERED),
        (BotTurnKind.TURN_END, True, TurnState.ANSWERED),
    ]


def replace_partition(desk):
    """The driver's partition is 0; the newer record must be of the same one."""
    desk.driver._partition = 3
    return desk.driver.log[0]


async def test_words_not_sent_yet_are_given_up_only_where_the_operator_wants_that():
    for policy, heard, state in (("queue", ["old", "new"], "ANSWERED"), ("supersede", ["new"], "SUPERSEDED")):
        desk = Desk(replace(RULES, on_newer_input=policy))
        old, new = received(utterance("old"), offset=1), received(utterance("new", counter=1), offset=2)
        desk.forward.begin(3)
        jobs = [*desk.forward.plan(old), *desk.forward.plan(new)]
        hands = [DriverHands(desk.driver, record, b"conversation") for record in (old, new)]
        for job, own in zip(jobs, hands, strict=True):
            await desk.forward.carry(job, own)
        assert desk.texts == heard
        assert result(desk).value == state
        assert [letter.reason for _, letter in desk.driver.buried] == (["superseded"] if policy == "supersede" else [])


# --- slow bots and bots that are down ------------------------------------------------------------------------------


async def test_a_turn_that_takes_long_is_marked_while_it_waits():
    desk = Desk(replace(RULES, slow_after_s=0.01))

    async def until_marked():
        while not desk.driver.outputs:
            await asyncio.sleep(0.001)

    desk.bot.before_answer.append(until_marked)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        desk.forward.beside = group
        rows = await desk.carried(utterance())
    assert [(row.kind, row.index) for row in rows] == [
        (BotTurnKind.SLOW, 0),
        (BotTurnKind.OUTPUT, 1),
        (BotTurnKind.TURN_END, 2),
    ]
    assert (rows[0].state, rows[0].attempts, rows[2].slow) == (TurnState.SENDING, 1, True)


async def test_a_turn_that_is_quick_is_not_marked_though_it_is_watched():
    desk = Desk()
    async with asyncio.TaskGroup() as group:
        desk.forward.beside = group
        rows = await desk.carried(utterance())
    assert (kinds(rows), rows[-1].slow) == (["OUTPUT", "TURN_END"], False)


async def test_a_bot_that_is_down_is_left_alone_and_each_call_is_told_once():
    desk = Desk(patience=Patience(failures=3, first_rest_s=30, longest_rest_s=30))
    desk.bot.replies.extend([UNSENT] * 3)
    rows = await desk.carried(
        utterance("down", counter=0),
        utterance("waits", counter=1),
        utterance("waits too", counter=2, conversation="other"),
        utterance("waits too", counter=3, conversation="other"),
    )
    assert desk.texts == ["down"] * 3
    told = [row for row in rows if row.error_class == "bot_unavailable"]
    assert [(row.conversation_id, row.kind, row.index) for row in told] == [
        ("conversation", BotTurnKind.ERROR, UNAVAILABLE_INDEX),
        ("other", BotTurnKind.ERROR, UNAVAILABLE_INDEX),
    ]
    assert [row.state for row in rows if row.kind is BotTurnKind.TURN_END][1:] == [TurnState.STALE] * 3
    assert [letter.reason for _, letter in desk.driver.buried] == ["retries_exhausted", "stale", "stale", "stale"]


async def test_a_bot_that_is_back_is_found_by_a_probe():
    desk = Desk(patience=Patience(failures=3, first_rest_s=2, longest_rest_s=30))
    desk.bot.replies.extend([UNSENT] * 3)
    rows = await desk.carried(utterance("down", counter=0), utterance("probe", counter=1), utterance("on", counter=2))
    assert desk.texts == ["down"] * 3 + ["probe", "on"]
    assert [row.state for row in rows if row.kind is BotTurnKind.TURN_END] == [
        TurnState.FAILED,
        TurnState.ANSWERED,
        TurnState.ANSWERED,
    ]


async def test_inputs_are_sent_again_only_as_often_as_a_tenth_of_those_sent_first():
    desk = Desk(patience=Patience(failures=1000))
    desk.bot.replies.extend([UNSENT] * 1000)
    await desk.carried(*(utterance(str(n), counter=n) for n in range(40)))
    again = len(desk.bot.asked) - 40
    assert 10 <= again <= 10 + 40 // 10


# --- another transport ---------------------------------------------------------------------------------------------


class Streaming(FakeBot):
    """A transport nobody here knows: its outputs come one by one, and a ping of its own ends the turn."""

    transport = BotTransport.SOCKET

    async def send(self, session, said):
        self.asked.append({"text": said.utterance.text})
        for text in ("One.", "Two."):
            yield (BotOutput(speaker=BotSpeaker.AGENT, text=text, trace_id="t"),)
            self._clock.advance(1)
        yield (Ended(Verdict(Outcome.ANSWERED, trace_id="t")),)


async def test_a_third_transport_fits_and_its_outputs_are_written_as_they_come():
    desk = Desk()
    desk.forward._client = Streaming(desk.clock)
    rows = await desk.carried(utterance())
    assert [(row.kind.value, row.index, row.text, row.state.value) for row in rows] == [
        ("OUTPUT", 0, "One.", "SENDING"),
        ("OUTPUT", 1, "Two.", "SENDING"),
        ("TURN_END", 2, None, "ANSWERED"),
    ]
    assert {row.transport for row in rows} == {BotTransport.SOCKET}
    assert (rows[0].speaker, rows[0].trace_id) == (BotSpeaker.AGENT, "t")
    assert [round(row.response_ms) for row in rows] == [0, 0, 0]
    assert [round(row.total_ms) for row in rows] == [0, 1000, 2000]
