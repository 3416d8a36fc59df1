"""A snapshot holds what waits, and a restored state gives the same bytes."""

import random

from processors.speech.logic import SpeechProcessor
from processors.speech.state import SpeechState
from tests.processors.driving import interleaved
from tests.processors.silence.calls import QUIET, Call
from tests.processors.speech.calls import LEVEL, Run, babble, packets


def test_a_restored_state_has_the_same_snapshot_and_the_same_records_waiting():
    calls = [packets(number, babble(random.Random(number), 3), lost=(140, 148)) for number in range(3)]
    run = Run().feed(interleaved(random.Random(1), [*calls, Call(5).open().say(QUIET)]))
    before = {name: list(session.waiting) for name, session in run.state.sessions.items()}
    snapshot = run.processor.snapshot(run.state)
    run.restart()
    assert {name: list(session.waiting) for name, session in run.state.sessions.items()} == before
    assert sum(map(len, before.values())) > 50
    assert run.processor.snapshot(run.state) == snapshot


def test_the_snapshot_of_silence_can_be_taken_out():
    processor = SpeechProcessor(LEVEL)
    run = Run(processor).feed([(b"k", frame) for frame in Call().open().say(QUIET[:800]).frames])
    content = processor.snapshot(run.state)
    assert SpeechState.silence_of(content) == run.state.silence.snapshot()


def test_bytes_are_taken_once():
    state = SpeechState()
    state.bytes_of["passed"] += 3
    assert (state.take_bytes()["passed"], state.take_bytes()["passed"]) == (3, 0)
