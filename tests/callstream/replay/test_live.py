"""What the comparison reads: only what live processing has finished and still holds."""

import uuid

import pytest

from callstream.replay import live as module
from callstream.replay import topics
from callstream.replay.live import Stretches, caught_up, compared
from callstream.replay.log_reader import log_reader
from callstream.replay.output_writer import output_writer
from callstream.replay.span import Span
from callstream.replay.task_stage import TaskStage
from processors.silence.logic import SilenceProcessor
from processors.silence.tuning import Tuning
from runtime.config import KafkaSettings, RegistrySettings
from runtime.errors import Unavailable
from runtime.kafka import RecordsToDelete, TopicPartition, admin_client, start_consumer
from runtime.registry import Registry
from runtime.task import Output
from schemas.codec import SchemaStore
from schemas.records import Origin, SilenceEvent
from schemas.topics import AUDIO, SILENCE

pytestmark = pytest.mark.kafka
STORE = SchemaStore()
STAGE = TaskStage(SilenceProcessor(Tuning(settings_hash="a" * 16)), STORE)
FROM_MS = 1_700_000_000_000


def outputs(*offsets):
    return [
        Output(
            SILENCE.name,
            b"c",
            STORE.encode(
                SilenceEvent(
                    conversation_id="c",
                    session_id="s",
                    settings_hash=STAGE.settings_hash,
                    origin=Origin(topic="calls.audio", partition=0, offset=offset, index=0),
                )
            ),
            FROM_MS + offset,
        )
        for offset in offsets
    ]


class Sides:
    """Two prefixes, live's group, and one input partition of ten records of which the first two are before."""

    def __init__(self, kafka):
        self.live, self.replay = (
            KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.") for _ in range(2)
        )
        self.topic = f"{self.live.topic_prefix}calls.audio"
        self.stretches = Stretches([Span(self.topic, 0, 0, 2, 10, FROM_MS + 2)], {0: FROM_MS + 9}, frozenset({"s"}))

    async def write(self, live, replayed):
        await topics.create(self.live, [AUDIO], 1)
        for settings, found in ((self.live, live), (self.replay, replayed)):
            await topics.create(settings, STAGE.topics, 1)
            async with output_writer(settings) as writer:
                await writer.write(0, found)

    async def commit(self, offset):
        consumer = await start_consumer(self.live, client_id="test", group_id=f"{self.live.topic_prefix}silence")
        tp = TopicPartition(self.topic, 0)
        consumer.assign([tp])
        await consumer.commit({tp: offset})
        await consumer.stop()

    async def compare(self):
        async with log_reader(self.live, Registry(RegistrySettings()), STORE) as reader:
            return await compared(reader, self.live, self.replay, STORE, STAGE, self.stretches, lambda _: True)


@pytest.fixture
def sides(kafka, monkeypatch):
    monkeypatch.setattr(module, "_CAUGHT_UP_WITHIN_S", 0.6)
    return Sides(kafka)


async def test_equal_outputs_of_the_stretch_are_equal_whatever_lies_around_it(sides):
    await sides.write(outputs(0, 1, 2, 5, 9, 12), outputs(2, 5, 9))
    await sides.commit(10)
    report = await sides.compare()
    assert report.equal
    assert report.lines == ["silence: equal: 3 outputs of 1 sessions, byte for byte"]


async def test_the_first_difference_and_their_number_are_told(sides):
    await sides.write(outputs(2, 5, 9), outputs(2, 6, 9))
    await sides.commit(10)
    report = await sides.compare()
    assert not report.equal
    (line,) = report.lines
    assert line.startswith("silence: calls.silence differs at calls.audio/0/5, output 0: only live has it")
    assert line.endswith("(first of 2; 2 are equal)")


@pytest.mark.parametrize("committed", [None, 9])
async def test_nothing_is_compared_before_live_processing_is_through(sides, committed):
    await sides.write(outputs(2), outputs(2, 9))
    if committed is not None:
        await sides.commit(committed)
    with pytest.raises(Unavailable, match=f"stands at {sides.topic}/0/{committed or 0}, before the end of the stretch"):
        await caught_up(sides.live, "silence", sides.stretches.spans)
    await sides.commit(10)
    await caught_up(sides.live, "silence", sides.stretches.spans)


@pytest.mark.parametrize(("before", "equal", "left_out"), [(0, 4, 0), (1, 3, 2), (4, 0, 4)])
async def test_what_the_live_topic_has_deleted_is_left_out_and_counted(sides, before, equal, left_out):
    await sides.write(outputs(2, 3, 5, 9), outputs(2, 3, 5, 9))
    await sides.commit(10)
    if before:
        tp = TopicPartition(f"{sides.live.topic_prefix}{SILENCE.name}", 0)
        async with admin_client(sides.live, "test") as admin:
            await admin.delete_records({tp: RecordsToDelete(before)})
    report = await sides.compare()
    assert report.equal
    assert report.lines[0] == f"silence: equal: {equal} outputs of 1 sessions, byte for byte"
    told = [f"silence: {left_out} not compared: the live ones are no longer in the log"] if left_out else []
    # the first that is still there met its equal, but others of its input may be gone
    assert report.lines[1:] == [line.replace("2", "1") if before == 1 else line for line in told]


async def test_settings_that_differ_are_told_first(sides):
    live = [one._replace(value=one.value.replace(STAGE.settings_hash.encode(), b"0" * 16)) for one in outputs(2)]
    await sides.write(live, outputs(2))
    await sides.commit(10)
    report = await sides.compare()
    assert not report.equal
    assert report.lines[0] == f"silence: settings differ: live {'0' * 16}, replayed {STAGE.settings_hash}"
    assert report.lines[1:] == ["silence: 1 outputs differ in their settings hash alone"]


async def test_topics_that_are_missing_are_named(sides):
    await topics.create(sides.live, [AUDIO], 1)
    await sides.commit(10)
    with pytest.raises(Unavailable, match=r"nothing to compare with: .*calls\.activity"):
        await sides.compare()
