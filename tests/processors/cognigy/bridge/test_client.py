"""The bridge against its stand-in, through every fault: what reached the bot, and what came of it."""

import asyncio
import json

import pytest

from processors.cognigy.bridge.audio import Piece
from processors.cognigy.events import Complained, Heard, Outcome, Spoke, Understood
from runtime.metrics import COGNIGY_BRIDGE_MESSAGES
from schemas.symbols import Codec
from simulators.bridge.script import Answer, Fault, Message, audio, error, intent, transcript, typed
from simulators.bridge.server import BridgeServer
from tests.ingest.showing import eventually
from tests.processors.cognigy.bridge.lines import CALL, line, said


def counted(kind):
    return COGNIGY_BRIDGE_MESSAGES.labels(kind)._value.get()


async def test_an_input_is_an_event_and_everything_that_comes_back_is_its_answer():
    async with line() as one:
        events, verdict = await one.send(said())
    intent_, words, *speech = events
    assert verdict.outcome is Outcome.ANSWERED
    assert isinstance(intent_, Understood)
    assert (intent_.intent.name, intent_.intent.score, words) == ("echo", 0.9, Heard("You said: hello"))
    assert [(type(piece), len(piece.payload), piece.codec) for piece in speech] == [(Spoke, 320, Codec.L16_LE)] * 2
    (taken,) = one.server.received
    assert (taken.text, taken.session_id, taken.data["id"]) == ("hello", CALL, said().turn_id)
    assert one.unasked == []


async def test_inputs_follow_each_other_over_one_connection():
    async with line() as one:
        for number in range(5):
            await one.send(said(str(number), number))
        assert (one.server.texts(CALL), one.server.connections) == (["0", "1", "2", "3", "4"], 1)


async def test_an_error_is_the_end_of_a_failed_input():
    async with line() as one:
        one.server.script.queue.append(Answer((transcript("so far"), error("no such skill", code=404))))
        events, verdict = await one.send(said())
        assert events == [Heard("so far")]
        assert (verdict.outcome, verdict.error_class, verdict.message, verdict.code) == (
            Outcome.REFUSED,
            "bot_error",
            "no such skill",
            404,
        )
        assert (await one.send(said("on", 1)))[1].outcome is Outcome.ANSWERED


async def test_what_answers_nothing_is_passed_on_at_once_without_an_input():
    async with line() as one:
        await one.server.until(lambda: one.server.peers(CALL))
        await one.server.say(CALL, transcript("I am here"), intent("greet"), audio(b"ab"), error("odd"))
        await eventually(lambda: len(one.unasked) == 4)
    events, owners = zip(*one.unasked, strict=True)
    assert [type(event) for event in events] == [Heard, Understood, Spoke, Complained]
    assert set(owners) == {None}


async def test_what_nobody_can_read_is_counted_and_ends_nothing():
    before = counted("malformed"), counted("unknown"), counted("binary")
    async with line() as one:
        odd = [Message(b"\xff\xfe1\x00"), Message("{"), Message("[1]"), typed("weather"), typed("audio", payload="?")]
        one.server.script.queue.append(Answer((*odd, transcript("yes"))))
        events, verdict = await one.send(said())
    assert (events, verdict.outcome, one.server.connections) == ([Heard("yes")], Outcome.ANSWERED, 1)
    after = counted("malformed"), counted("unknown"), counted("binary")
    assert [now - then for now, then in zip(after, before, strict=True)] == [3, 1, 1]


async def test_a_message_that_comes_twice_under_one_id_counts_once_and_equal_texts_count_each():
    async with line() as one:
        twice = transcript("yes", id="m-1")
        one.server.script.queue.append(Answer((twice, twice, transcript("yes"), transcript("yes"))))
        before = counted("repeat")
        events, _ = await one.send(said())
        assert counted("repeat") - before == 1
    assert [event.text for event in events] == ["yes"] * 3


async def test_no_answer_in_time_is_ambiguous_and_a_late_one_belongs_to_its_own_input():
    async with line(answer_s=0.5) as one:
        one.server.script.queue.append(Answer(fault=Fault.SILENCE))
        events, verdict = await one.send(said())
        assert (events, verdict.outcome, verdict.error_class) == ([], Outcome.AMBIGUOUS, "no_answer")
        await one.server.say(CALL, transcript("late"))
        await eventually(lambda: one.unasked)
        ((event, owner),) = one.unasked
        assert (event, owner.turn_id) == (Heard("late"), said().turn_id)


async def test_the_next_input_goes_where_a_late_answer_cannot_be_taken_for_its_own():
    async with line(answer_s=0.5) as one:
        one.server.script.queue.append(Answer(fault=Fault.SILENCE))
        await one.send(said("lost", 0))
        one.server.script.queue.append(Answer((transcript("its own"),)))
        events, verdict = await one.send(said("next", 1))
        assert (events, verdict.outcome) == ([Heard("its own")], Outcome.ANSWERED)
        assert (one.server.connections, one.server.texts(CALL)) == (2, ["lost", "next"])


async def test_a_message_that_names_its_input_belongs_to_that_one_whenever_it_comes():
    async with line(answer_s=0.5) as one:
        one.server.script.queue.append(Answer(fault=Fault.SILENCE))
        await one.send(said("lost", 0))
        late = transcript("late", turnId=said("lost", 0).turn_id)
        one.server.script.queue.append(Answer((late, transcript("its own"))))
        events, _ = await one.send(said("next", 1))
        assert events == [Heard("its own", None)]
        ((event, owner),) = one.unasked
        assert (event.text, owner.turn_id) == ("late", said("lost", 0).turn_id)


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CLOSE])
async def test_a_connection_that_ends_before_the_answer_leaves_doubt_and_nothing_is_sent_twice(fault):
    async with line() as one:
        one.server.script.queue.append(Answer(fault=fault))
        _, verdict = await one.send(said())
        assert (verdict.outcome, verdict.error_class) == (Outcome.AMBIGUOUS, "connection_lost")
        assert (await one.send(said("next", 1)))[1].outcome is Outcome.ANSWERED
        assert one.server.texts(CALL) == ["hello", "next"]


async def test_a_connection_that_ends_in_the_answer_was_answered():
    async with line(quiet_s=30) as one:
        one.server.script.queue.append(Answer((transcript("half"),), fault=Fault.RESET))
        events, verdict = await one.send(said())
    assert (events, verdict.outcome, verdict.error_class) == ([Heard("half")], Outcome.ANSWERED, "cut_off")


async def test_without_a_connection_in_time_nothing_was_sent():
    async with line(attempts=1000) as one:
        one.server.refuse_next(1000, 503)
        one.server.abort()
        _, verdict = await one.send(said(left_s=0.2))
        assert (verdict.outcome, verdict.error_class) == (Outcome.UNSENT, "unreachable")
        one.server.refuse_no_more()
        assert (await one.send(said()))[1].outcome is Outcome.ANSWERED
    assert one.server.texts(CALL) == ["hello"]


async def test_a_peer_that_forbids_the_call_is_said_at_once_and_asked_again_with_the_next_input():
    server = BridgeServer("app")
    server.refuse_next(1, 403)
    async with line(server) as one:
        _, verdict = await one.send(said())
        assert verdict.outcome is Outcome.UNSENT
        assert "appfoundry:agent:connect" in (verdict.message or "")
        assert (await one.send(said()))[1].outcome is Outcome.ANSWERED


async def test_a_message_of_a_type_that_ends_answers_ends_it_without_waiting():
    async with line(end_types=("turnEnd",), quiet_s=30) as one:
        one.server.script.queue.append(Answer((transcript("yes"), typed("turnEnd"))))
        events, verdict = await one.send(said())
    assert (events, verdict.outcome) == ([Heard("yes")], Outcome.ANSWERED)


async def test_a_call_that_is_over_closes_its_socket_and_takes_no_input():
    async with line() as one:
        await one.send(said())
        one.client.close(CALL)
        await one.server.until(lambda: one.server.endings)
        assert (one.server.endings[0].code, one.server.endings[0].by_client) == (1000, True)
        assert (await one.send(said("late", 1)))[1].outcome is Outcome.UNSENT
        assert one.client.sessions == 0


async def test_a_call_has_one_socket_however_often_it_is_opened_and_dropped():
    async with line() as one:
        for number in range(3):
            one.open()
            await one.send(said(str(number), number))
            one.server.abort()
            await one.server.until(lambda seen=number + 2: one.server.connections >= seen)
    assert set(one.server.most_at_once.values()) == {1}


def piece(position, *, age_s=0.0, clock):
    return Piece(b"\xff" * 800, Codec.PCMU, 8000, position, round((clock.wall_s() - age_s) * 1e6))


async def test_the_caller_s_voice_goes_out_in_order_and_what_is_stale_does_not():
    async with line() as one:
        await one.server.until(lambda: one.server.peers(CALL))
        clock = one.client._clock
        await eventually(lambda: one.client._links[CALL][0]._connection)
        for number in range(3):
            one.client.speak(CALL, piece(number * 800, clock=clock))
        one.client.speak(CALL, piece(2400, age_s=0.6, clock=clock))
        one.client.speak(CALL, piece(3200, clock=clock))
        await one.server.until(lambda: len(one.server.voices) == 4)
    assert [(voice.position, voice.encoding, len(voice.payload)) for voice in one.server.voices] == [
        (position, "l16", 1600) for position in (0, 800, 1600, 3200)
    ]
    assert set(one.server.voices[0].payload) == {0}


async def test_a_voice_goes_as_it_came_where_that_is_wanted_and_no_reader_is_waited_for():
    async with line(audio_encoding="source") as one:
        await one.server.until(lambda: one.server.peers(CALL))
        await eventually(lambda: one.client._links[CALL][0]._connection)
        one.client.speak(CALL, piece(0, clock=one.client._clock))
        await one.server.until(lambda: one.server.voices)
        assert (one.server.voices[0].encoding, one.server.voices[0].payload) == ("pcmu", b"\xff" * 800)
        one.server.stop_reading()
        for number in range(20_000):
            one.client.speak(CALL, piece(number * 800, clock=one.client._clock))
        assert len(one.client._links[CALL][0]._chunks) <= 100


async def test_words_and_tokens_are_in_no_log_line(capsys):
    async with line() as one:
        one.server.script.queue.append(Answer((error("private"),)))
        await one.send(said("secret words"))
        await asyncio.sleep(0)
    logged = capsys.readouterr().err
    assert "the bot's side reports an error" in logged
    assert "private" not in logged
    assert "secret" not in logged
    assert json.dumps(CALL) not in logged


class Tokens:
    """Gives one token until it is refused, then the next."""

    def __init__(self, *values):
        self.values = list(values)
        self.asked = 0

    async def get(self):
        self.asked += 1
        return self.values[0]

    def current(self):
        return self.values[0]

    def invalidate(self, token):
        if self.values[0] == token and len(self.values) > 1:
            self.values.pop(0)


OLD, NEW = "old-token-of-sixteen-and-more", "new-token-of-sixteen-and-more"


async def test_a_token_that_is_refused_is_replaced_once_and_the_input_goes():
    server = BridgeServer("app", is_valid=lambda token: token == NEW)
    async with line(server, token=Tokens(OLD, NEW)) as one:
        assert (await one.send(said()))[1].outcome is Outcome.ANSWERED
    assert [handshake.status for handshake in server.handshakes] == [401, 101]


async def test_a_token_that_the_bot_s_side_calls_bad_is_not_used_again():
    server = BridgeServer("app", is_valid=lambda token: token in {OLD, NEW})
    tokens = Tokens(OLD, NEW)
    async with line(server, token=tokens) as one:
        server.script.queue.append(Answer((error("expired", code=401),)))
        _, verdict = await one.send(said())
        assert (verdict.outcome, verdict.code, tokens.values) == (Outcome.REFUSED, 401, [NEW])


async def test_a_token_that_is_quoted_stands_in_no_event_and_no_log_line(capsys):
    server = BridgeServer("app", is_valid=lambda token: token == NEW)
    async with line(server, token=Tokens(NEW)) as one:
        server.script.queue.append(Answer((transcript(f"your token is {NEW}"), error(f"bad token {NEW}"))))
        events, verdict = await one.send(said())
        assert NEW not in repr(events) + repr(verdict)
        assert verdict.message == "bad token ..."
        await server.close(1008, f"{NEW}")
        await server.until(lambda: server.connections == 2)
    assert NEW not in capsys.readouterr().err
