"""Transcription under a host: what it says of itself, what it writes, what it counts."""

from collections.abc import Sequence

import pytest

from processors.transcription.forward import LOOKBACK_MS, Transcription
from runtime import metrics
from runtime.errors import UsageError
from runtime.forwarding import Forward, Letter, Received
from schemas.records import AudioFrame, Record, TurnEntry
from schemas.symbols import UtteranceKind
from schemas.topics import EVENTS
from tests.processors.transcription.calls import Call, Run, kinds


class Paper:
    """Hands that write things down."""

    def __init__(self, received: Received) -> None:
        self.received = received
        self.written: list[Record] = []

    async def write(self, records: Sequence[Record]) -> None:
        self.written += records

    def turn(self, turn_id: str) -> None:
        raise NotImplementedError

    async def announce(self, entry: TurnEntry) -> None:
        raise NotImplementedError

    async def conclude(self, entry: TurnEntry) -> None:
        raise NotImplementedError

    async def bury(self, letter: Letter) -> None:
        raise NotImplementedError


def counted(counter, *labels: str) -> float:
    return counter.labels(*labels)._value.get()


def test_it_is_hosted_as_the_catalogue_says():
    hosted: Forward = Transcription()
    assert (hosted.group, hosted.input_topic, hosted.outputs) == (
        "transcription",
        "calls.events",
        ("calls.utterances",),
    )
    assert (hosted.first_start, hosted.keeps_turns, hosted.lookback_ms) == ("earliest", False, LOOKBACK_MS)
    assert Transcription(lookback_ms=5).lookback_ms == 5


async def test_a_job_is_written_whole_in_order_and_counted():
    run, call = Run(), Call()
    call.counter = 4
    run.feed(call.text())
    (job,) = run.jobs[0]
    hands = Paper(Received(EVENTS.name, run.partition, 0, 0, job.key, call.text()))
    before = counted(metrics.TRANSCRIPTION_UTTERANCES, "TEXT", "PLATFORM")
    await run.transcription.carry(job, hands)
    assert hands.written == list(job.work)
    assert kinds(job.work) == [UtteranceKind.OPENED, UtteranceKind.TEXT]
    assert counted(metrics.TRANSCRIPTION_UTTERANCES, "TEXT", "PLATFORM") == before + 1


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        ("interim", lambda call: [call.text(is_final=False)]),
        ("blank text", lambda call: [call.text(" ")]),
        ("no digit", lambda call: [call.digit(None)]),
        ("repeat", lambda call: [call.text()] * 2),
        ("hole", lambda call: [call.text(event_counter=5)]),
        ("after closed", lambda call: [call.closed(), call.text()]),
    ],
)
def test_what_is_no_utterance_is_counted(what, cause):
    run, call = Run(), Call()
    run.feed(call.opened())
    before = counted(metrics.TRANSCRIPTION_OBSERVED, what)
    run.feed(*cause(call))
    assert counted(metrics.TRANSCRIPTION_OBSERVED, what) == before + 1


def test_partitions_know_nothing_of_each_other_and_a_begin_forgets():
    transcription, call = Transcription(), Call()
    one, two = Run(transcription), Run(transcription)
    two.partition = 4
    transcription.begin(4)
    opened = call.opened()
    assert kinds(one.feed(opened)) == kinds(two.feed(opened)) == [UtteranceKind.OPENED]
    transcription.begin(3)
    assert kinds(one.feed(opened)) == [UtteranceKind.OPENED]
    assert two.feed(opened) == []


def test_another_record_is_a_mistake_of_the_host():
    transcription = Transcription()
    transcription.begin(0)
    with pytest.raises(UsageError, match=r"calls\.events"):
        transcription.plan(Received("calls.audio", 0, 0, 0, None, AudioFrame()))
