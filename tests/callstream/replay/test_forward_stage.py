from contextlib import asynccontextmanager

from callstream.replay.forward_stage import ForwardStage
from processors.transcription.forward import Transcription
from runtime.forward_testing import ForwardDriver
from runtime.forwarding import Job
from schemas.records import Origin, TurnEntry, Utterance
from schemas.symbols import TurnState
from schemas.topics import UTTERANCES
from tests.callstream.replay.logs import STORE, Events


class Turns:
    """A component that announces and concludes, as those that talk to the outside do."""

    group, input_topic, outputs, keeps_turns, lookback_ms = "cognigy", UTTERANCES.name, (UTTERANCES.name,), True, 0
    first_start = "latest"

    def __init__(self):
        self.begun = []
        self.seen = []

    def begin(self, partition):
        self.begun.append(partition)

    def plan(self, received):
        return [Job(b"key", received)]

    async def carry(self, job, hands):
        entry = TurnEntry(turn_id="t", state=TurnState.SENDING, origin=job.work.origin(0))
        before = hands.turn("t")
        await hands.announce(entry)
        await hands.write([job.work.record])
        await hands.conclude(entry)
        self.seen.append((before, hands.received.offset))


async def test_utterances_are_those_of_the_forwarder():
    log = Events(4).log
    driver = ForwardDriver(Transcription())
    for record in log:
        driver.send_value(record.value, key=record.key, timestamp_ms=record.timestamp)
    expected = await driver.run()
    stage = ForwardStage(Transcription(), STORE, "")
    await stage.begin([(0, 0)])
    found = await stage.take(0, log, keep=True)
    assert [output for output in found if output.topic == UTTERANCES.name] == expected
    letters = [output for output in found if output.topic == "transcription.dlq"]
    assert len(letters) == len(driver.dead_letters) > 3
    assert all(b"garbage" not in output.value for output in letters)
    assert dict(letters[0].headers)["__connect.errors.stage"] == b"decode"


async def test_nothing_is_carried_of_what_is_only_learnt_from():
    turns = Turns()
    stage = ForwardStage(turns, STORE, "")
    await stage.begin([(2, 0)])
    log = [entry(0), entry(1)]
    assert await stage.take(2, log[:1], keep=False) == []
    (output,) = await stage.take(2, log[1:], keep=True)
    assert (turns.begun, turns.seen) == ([2], [(None, 1)])
    assert (output.topic, output.key, output.timestamp_ms) == (UTTERANCES.name, b"key", 5)


def entry(offset):
    origin = Origin(topic="calls.events", partition=0, offset=offset, index=0)
    value = STORE.encode(Utterance(conversation_id="c", session_id="s", origin=origin))
    return Record(offset, value)


class Record:
    def __init__(self, offset, value):
        self.offset, self.timestamp, self.key, self.value = offset, 5, b"c", value


async def test_what_it_needs_is_entered_and_left_once_and_each_record_is_heard_first():
    steps = []

    @asynccontextmanager
    async def around():
        steps.append("entered")
        yield
        steps.append("left")

    stage = ForwardStage(Turns(), STORE, "", before=lambda record: steps.append(record.offset), around=around())
    await stage.end(kept=False)
    await stage.begin([(0, 0)])
    await stage.take(0, [entry(7)], keep=True)
    await stage.end(kept=False)
    await stage.end(kept=False)
    assert steps == ["entered", 7, "left"]
