"""A real conversation, record by record: what was written once is written again, to the last digit.

The shipped conversation in frames of changing length, with a secure pause, a discard and a hole inside a block. When a
change of outputs is meant, `python -m tests.processors.silence.test_golden` writes them anew.
"""

import json
import random
from dataclasses import asdict
from pathlib import Path

import pytest

from processors.silence.logic import SilenceProcessor
from schemas.symbols import Channels, Codec, FrameKind, Reason
from simulators.conversation import script
from tests.processors.silence.calls import Call, Run, log_of

GOLDEN = Path(__file__).parents[2] / "data" / "silence_conversation.jsonl"


def conversation() -> Call:
    dice = random.Random(7)
    call = Call(codec=Codec.PCMU, channels=Channels.EXTERNAL_INTERNAL).open(organisation="acme", queue="sales")
    rest = script.load().payload
    while rest:
        size = dice.choice((320, 320, 320, 3200, 1594))
        call.say(rest[:size], size)
        rest = rest[size:]
        before, now = (call.position - size // 2) // 8000, call.position // 8000
        if before < 6 <= now:
            call.put(FrameKind.DISCARDED, reason=Reason.SOURCE_DISCARD, duration_samples=4000)
            call.position += 4000
        elif before < 13 <= now:
            call.mark(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE)
            call.mark(FrameKind.RESUMED, 16_000, reason=Reason.SECURE_PAUSE)
        elif before < 20 <= now:
            call.position += 333
    return call.close(reason=Reason.END)


def lines(run: Run) -> list[str]:
    return [json.dumps({"row": row, "type": type(record).__name__} | asdict(record)) for row, record in run.found]


@pytest.mark.parametrize("poll", [1, 50, 10_000])
def test_the_records_of_the_conversation_are_the_frozen_ones(poll):
    found = lines(Run(SilenceProcessor()).feed(log_of(conversation()), poll))
    assert found == GOLDEN.read_text(encoding="utf-8").splitlines()


def test_a_restart_behind_any_record_changes_nothing():
    log = log_of(conversation())
    run = Run(SilenceProcessor())
    for entry in log[:400]:
        run.restart().feed([entry])
    rest = run.restart().feed(log[400:])
    assert lines(rest) == GOLDEN.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(lines(Run(SilenceProcessor()).feed(log_of(conversation())))) + "\n", encoding="utf-8")
