import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from uuid import uuid4

import pytest

from audio.frames import decode
from ingest.identity import Lineage
from ingest.protocol import AudioReceived, SessionClosed, SessionOpened
from ingest.roll import Roll
from ingest.sequencer import Encoding, Moment, Sequencer
from ingest.spool import keeper as keeping
from ingest.spool import recovery as module
from ingest.spool.keeper import Keeper
from ingest.spool.recovery import Recovery
from runtime import metrics
from runtime.clock import ManualClock
from runtime.errors import Unavailable
from runtime.log import get_logger
from schemas.codec import SchemaStore
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import Channels, Codec, FrameKind, Reason, Source
from tests.ingest.spool.bridged import AUDIO, EVENTS, Bridged, Broker
from tests.ingest.test_outlet import until

STORE = SchemaStore()
ENCODING = Encoding(STORE)
LOG = get_logger("ingest")


class Registry:
    async def resolve(self, ids, store):
        """Know nothing more."""


class Life:
    """One process: an outlet over a spool, its journal, a call that speaks, and the recovery of what was left."""

    def __init__(self, path, broker: Broker) -> None:
        self.use = Bridged(path, broker)
        self.roll = Roll()
        self.keeper = Keeper(self.use.spool, self.roll, self.use.outlet, ManualClock(), LOG)
        kafka = SimpleNamespace(topic_prefix="")
        self.service = SimpleNamespace(
            settings=SimpleNamespace(kafka=kafka),
            store=STORE,
            registry=Registry(),
            clock=ManualClock(),
            log=LOG,
        )
        self.recovery = Recovery(self.service, self.use.spool, self.use.outlet, ENCODING)
        self.sequencer = Sequencer(ENCODING, uuid4, Lineage(), self.roll)

    def say(self, fact) -> None:
        self.use.outlet.put(self.sequencer.take(fact, Moment(1.0, 1.0)))

    def open(self, call: str) -> None:
        info = SessionInfo(conversation_id=call)
        self.say(SessionOpened(call, info, Source.AUDIOHOOK, 8000, Codec.PCMU, Channels.EXTERNAL))

    def speak(self, call: str, number: int) -> None:
        payload = number.to_bytes(2, "big") * 400
        self.say(AudioReceived(call, payload, Codec.PCMU, Channels.EXTERNAL, 8000, number * 800, 800))

    @asynccontextmanager
    async def lived(self, *, killed: bool = False):
        """Run; `killed` leaves everything as it is at that moment, as SIGKILL does."""
        tasks = [asyncio.create_task(one) for one in (self.use.outlet.run(), self.keeper.run())]  # noqa: TID251
        try:
            yield self
        finally:
            if not killed:
                self.use.outlet.close(5)
                await tasks[0]
                self.keeper.stop()
                await tasks[1]
                await self.keeper.end()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.use.spool.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(keeping, "_SECOND_S", 0.03)
    monkeypatch.setattr(keeping, "_GATHER_S", 0.001)
    monkeypatch.setattr(module, "_TURN_S", 0.005)
    monkeypatch.setattr(module, "_RETRY_S", 0.01)


@pytest.fixture
def broker(monkeypatch):
    """A broker whose partitions a recovery can read."""
    broker = Broker()
    broker.refusals = 0

    async def read_partitions(kafka, starts, ended_s):
        if broker.refusals:
            broker.refusals -= 1
            message = "not now"
            raise Unavailable(message)
        for topic, partition in starts:
            records = broker.log.get((topic, partition), [])
            yield topic, [SimpleNamespace(key=key, value=value) for key, value in records]

    monkeypatch.setattr(module, "read_partitions", read_partitions)
    return broker


def story(broker: Broker, call: str) -> tuple[list[str], list[int], list[int]]:
    """Marks, frame numbers and sequences of a call as stored, ticks apart."""
    values = [value for key, value in stored(broker, AUDIO) if key == call.encode()]
    found = decode(values, STORE)
    kinds = [list(FrameKind)[code].value for code in found.kind]
    audio = [int.from_bytes(found.payload(row)[:2], "big") for row, kind in enumerate(kinds) if kind == "AUDIO"]
    return [kind for kind in kinds if kind != "AUDIO"], audio, found.sequence.tolist()


def stored(broker: Broker, topic: str) -> list[tuple[bytes | None, bytes]]:
    return [record for (name, _), records in sorted(broker.log.items()) if name == topic for record in records]


async def outage(life: Life, broker: Broker, *, calls: int = 4, frames: int = 30) -> None:
    """Calls that open while Kafka answers and speak on while it does not, all on disk in the end."""
    for call in range(calls):
        life.open(f"call {call}")
        life.speak(f"call {call}", 0)
    await until(lambda: life.use.outlet._lanes and not life.use.outlet.unacknowledged)
    await until(lambda: all(kept.mark.sequence for kept in life.keeper._kept.values()))
    broker.answering = False
    for number in range(1, frames):
        for call in range(calls):
            life.speak(f"call {call}", number)
        if number == 5:
            await until(lambda: broker.pending)
            life.use.age()
    await until(lambda: not life.use.outlet.at_risk)


async def test_after_a_crash_what_was_spooled_is_appended_and_open_sessions_are_closed(tmp_path, broker):
    first = Life(tmp_path, broker)
    async with first.lived(killed=True):
        await outage(first, broker)
        first.speak("call 0", 30)  # the last second: not on disk
        lost = metrics.INGEST_SPOOL_LOST_SESSIONS._value.get()
    broker.answering = True
    second = Life(tmp_path, broker)
    async with second.lived():
        recovering = asyncio.create_task(second.recovery.run())  # noqa: TID251
        await asyncio.sleep(0)
        await until(lambda: second.recovery.under_way)
        second.open("new call")
        await recovering
        assert not second.recovery.under_way
        assert not list(tmp_path.glob("segment-*"))
    assert metrics.INGEST_SPOOL_LOST_SESSIONS._value.get() == lost + 4
    for call in range(4):
        marks, audio, sequences = story(broker, f"call {call}")
        assert marks == ["OPENED", "GAP", "CLOSED"]
        assert audio == list(range(30))
        assert sequences == list(range(33))
    assert story(broker, "new call")[0] == ["OPENED"]


async def test_a_recovery_that_is_killed_is_done_by_the_next_process_and_nothing_stands_twice_or_out_of_order(
    tmp_path, broker
):
    first = Life(tmp_path, broker)
    async with first.lived(killed=True):
        await outage(first, broker)
    second = Life(tmp_path, broker)
    broker.batch_limit = 5
    async with second.lived(killed=True):
        recovering = asyncio.create_task(second.recovery.run())  # noqa: TID251
        await until(lambda: second.use.outlet.unacknowledged > 40)
        broker.answer()
        await asyncio.sleep(0.01)
        recovering.cancel()
        await asyncio.wait({recovering})
    broker.answering = True
    third = Life(tmp_path, broker)
    broker.refusals = 2
    async with third.lived():
        await third.recovery.run()
    for call in range(4):
        marks, audio, sequences = story(broker, f"call {call}")
        assert marks == ["OPENED", "GAP", "CLOSED"]
        assert audio == list(range(30))
        assert sequences == list(range(33))


async def test_an_orderly_end_without_kafka_is_finished_by_the_next_process_with_its_own_words(tmp_path, broker):
    first = Life(tmp_path, broker)
    async with first.lived(killed=True):
        await outage(first, broker, calls=1)
        first.say(SessionClosed("call 0", Reason.DRAIN))
        first.use.outlet.close(0.01)
        await until(lambda: not first.use.outlet.at_risk)
    broker.answering = True
    second = Life(tmp_path, broker)
    async with second.lived():
        await second.recovery.run()
    marks, audio, sequences = story(broker, "call 0")
    assert (marks, audio, sequences) == (["OPENED", "CLOSED"], list(range(30)), list(range(32)))


async def test_what_a_process_spooled_that_never_saw_kafka_is_appended_too(tmp_path, broker):
    broker.reachable = False
    first = Life(tmp_path, broker)
    async with first.lived(killed=True):
        first.open("call 0")
        for number in range(10):
            first.speak("call 0", number)
        first.use.age()
        await until(lambda: first.use.spool.records and first.keeper._file)
    second = Life(tmp_path, broker)
    async with second.lived():
        recovering = asyncio.create_task(second.recovery.run())  # noqa: TID251
        await until(lambda: second.recovery.under_way)
        second.open("call 1")
        broker.reachable = True
        await recovering
    assert story(broker, "call 0") == (["OPENED", "GAP", "CLOSED"], list(range(10)), list(range(13)))
    assert story(broker, "call 1")[0] == ["OPENED"]


async def test_a_damaged_block_and_a_foreign_file_are_set_aside_and_all_else_is_appended(tmp_path, broker):
    first = Life(tmp_path, broker)
    async with first.lived(killed=True):
        await outage(first, broker, calls=1)
        for number in range(30, 40):
            first.speak("call 0", number)
        await until(lambda: not first.use.outlet.at_risk)
        lane = next(lane for lane in first.use.outlet._all_lanes() if lane.blocks and lane.topic == AUDIO)
        place = lane.blocks[0].place
    path = tmp_path / f"segment-{place.segment:08}.spool"
    data = bytearray(path.read_bytes())
    data[place.offset + 50] ^= 1
    path.write_bytes(bytes(data) + b"torn")
    (tmp_path / "segment-00000077.spool").write_bytes(b"not one of ours")
    broker.answering = True
    second = Life(tmp_path, broker)
    async with second.lived():
        await second.recovery.run()
    marks, audio, sequences = story(broker, "call 0")
    assert marks == ["OPENED", "GAP", "CLOSED"]
    assert audio == sorted(set(audio))
    assert len(audio) < 40
    assert audio[-10:] == list(range(30, 40))
    assert sequences[-1] == 42
    aside = {one.name[:16]: one.read_bytes() for one in (tmp_path / "aside").iterdir()}
    assert aside["segment-00000077"] == b"not one of ours"
    assert aside[path.stem] == bytes(data[place.offset : place.offset + place.length])


async def test_without_anything_left_there_is_nothing_to_wait_for(tmp_path, broker):
    broker.reachable = False
    life = Life(tmp_path, broker)
    await life.recovery.run()
    assert not life.recovery.under_way
    await life.use.spool.close()


async def test_every_event_of_the_calls_is_there_once_in_order(tmp_path, broker):
    first = Life(tmp_path, broker)
    async with first.lived(killed=True):
        await outage(first, broker)
    broker.answering = True
    second = Life(tmp_path, broker)
    async with second.lived():
        await second.recovery.run()
    events = [STORE.decode(value, CallEvent) for _, value in stored(broker, EVENTS)]
    for call in range(4):
        own = [(one.kind.value, one.event_counter) for one in events if one.conversation_id == f"call {call}"]
        assert own == [("OPENED", 0), ("GAP", 1), ("CLOSED", 2)]
