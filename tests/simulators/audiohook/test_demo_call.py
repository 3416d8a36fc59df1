"""The demo's call says and presses what it should, and marks what is of the pause so that it stands nowhere else."""

from itertools import pairwise

from simulators.audiohook import demo_call
from simulators.audiohook.demo_call import MARKER_DIGIT, MARKER_PERIOD, MARKER_TEXTS, MARKER_TONE, demo, inputs
from simulators.audiohook.scenario import Dtmf, Pause, Transcript
from simulators.conversation import script

MS = 8


def the_pause() -> Pause:
    (pause,) = [action for action in demo().actions if isinstance(action, Pause)]
    return pause


def test_keys_are_pressed_before_and_after_the_pause_and_one_of_them_twice() -> None:
    at = the_pause().at_samples
    digits = [action for action in demo().actions if isinstance(action, Dtmf)]
    assert "".join(digit.digit for digit in digits if digit.at_samples < at) == "471"
    assert "".join(digit.digit for digit in digits if digit.at_samples > at) == "1#"


def test_every_line_of_the_caller_is_understood_once_in_the_order_of_the_conversation() -> None:
    lines = [line.text for line in script.load().speech if line.channel == 0]
    assert [text for text in inputs(demo()) if len(text) > 1] == lines


def test_the_inputs_are_in_order_and_none_of_them_is_of_the_pause() -> None:
    said = inputs(demo())
    assert said[2:7] == ("It is nine four seven eleven and the name is Miller", "4", "7", "1", "1")
    assert not {MARKER_DIGIT, *MARKER_TEXTS} & set(said)


def test_a_text_that_ends_in_the_guard_behind_the_pause_waits_until_it_is_over() -> None:
    at = the_pause().at_samples
    texts = [action for action in demo().actions if isinstance(action, Transcript) and action.text not in MARKER_TEXTS]
    assert not [text for text in texts if at <= text.at_samples < at + (demo_call.RESUME_GUARD_MS + 1000) * MS]
    (late,) = [action for action in demo().actions if isinstance(action, Transcript) and action.text in MARKER_TEXTS]
    assert at < late.at_samples <= at + (demo_call.RESUME_GUARD_MS - 1000) * MS


def test_two_inputs_are_never_so_close_that_two_sockets_may_swap_them() -> None:
    heard = [action.at_samples for action in demo().actions if isinstance(action, Dtmf | Transcript)]
    assert min(later - earlier for earlier, later in pairwise(heard)) >= 500 * MS


def test_the_secret_tone_repeats_its_period_and_stands_nowhere_in_the_conversation() -> None:
    assert MARKER_TONE.payload == MARKER_PERIOD * 300
    shipped = script.load().payload
    assert MARKER_PERIOD not in shipped
    assert MARKER_PERIOD[0::2] not in shipped[0::2] + shipped[1::2]
    assert MARKER_PERIOD[1::2] not in shipped[0::2] + shipped[1::2]
    leak = the_pause().leak
    assert leak is not None
    assert (leak.audio, leak.digits, leak.texts) == (MARKER_TONE, MARKER_DIGIT, MARKER_TEXTS[:1])
