"""The numbered steps of a commit over a producer that notes what it is asked; the real one is in ring 5."""

import asyncio
import dataclasses

import pytest

from runtime import checkpoint
from runtime.checkpoint import Application, Checkpoint, changelog_key
from runtime.errors import Fenced, InvalidRecord, StateTooLarge, Unavailable
from runtime.kafka import TopicPartition, translated
from runtime.task import Output
from runtime.testing import Driver
from tests.runtime.counting import CountingProcessor
from tests.runtime.test_task import frame

TP = TopicPartition("calls.audio", 3)
APPLICATION = Application("silence", "replay.x.")


class Batch:
    LIMIT = 3

    def __init__(self) -> None:
        self.records: list[tuple] = []

    def append(self, *, key, value, timestamp, headers):
        if len(self.records) >= self.LIMIT:
            return None
        self.records.append((key, value, timestamp, headers))
        return object()


class Producer:
    """Notes the order of calls. `reject` is the topic whose batches the broker refuses."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.reject: tuple[str, Exception] | None = None
        self.hang = False

    async def begin_transaction(self) -> None:
        self.calls.append(("begin",))

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future:
        self.calls.append(("send", topic, partition, [value for _, value, *_ in batch.records]))
        future = asyncio.get_running_loop().create_future()
        if self.reject is not None and self.reject[0] == topic:
            future.set_exception(self.reject[1])
        elif not self.hang:
            future.set_result(None)
        return future

    async def send_offsets_to_transaction(self, offsets, group: str) -> None:
        self.calls.append(("offsets", offsets, group))

    async def commit_transaction(self) -> None:
        self.calls.append(("commit",))


@pytest.fixture
def frozen():
    driver = Driver(CountingProcessor(), partition=3)
    driver.send(frame(1, 0))
    whole = driver.commit()
    outputs = tuple(Output("calls.activity", b"k", b"%d" % n, n) for n in range(7))
    return dataclasses.replace(whole, outputs=(*outputs, Output("silence.dlq", None, b"bad", 8)))


async def test_everything_goes_into_one_transaction_in_the_order_of_the_steps(frozen) -> None:
    producer, steps = Producer(), []
    await Checkpoint(APPLICATION, TP, producer).commit(frozen, 5, steps.append)
    assert steps == ["begin", "outputs", "state", "await", "offsets", "commit"]
    assert producer.calls == [
        ("begin",),
        ("send", "replay.x.calls.activity", 3, [b"0", b"1", b"2"]),
        ("send", "replay.x.calls.activity", 3, [b"3", b"4", b"5"]),
        ("send", "replay.x.calls.activity", 3, [b"6"]),
        ("send", "replay.x.silence.dlq", 3, [b"bad"]),
        ("send", "replay.x.silence.changelog", 3, [frozen.state_value]),
        ("offsets", {TP: frozen.entry.position}, "replay.x.silence"),
        ("commit",),
    ]


@pytest.mark.parametrize("topic", ["replay.x.calls.activity", "replay.x.silence.dlq", "replay.x.silence.changelog"])
async def test_one_refused_batch_is_noticed_and_nothing_is_committed(frozen, topic: str) -> None:
    producer = Producer()
    producer.reject = (topic, InvalidRecord("refused"))
    with pytest.raises(InvalidRecord):
        await Checkpoint(APPLICATION, TP, producer).commit(frozen, 5)
    assert ("commit",) not in producer.calls


async def test_a_commit_that_is_not_answered_ends_at_its_deadline(frozen) -> None:
    producer = Producer()
    producer.hang = True
    with pytest.raises(Unavailable):
        await Checkpoint(APPLICATION, TP, producer).commit(frozen, 0.01)


async def test_a_state_beyond_the_limit_never_begins_a_transaction(frozen, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "MAX_STATE_BYTES", 1)
    producer = Producer()
    with pytest.raises(StateTooLarge, match="the limit is 1"):
        await Checkpoint(APPLICATION, TP, producer).commit(frozen, 5)
    assert producer.calls == []


async def test_a_producer_in_a_state_it_cannot_leave_counts_as_fenced(frozen) -> None:
    class Dead(Producer):
        async def begin_transaction(self) -> None:
            raise AssertionError

    with pytest.raises(Fenced), translated():
        await Checkpoint(APPLICATION, TP, Dead()).commit(frozen, 5)


def test_names_begin_with_the_prefix_so_that_a_replay_touches_nothing_live() -> None:
    live = Application("silence")
    assert live.application_id == "silence"
    assert live.changelog_topic == "silence.changelog"
    assert live.transactional_id("calls.audio", 3) == "silence.calls.audio.3"
    assert APPLICATION.application_id == "replay.x.silence"
    assert APPLICATION.changelog_topic == "replay.x.silence.changelog"
    assert APPLICATION.transactional_id("calls.audio", 3) == "replay.x.silence.calls.audio.3"
    assert changelog_key("calls.audio", 3) == b"calls.audio/3"
