import json

import pytest

from simulators.bridge.script import Answer, Script, audio, echo, error, input_of, intent, named, transcript, voice_of


def test_an_input_is_answered_by_the_queue_then_by_its_text_then_by_all_others():
    first, fixed = Answer((transcript("first"),)), Answer((transcript("fixed"),))
    script = Script(answers={"hello": fixed})
    script.queue.append(first)
    assert [script.answer(text) for text in ("hello", "hello", "bye")] == [first, fixed, echo("bye")]


def test_messages_are_those_of_the_document():
    assert json.loads(transcript("hi").content) == {"type": "transcript", "text": "hi"}
    assert json.loads(intent("order").content) == {"type": "intent", "intent": "order"}
    assert json.loads(error("no", code=5).content) == {"type": "error", "message": "no", "code": 5}
    assert json.loads(audio(b"\x00\x01").content) == {"type": "audio", "payload": "AAE="}
    assert json.loads(named(transcript("hi").content, "t")) == {"type": "transcript", "text": "hi", "turnId": "t"}


@pytest.mark.parametrize(
    "message", [b"\xff", "{", "[]", '{"type": "event"}', '{"type": "event", "event": "userInput", "data": 5}']
)
def test_what_is_no_input_is_none(message):
    assert input_of(message) is None
    assert voice_of(message, 0.0) is None


def test_an_input_and_a_piece_of_voice_are_read():
    assert input_of('{"type": "event", "event": "userInput", "data": {"text": "hi"}}') == {"text": "hi"}
    message = {
        "type": "audio",
        "sessionId": "c",
        "encoding": "l16",
        "sampleRate": 8000,
        "position": 5,
        "payload": "AA==",
    }
    voice = voice_of(json.dumps(message), 1.5)
    assert voice is not None
    assert (voice.session_id, voice.payload, voice.position, voice.arrived_s) == ("c", b"\x00", 5, 1.5)
