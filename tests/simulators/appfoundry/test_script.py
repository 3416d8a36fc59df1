import json

import pytest

from simulators.appfoundry import script


def test_messages_are_literally_those_of_the_document():
    entries = [
        script.transcript(10, "hello"),
        script.transcript(20, "hello th", isFinal=False),
        script.intent(30, "order"),
        script.error(40, "broken"),
        script.audio(50, b"\xff\x7f"),
        script.typed(60, "greeting", name="x"),
    ]
    assert [entry.at_ms for entry in entries] == [10, 20, 30, 40, 50, 60]
    assert [json.loads(entry.content) for entry in entries] == [
        {"type": "transcript", "text": "hello"},
        {"type": "transcript", "text": "hello th", "isFinal": False},
        {"type": "intent", "intent": "order"},
        {"type": "error", "message": "broken"},
        {"type": "audio", "payload": "/38="},
        {"type": "greeting", "name": "x"},
    ]


def test_text_and_bytes_go_as_they_are():
    assert script.encoded("{not json") == "{not json"
    assert script.encoded(b"\xff") == b"\xff"
    assert script.encoded({"type": "x"}) == '{"type": "x"}'


def test_a_timeline_is_in_order():
    with pytest.raises(ValueError, match="order"):
        script.Timeline((script.intent(2, "a"), script.intent(1, "b")))


def test_the_lines_of_a_speaker_come_after_they_were_spoken():
    one, other = script.spoken("external"), script.spoken("internal", delay_ms=0)
    lines = [json.loads(message.content) for message in one.messages]
    assert {line["type"] for line in lines} == {"transcript"}
    assert len(lines) >= 3
    assert all(line["text"] for line in lines)
    assert {message.content for message in one.messages}.isdisjoint(message.content for message in other.messages)
    assert one.messages[0].at_ms > 300
    with pytest.raises(ValueError, match="list"):
        script.spoken("nobody")
