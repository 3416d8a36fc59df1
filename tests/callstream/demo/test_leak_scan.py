"""What was said in a pause is found in every form it could take, and a scan that sees nothing at all is no proof."""

import base64
import json

import pytest

from audio.g711 import decode_pcmu
from callstream.demo.leak_scan import Scan, Sought, check_hidden, periodic, phrase
from schemas.records import CallEvent, Origin, TurnEntry, Utterance
from schemas.symbols import CallEventKind
from simulators.audiohook.demo_call import MARKER_PERIOD, MARKER_TEXTS, MARKER_TONE

TONE = MARKER_TONE.payload[10:400]
TEXT = MARKER_TEXTS[0]
NOWHERE = Origin(topic="", partition=0, offset=0, index=0)


def scan() -> Scan:
    return Scan([periodic("sound", MARKER_PERIOD), phrase("text", TEXT), Sought("key", word="D")])


def seen(data: bytes, *, text: bool = False) -> list[str]:
    found = scan()
    found.look("here", data, text=text)
    return [name for name, places in found.found.items() if places]


@pytest.mark.parametrize(
    "sound",
    [TONE, TONE[0::2], TONE[1::2], decode_pcmu(TONE).tobytes(), decode_pcmu(TONE[1::2]).astype(">i2").tobytes()],
    ids=["as sent", "one side", "other side", "linear", "linear, other order"],
)
@pytest.mark.parametrize("before", range(4))
def test_sound_is_found_wherever_it_begins_as_it_is_and_as_text(sound, before) -> None:
    data = b"x" * before + sound[before * 2 :]
    assert seen(data) == ["sound"]
    assert seen(json.dumps({"payload": base64.b64encode(data).decode()}).encode()) == ["sound"]
    assert seen(data.hex().encode()) == ["sound"]


@pytest.mark.parametrize("before", range(4))
def test_a_text_is_found_in_any_encoding_and_inside_of_base64(before) -> None:
    said = ("x" * before + TEXT + ".").encode()
    assert seen(said) == ["text"]
    assert seen(base64.b64encode(said)) == ["text"]
    assert seen(TEXT.encode("utf-16")) == ["text"]


def test_other_sound_and_other_texts_are_not_taken_for_it() -> None:
    assert seen(bytes(range(256)) * 50 + b"my card number is 1234") == []


def test_a_key_is_found_as_a_value_of_a_record_and_quoted_in_a_file() -> None:
    shared = {"conversation_id": "c", "session_id": "s"}
    found = scan()
    found.record("events", CallEvent(kind=CallEventKind.DTMF, digit="1", text="D-Day", **shared))
    found.record("turns", TurnEntry(turn_id="t", origin=NOWHERE))
    assert found.found["key"] == []
    found.record("events", CallEvent(kind=CallEventKind.DTMF, digit="D", **shared))
    found.record("utterances", Utterance(text="D", origin=NOWHERE, **shared))
    assert found.found["key"] == ["events", "utterances"]
    assert seen(b'{"digit":"D"}', text=True) == ["key"]
    assert seen(b'{"digit":"D"}') == []


def test_the_check_fails_for_a_leak_and_for_a_scan_that_does_not_see() -> None:
    found = scan()
    controls = {"text": ["calls."]}
    assert check_hidden(found, ["sound", "key"], controls).found == "text not seen in calls."
    found.look("calls.events", TEXT.encode())
    found.count("records")
    held = check_hidden(found, ["sound", "key"], controls)
    assert (held.ok, held.found) == (True, "nothing of it in 1 records")
    found.look("silence.dlq", TONE)
    leaked = check_hidden(found, ["sound", "key"], controls)
    assert (leaked.ok, leaked.found) == (False, "sound in silence.dlq")
