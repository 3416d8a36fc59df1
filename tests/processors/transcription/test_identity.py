import hashlib

import pytest

from processors.transcription.identity import utterance_id
from schemas.symbols import Channel, UtteranceInput, UtteranceKind

SESSION = "0192f0c4-7a11-7cc3-98c4-dc0c0c07398f"


@pytest.mark.parametrize(
    ("what", "channel", "counter", "golden"),
    [
        # printf '%s' '0192f0c4-…|DTMF|EXTERNAL|7' | sha256sum
        (UtteranceInput.DTMF, Channel.EXTERNAL, 7, "1a6a6f19482099879eacf26b25035e54dff9c820a6d657862755d0f31c9c7074"),
        (UtteranceKind.OPENED, Channel.ALL, 0, "98f47bba785dab2d27e1845f5be58f09d66f5a2c4ead7ff05851e5a68ee8610a"),
    ],
)
def test_an_id_never_changes(what, channel, counter, golden):
    assert utterance_id(SESSION, what, channel, counter) == golden


def test_an_id_is_the_digest_of_what_the_contract_says():
    text = f"{SESSION}|PLATFORM|INTERNAL|12"
    found = utterance_id(SESSION, UtteranceInput.PLATFORM, Channel.INTERNAL, 12)
    assert found == hashlib.sha256(text.encode()).hexdigest()


def test_no_two_inputs_of_a_session_share_an_id():
    found = {
        utterance_id(session, what, channel, counter)
        for session in (SESSION, f"{SESSION}|DTMF|ALL|1", SESSION.upper())
        for what in (*UtteranceInput, *UtteranceKind)
        for channel in Channel
        for counter in (0, 1, 11, 111)
    }
    names = {what.value for what in (*UtteranceInput, *UtteranceKind)}
    assert len(found) == 3 * len(names) * len(Channel) * 4


def test_symbols_hold_no_separator():
    symbols = [*UtteranceInput, *UtteranceKind, *Channel]
    assert [symbol for symbol in symbols if "|" in symbol.value] == []
