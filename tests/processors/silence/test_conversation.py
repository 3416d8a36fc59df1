"""The shipped conversation, frame by frame: what is true by construction is found."""

import pytest

from processors.silence.logic import SilenceProcessor
from schemas.symbols import Channels, Codec, SilenceEventKind
from simulators.conversation import script
from tests.processors.silence.calls import RATE_HZ, Call, Run, log_of

TOLERANCE = 60 * RATE_HZ // 1000
SIDES = ("EXTERNAL", "INTERNAL")


def near(found, truth) -> bool:
    return abs(found[2] - truth.start_samples) <= TOLERANCE and abs(found[3] - truth.end_samples) <= TOLERANCE


@pytest.fixture(scope="module")
def found():
    conversation = script.load()
    call = Call(codec=Codec.PCMU, channels=Channels.EXTERNAL_INTERNAL).open()
    return Run(SilenceProcessor()).feed(log_of(call.say(conversation.payload, 2 * 160 * 5).close()))


def test_every_scripted_pause_is_a_silence_within_60_ms(found):
    silences = found.spans(SilenceEventKind.SILENCE)
    for pause in script.load().pauses:
        mine = [span for span in silences if span[1] == SIDES[pause.channel] and near(span, pause)]
        assert len(mine) == 1, (pause, silences)


def test_nothing_else_is_silence(found):
    assert len(found.spans(SilenceEventKind.SILENCE)) == len(script.load().pauses)


def test_every_line_is_speech_within_60_ms(found):
    spoken = found.spans(SilenceEventKind.SPEECH)
    assert len(spoken) == len(script.load().speech)
    for line in script.load().speech:
        assert any(span[1] == SIDES[line.channel] and near(span, line) for span in spoken), (line, spoken)


def test_long_dead_air_is_found_and_shorter_is_not(found):
    long = [span for span in script.load().dead_air if span.end_samples - span.start_samples >= 2 * RATE_HZ]
    dead = found.spans(SilenceEventKind.DEAD_AIR)
    assert len(long) >= 1
    assert len(dead) == len(long)
    assert all(near(span, truth) for span, truth in zip(dead, long, strict=True))


def test_overtalk_is_found(found):
    overtalk = found.spans(SilenceEventKind.OVERTALK)
    truth = script.load().overtalk
    assert len(overtalk) == len(truth)
    assert all(near(span, true) for span, true in zip(overtalk, truth, strict=True))
