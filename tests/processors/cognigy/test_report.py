from dataclasses import replace

from processors.cognigy.logic import end_of, expired, left_behind
from processors.cognigy.replies import NoReply, Reply, judge
from processors.cognigy.report import RETAKEN_INDEX, entry, marks, records
from schemas.records import Origin, TurnEntry
from schemas.symbols import BotSpeaker, BotTransport, BotTurnKind, TurnState
from tests.processors.cognigy.turns import NOW_S, RULES, body, turn

ANSWER = Reply(200, body({"text": "One.", "data": {"intent": "order", "intentScore": 0.75}}, {"text": "Two."}))


def ended(reply, **more):
    verdict, _ = judge(reply, RULES)
    return end_of(verdict, retaken=False, attempts=1, sent_at_s=NOW_S + 0.02, waited_s=0.5, **more)


def outputs(reply):
    return judge(reply, RULES)[1]


def test_an_answer_is_written_output_by_output_and_ended():
    one, two, end = records(turn(), ended(ANSWER), NOW_S + 0.75, RULES, outputs(ANSWER))
    assert [(row.kind, row.index, row.origin.index, row.text) for row in (one, two, end)] == [
        (BotTurnKind.OUTPUT, 0, 0, "One."),
        (BotTurnKind.OUTPUT, 1, 1, "Two."),
        (BotTurnKind.TURN_END, 2, 2, None),
    ]
    assert [(row.speaker, row.trace_id, row.intent) for row in (one, two, end)] == [
        (BotSpeaker.BOT, "trace", "order"),
        (BotSpeaker.BOT, "trace", None),
        (BotSpeaker.SYSTEM, "trace", "order"),
    ]
    assert (one.intent_score, one.intent_origin) == (0.75, "intent")


def test_every_record_says_whose_turn_it_is_and_how_it_went():
    made = turn(partial=True)
    for row in records(made, ended(ANSWER), NOW_S + 0.75, RULES, outputs(ANSWER)):
        assert (row.conversation_id, row.session_id) == ("conversation", "session of conversation")
        assert (row.organisation, row.queue, row.agent) == ("organisation", "sales", "agent 7")
        assert (row.turn_id, row.utterance_id) == (made.id, made.utterance.utterance_id)
        assert (row.state, row.transport, row.attempts) == (TurnState.ANSWERED, BotTransport.REST, 1)
        assert (round(row.queue_ms), round(row.response_ms), round(row.total_ms)) == (20, 500, 750)
        assert (row.produced_at_us, row.settings_hash) == (round((NOW_S + 0.75) * 1e6), RULES.settings_hash)
        assert (row.late, row.slow, row.ambiguous, row.superseded) == (False, False, False, False)
        assert row.partial
        assert row.origin == Origin(topic="calls.utterances", partition=3, offset=7, index=row.index)


def test_an_empty_answer_is_a_turn():
    (end,) = records(turn(), ended(Reply(200, body())), NOW_S, RULES)
    assert (end.kind, end.state, end.index) == (BotTurnKind.TURN_END, TurnState.ANSWERED, 0)


def test_late_and_slow_are_marked_on_every_record():
    slow = replace(ended(ANSWER), waited_s=1.3)
    rows = records(turn(), slow, NOW_S + 5.1, RULES)
    assert {(row.late, row.slow) for row in rows} == {(True, True)}
    assert marks(rows) == ["late", "slow"]
    on_time = records(turn(), replace(slow, waited_s=1.2), NOW_S + 5, RULES)
    assert marks(on_time) == []


def test_a_time_out_is_slow_but_no_answer_and_so_not_late():
    rows = records(turn(), replace(ended(NoReply(unsent=False)), waited_s=20.0), NOW_S + 20, RULES)
    assert marks(rows) == ["slow", "ambiguous"]
    assert rows[-1].response_ms == -1


def test_why_a_turn_was_not_answered_stands_before_its_end_and_in_it():
    error, end = records(turn(), ended(Reply(404, b'{"traceId": "t"}')), NOW_S, RULES)
    assert (error.kind, end.kind) == (BotTurnKind.ERROR, BotTurnKind.TURN_END)
    for row in (error, end):
        assert (row.state, row.error_class, row.error_code, row.retryable) == (TurnState.FAILED, "rejected", 404, False)
        assert (row.error_message, row.trace_id) == ("the bot answered with status 404", "t")


def test_a_defect_stands_in_the_place_of_the_output():
    content = b'{"outputStack": [{"text": "One."}, 5, {"text": "Three."}]}'
    rows = records(turn(), ended(Reply(200, content)), NOW_S, RULES, outputs(Reply(200, content)))
    assert [row.kind for row in rows] == [
        BotTurnKind.OUTPUT,
        BotTurnKind.ERROR,
        BotTurnKind.OUTPUT,
        BotTurnKind.TURN_END,
    ]
    assert (rows[1].error_class, rows[1].error_message) == ("not_documented", "an output is no object")
    assert {row.state for row in rows} == {TurnState.ANSWERED}
    assert rows[-1].error_class is None


def test_a_stale_turn_has_an_end_and_no_request():
    (end,) = records(turn(), expired(retaken=False), NOW_S + 9, RULES)
    assert (end.kind, end.state, end.attempts) == (BotTurnKind.TURN_END, TurnState.STALE, 0)
    assert (end.queue_ms, end.response_ms, round(end.total_ms)) == (-1, -1, 9000)
    assert (end.late, end.slow, end.ambiguous, end.error_class) == (False, False, False, None)


def test_a_turn_left_behind_has_one_flagged_end_that_repeats_no_other_record():
    (end,) = records(turn(), left_behind(), NOW_S, RULES)
    assert (end.kind, end.state, end.ambiguous) == (BotTurnKind.TURN_END, TurnState.AMBIGUOUS, True)
    assert (end.index, end.origin.index, end.attempts) == (RETAKEN_INDEX, RETAKEN_INDEX, -1)
    assert end.error_class == "unknown_outcome"


def test_clocks_that_disagree_make_no_negative_spans():
    rows = records(turn(), replace(ended(ANSWER), sent_at_s=NOW_S - 1), NOW_S - 1, RULES)
    assert (rows[-1].queue_ms, rows[-1].total_ms) == (0, 0)


def test_the_turns_topic_is_told_who_does_what_for_which_record():
    made = turn()
    assert entry(made, TurnState.SENDING, 2, "worker", NOW_S) == TurnEntry(
        turn_id=made.id,
        state=TurnState.SENDING,
        conversation_id="conversation",
        session_id="session of conversation",
        worker="worker",
        attempt=2,
        written_at_us=round(NOW_S * 1e6),
        origin=Origin(topic="calls.utterances", partition=3, offset=7, index=0),
    )
