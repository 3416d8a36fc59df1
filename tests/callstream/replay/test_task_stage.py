import pytest

from callstream.replay.task_stage import TaskStage
from processors.silence.logic import SilenceProcessor
from runtime.errors import UsageError
from runtime.testing import Driver
from schemas.topics import ACTIVITY, SILENCE
from tests.callstream.replay.logs import STORE, Calls


class Picky(SilenceProcessor):
    """Raises on some frames, as a defect would."""

    def process(self, batch, state, emit):
        if any(batch.frames.ok & (batch.frames.sequence == 5)):
            raise ValueError
        super().process(batch, state, emit)


class Hopeless(SilenceProcessor):
    def process(self, batch, state, emit):
        raise ValueError


def whole(processor, log):
    driver = Driver(processor)
    for record in log:
        driver.send_value(record.value, key=record.key, timestamp_ms=record.timestamp)
    return driver.run(100)


async def run(stage, log, poll):
    await stage.begin([(0, 0)])
    return [output for at in range(0, len(log), poll) for output in await stage.take(0, log[at : at + poll], keep=True)]


async def test_records_that_make_the_processor_raise_are_the_same_dead_letters_as_in_the_worker():
    log = Calls(2).log
    expected = whole(Picky(), log)
    assert sum(output.topic == "silence.dlq" for output in expected) > 3
    assert await run(TaskStage(Picky(), STORE), log, 170) == expected


async def test_nothing_is_given_of_what_is_only_learnt_from():
    stage = TaskStage(SilenceProcessor(), STORE)
    await stage.begin([(0, 0), (1, 7)])
    assert await stage.take(0, Calls(2).log, keep=False) == []


async def test_a_processor_that_raises_on_everything_ends_the_replay():
    with pytest.raises(UsageError):
        await run(TaskStage(Hopeless(), STORE), Calls(2, 50).log, 50)


async def test_a_log_of_garbage_is_replayed():
    log = [record for record in Calls(2).log if record.value == b"garbage"] * 600
    log = [type(log[0])(offset, log[0].timestamp, None, b"garbage") for offset in range(3000)]
    assert len(await run(TaskStage(SilenceProcessor(), STORE), log, 500)) == 3000


def test_it_knows_what_it_writes():
    stage = TaskStage(SilenceProcessor(), STORE)
    assert [topic.name for topic in stage.topics] == [SILENCE.name, ACTIVITY.name, "silence.dlq"]
    assert (stage.name, stage.input_topic) == ("silence", "calls.audio")
