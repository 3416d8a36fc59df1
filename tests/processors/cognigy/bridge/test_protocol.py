from hypothesis import given
from hypothesis import strategies as st

from processors.cognigy.bridge.messages import Failure, Message
from processors.cognigy.bridge.protocol import Exchange, Limits
from processors.cognigy.events import Complained, Heard, Outcome
from tests.processors.cognigy.bridge.lines import said

LIMITS = Limits(answer_s=20, quiet_s=1, longest_s=30)
ONE, TWO = said("one", 1), said("two", 2)


def heard(text="x", **more):
    return Message("transcript", Heard(text), **more)


def begun(one=ONE, at_s=0.0):
    exchange = Exchange(LIMITS)
    exchange.begin(one, at_s)
    return exchange


def test_an_answer_may_take_long_to_begin_and_is_over_when_nothing_more_comes():
    exchange = begun(at_s=5)
    assert exchange.due_s() == 25
    exchange.take(heard(), 10)
    assert exchange.due_s() == 11
    exchange.take(heard(), 10.9)
    assert exchange.due_s() == 11.9
    assert exchange.expired().outcome is Outcome.ANSWERED


def test_an_answer_without_an_end_is_over_at_last():
    exchange = begun()
    for tenth in range(400):
        exchange.take(heard(), tenth / 10)
    assert exchange.due_s() == 30


def test_silence_is_ambiguous_and_what_comes_then_is_late():
    exchange = begun()
    assert exchange.expired().outcome is Outcome.AMBIGUOUS
    exchange.end()
    told = exchange.take(heard(), 30)
    assert (told.said, told.is_current) == (ONE, False)
    assert exchange.wants_new_connection
    exchange.connected()
    assert not exchange.wants_new_connection
    assert exchange.take(heard(), 31).said is None


def test_after_an_answer_nothing_belongs_to_it_any_more_but_what_names_it():
    exchange = begun()
    exchange.take(heard(), 1)
    exchange.expired()
    exchange.end()
    assert exchange.take(heard(), 9).said is None
    assert exchange.take(heard(turn_id=ONE.turn_id), 9).said == ONE
    exchange.begin(TWO, 10)
    assert exchange.take(heard(turn_id=ONE.turn_id), 11).said == ONE
    assert exchange.due_s() == 30
    assert exchange.take(heard(turn_id="nobody's"), 11).said == TWO


def test_an_error_ends_the_input_under_way_and_is_a_complaint_else():
    exchange = begun()
    told = exchange.take(Message("error", Failure("no", 5), ends=True), 1)
    assert (told.ended.outcome, told.ended.message, told.ended.code) == (Outcome.REFUSED, "no", 5)
    exchange.end()
    told = exchange.take(Message("error", Failure("no", 5), ends=True), 2)
    assert (told.events, told.said, told.ended) == ((Complained("no", 5),), None, None)


def test_an_end_without_an_input_says_nothing():
    exchange = Exchange(LIMITS)
    assert exchange.take(Message("end", ends=True), 1) is None
    assert exchange.take(Message("unknown"), 1) is None


def test_a_lost_connection_leaves_doubt_unless_the_answer_had_begun():
    exchange = begun()
    assert exchange.lost().outcome is Outcome.AMBIGUOUS
    exchange.take(heard(), 1)
    assert exchange.lost().outcome is Outcome.ANSWERED


def test_a_message_counts_once_by_its_id_and_never_by_its_text():
    exchange = begun()
    assert exchange.take(heard("a", id="1"), 1) is not None
    assert exchange.take(heard("b", id="1"), 1) is None
    assert exchange.take(heard("a"), 1) is not None
    assert exchange.take(heard("a"), 1) is not None
    assert exchange.repeats == 1


@given(st.lists(st.sampled_from(["input", "message", "late", "due", "lost"]), max_size=40))
def test_a_message_always_belongs_to_the_input_under_way_to_an_earlier_one_or_to_none(steps):
    exchange = Exchange(LIMITS)
    sent, now_s, under_way = [], 0.0, None
    for step in steps:
        now_s += 0.5
        if step == "input" and under_way is None:
            if exchange.wants_new_connection:
                exchange.connected()
            under_way = said(str(len(sent)), len(sent))
            sent.append(under_way)
            exchange.begin(under_way, now_s)
        elif step in {"due", "lost"} and under_way is not None:
            exchange.expired() if step == "due" else exchange.lost()
            exchange.end()
            under_way = None
        elif step == "message":
            told = exchange.take(heard(), now_s)
            assert told.is_current is (under_way is not None)
            assert told.said in [None, *sent]
            assert not told.is_current or told.said is under_way
        elif step == "late" and sent:
            told = exchange.take(heard(turn_id=sent[0].turn_id), now_s)
            assert told.said in sent
