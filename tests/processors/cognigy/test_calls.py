from dataclasses import replace

from processors.cognigy.calls import Calls, about
from runtime.forwarding import Received
from schemas.records import Participant, SessionInfo
from schemas.symbols import Direction, UtteranceInput, UtteranceKind
from tests.processors.cognigy.turns import NOW_S, utterance


class Log:
    """Records of one partition, taken in order."""

    def __init__(self):
        self.calls = Calls()
        self.offset = 0

    def take(self, record, *, is_input=False):
        received = Received("calls.utterances", 3, self.offset, round(NOW_S * 1000), b"c", record)
        self.offset += 1
        return received, self.calls.take(received, record, is_input=is_input)


def opened(session="s", **more):
    return utterance(None, kind=UtteranceKind.OPENED, session_id=session, **more)


def closed(session="s"):
    return utterance(None, kind=UtteranceKind.CLOSED, session_id=session)


def test_words_supersede_words_and_keys_do_not():
    log = Log()
    first, second = utterance("one"), utterance("two", counter=1)
    key = utterance("5", counter=2, input=UtteranceInput.DTMF)
    one, call = log.take(first, is_input=True)
    pressed, _ = log.take(key, is_input=True)
    assert not call.superseded(one, first)
    two, _ = log.take(second, is_input=True)
    assert call.superseded(one, first)
    assert not call.superseded(pressed, key)
    assert not call.superseded(two, second)


def test_what_is_no_input_supersedes_nothing():
    log = Log()
    one, call = log.take(utterance("one"), is_input=True)
    log.take(utterance("the agent", counter=1))
    assert not call.superseded(one, one.record)


def test_a_call_lasts_until_its_last_session_closes():
    log = Log()
    _, call = log.take(opened("a"))
    log.take(opened("b"))
    log.take(closed("a"))
    assert (log.calls.find(3, "conversation"), call.over) == (call, False)
    log.take(closed("b"))
    assert (log.calls.find(3, "conversation"), call.over) == (None, True)


def test_a_partition_is_forgotten_as_a_whole_and_no_other():
    log = Log()
    _, call = log.take(opened())
    assert log.calls.begin(2) == []
    assert log.calls.begin(3) == [call]
    assert log.calls.of(3) == []


def test_a_bot_is_told_nothing_personal_and_nothing_unknown():
    info = SessionInfo(
        conversation_id="conversation",
        source_name="audiohook",
        direction=Direction.INBOUND,
        participants=(Participant(id="p", name="Mary", address="+49123"),),
        agent="agent 7",
        continued_from="earlier",
    )
    told = about(opened(session_info=info))
    assert {"Mary", "+49123", "agent 7"}.isdisjoint(map(str, told.values()))
    assert (told["direction"], told["continuedFrom"], "division" in told) == ("inbound", "earlier", False)
    bare = opened(organisation=None, queue=None, language=None, occurred_at_us=-1)
    assert about(replace(bare, session_info=None)) == {"conversationId": "conversation"}
