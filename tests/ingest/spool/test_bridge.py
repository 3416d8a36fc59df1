import asyncio
import random

import pytest

from ingest.outlet import _STILL_S
from runtime import metrics
from tests.ingest.spool.bridged import AUDIO, EVENTS, Bridged, Broker, left
from tests.ingest.test_outlet import record, until


class Selective(Broker):
    """A broker some of whose partitions do not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck: set[tuple[str, int]] = set()

    def answer(self) -> None:
        held = [one for one in self.pending if one[1] in self.stuck]
        self.pending = [one for one in self.pending if one[1] not in self.stuck]
        super().answer()
        self.pending += held


def numbers(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def value(of: str, state: str = "") -> float:
    gauge = getattr(metrics, of)
    return (gauge.labels(state) if state else gauge)._value.get()


async def test_what_waits_for_a_second_goes_to_disk_memory_is_freed_and_everything_arrives_in_order(tmp_path):
    use = Bridged(tmp_path)
    outlet = use.outlet
    async with use.running():
        use.broker.answering = False
        outlet.put([record(0)])
        await until(lambda: use.broker.pending)
        outlet.put([record(number, size=1000) for number in range(1, 100)])
        before_bytes = outlet.memory_bytes
        use.age()
        await until(lambda: use.spool.records == 100)
        # of what is under way a copy stands on disk, so a crash loses nothing
        assert outlet.memory_bytes < 300 < before_bytes
        assert outlet.at_risk == 0
        assert value("INGEST_SPOOL_STATE", "active") == 1
        outlet.put([record(number) for number in range(100, 150)])
        await until(lambda: use.spool.records == 150)
        assert outlet.unacknowledged == 150
        assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("segment-*")} == {0o600}
        use.broker.answering = True
        use.broker.answer()
        await until(lambda: not outlet.unacknowledged)
        assert not use.spooling
        outlet.put([record(150)])
        await until(lambda: not outlet.unacknowledged)
        await until(lambda: not use.spool.folder.used_bytes)
    assert [one.rstrip(b"\0") for one in use.broker.values()] == numbers(151)
    assert not list(tmp_path.glob("*.spool"))
    assert use.spool.records == 0
    assert outlet.memory_bytes == 0


async def test_nothing_overtakes_anything_of_its_key_however_often_kafka_comes_and_goes(tmp_path):
    draw = random.Random(5)
    use = Bridged(tmp_path)
    use.broker.batch_limit = 7
    keys = [b"a", b"b", b"c", b"d"]
    put = dict.fromkeys(keys, 0)
    async with use.running():
        for turn in range(60):
            if turn % 6 == 0:
                use.broker.answering = not use.broker.answering
                use.broker.answer() if use.broker.answering else None
            if turn % 9 == 5:
                use.broker.failures = [draw.choice([RuntimeError("fatal"), ConnectionError("gone")])]
            for _ in range(draw.randrange(30)):
                key = draw.choice(keys)
                use.outlet.put([record(put[key], key, size=200)])
                put[key] += 1
            use.clock.advance(draw.choice([0, 0.4, 1.5]))
            await asyncio.sleep(draw.choice([0, 0.005, 0.03]))
        use.broker.answering = True
        use.broker.answer()
        await until(lambda: not use.outlet.unacknowledged)
    got: dict[bytes, list[int]] = {key: [] for key in keys}
    for records in use.broker.log.values():
        for key, text in records:
            got[key].append(int(text.rstrip(b"\0")))
    assert got == {key: list(range(count)) for key, count in put.items()}
    assert use.spool._number > 20


async def test_without_any_broker_records_wait_on_disk_until_their_partitions_are_known(tmp_path):
    use = Bridged(tmp_path)
    use.broker.reachable = False
    async with use.running():
        use.outlet.put([record(number, b"a") for number in range(40)])
        use.outlet.put([record(number, b"b", EVENTS) for number in range(40)])
        use.age()
        await until(lambda: use.spool.records == 80)
        assert use.outlet.memory_bytes == 0
        use.outlet.put([record(40, b"a")])
        use.broker.reachable = True
        await until(lambda: use.broker.connections)
        use.outlet.put([record(41, b"a"), record(40, b"b", EVENTS)])
        await until(lambda: not use.outlet.unacknowledged)
        use.outlet.put([record(42, b"a")])
    assert use.broker.values(AUDIO) == numbers(43)
    assert use.broker.values(EVENTS) == numbers(41)


async def test_new_records_do_not_pass_those_that_came_before_the_partitions_were_known(tmp_path):
    use = Bridged(tmp_path)
    use.broker.reachable = use.broker.answering = False
    use.broker.batch_limit = 3
    async with use.running():
        for first in range(0, 100, 10):
            use.outlet.put([record(number, size=3000) for number in range(first, first + 10)])
            use.age()
            await until(lambda first=first: use.spool.records == first + 10)
        use.broker.reachable = True
        await until(lambda: use.broker.pending)
        assert use.outlet._hall.blocks
        use.outlet.put([record(100), record(101)])
        use.broker.answering = True
        use.broker.answer()
        await until(lambda: not use.outlet.unacknowledged)
    assert [one.rstrip(b"\0") for one in use.broker.values()] == numbers(102)


async def test_what_kafka_takes_while_its_copy_is_written_is_needed_no_more(tmp_path):
    use = Bridged(tmp_path)
    async with use.running():
        use.broker.answering = False
        use.outlet.put([record(number) for number in range(10)])
        await until(lambda: use.broker.pending)
        use.folder.gate.clear()
        use.age()
        await until(lambda: use.folder.begun)
        use.broker.answering = True
        use.broker.answer()
        await until(lambda: len(use.broker.values()) == 10)
        use.folder.gate.set()
        await until(lambda: not use.outlet.unacknowledged)
        await until(lambda: not use.spool.folder.used_bytes)
    assert use.spool.records == 0


async def test_what_came_during_a_write_that_failed_stands_behind_what_was_to_be_written(tmp_path):
    use = Bridged(tmp_path)
    async with use.running():
        use.broker.answering = False
        use.outlet.put([record(0)])
        await until(lambda: use.broker.pending)
        use.outlet.put([record(number) for number in range(1, 10)])
        use.folder.gate.clear()
        use.folder.failing = True
        use.age()
        await until(lambda: use.folder.begun)
        use.outlet.put([record(number) for number in range(10, 20)])
        use.folder.gate.set()
        await until(lambda: value("INGEST_SPOOL_STATE", "failing") == 1)
        use.broker.answering = True
        use.broker.answer()
        await until(lambda: not use.outlet.unacknowledged)
    assert use.broker.values() == numbers(20)


async def test_a_partition_that_does_not_answer_holds_up_no_other(tmp_path):
    broker = Selective()
    use = Bridged(tmp_path, broker)
    async with use.running():
        await until(lambda: use.outlet._lanes)
        names = {use.outlet.partition(AUDIO, key): key for key in (b"%d" % n for n in range(20))}
        one, other = names[0], names[1]
        broker.stuck = {(AUDIO, 0)}
        use.outlet.put([record(number, one, size=2000) for number in range(50)])
        await until(lambda: broker.pending)
        use.age()
        await until(lambda: use.spooling == 1)
        use.outlet.put([record(number, other) for number in range(50)])
        use.outlet.put([record(number, one, size=2000) for number in range(50, 99)])
        await until(lambda: len(broker.log.get((AUDIO, 1), [])) == 50)
        assert broker.log.get((AUDIO, 0)) is None
        broker.stuck = set()
        broker.answer()
    assert [text.rstrip(b"\0") for _, text in broker.log[AUDIO, 0]] == numbers(99)


async def test_while_the_disk_takes_nothing_records_wait_in_memory_in_their_place(tmp_path):
    use = Bridged(tmp_path)
    errors_before = metrics.INGEST_SPOOL_ERRORS.labels("write")._value.get()
    async with use.running():
        use.broker.answering = False
        use.outlet.put([record(number) for number in range(10)])
        await until(lambda: use.broker.pending)
        use.age()
        await until(lambda: use.spool.records == 10)
        use.folder.failing = True
        use.outlet.put([record(number) for number in range(10, 30)])
        await until(lambda: value("INGEST_SPOOL_STATE", "failing") == 1)
        assert metrics.INGEST_SPOOL_ERRORS.labels("write")._value.get() > errors_before
        assert use.outlet.at_risk == 20
        assert use.outlet.has_room
        use.broker.answering = True
        use.broker.answer()
        await until(lambda: not use.outlet.unacknowledged)
        assert use.broker.values() == numbers(30)
        await until(lambda: value("INGEST_SPOOL_STATE", "idle") == 1)


async def test_a_disk_that_works_again_takes_what_waited_for_it(tmp_path):
    use = Bridged(tmp_path)
    async with use.running():
        use.broker.answering = False
        use.folder.failing = True
        use.outlet.put([record(number) for number in range(30)])
        await until(lambda: use.broker.pending)
        use.age()
        await until(lambda: value("INGEST_SPOOL_STATE", "failing") == 1)
        use.folder.failing = False
        await until(lambda: use.spool.records == 30)
        assert use.outlet.at_risk == 0
        use.broker.answering = True
        use.broker.answer()
    assert use.broker.values() == numbers(30)


async def test_memory_is_the_limit_while_the_disk_fails(tmp_path):
    use = Bridged(tmp_path)
    async with use.running():
        use.broker.answering = False
        use.folder.failing = True
        use.outlet.put([record(number, size=2000) for number in range(400)])
        use.age()
        await until(lambda: value("INGEST_SPOOL_STATE", "failing") == 1)
        assert use.outlet.has_room
        use.outlet.put([record(number, size=2000) for number in range(400, 500)])
        assert not use.outlet.has_room
        use.broker.answering = True
        use.broker.answer()
        await until(lambda: use.outlet.has_room)


async def test_a_spool_that_is_nearly_full_says_so_and_a_full_one_has_no_room_for_audio(tmp_path):
    use = Bridged(tmp_path, max_bytes=2**16, segment_bytes=2**12)
    told: list[bool] = []
    use.spool.nearly_full.append(told.append)
    put = 0
    async with use.running():
        use.broker.answering = False
        use.outlet.put([record(0)])
        await until(lambda: use.broker.pending)
        use.age()
        await until(lambda: use.spooling)
        while use.outlet.has_room:
            put += 1
            use.outlet.put([record(put, size=500)])
            await until(lambda: not use.outlet.at_risk or not use.outlet.has_room)
        assert told == [True]
        assert 2**16 * 0.9 < use.folder.used_bytes <= 2**16
        # marks are taken all the same
        use.outlet.put([record(put + 1), record(put + 2)])
        use.broker.answering = True
        use.broker.answer()
        await until(lambda: use.outlet.has_room)
        await until(lambda: told == [True, False])
    assert [one.rstrip(b"\0") for one in use.broker.values()] == numbers(put + 3)


async def test_what_an_earlier_process_left_takes_room_on_disk_and_none_from_calls_that_kafka_takes(tmp_path):
    before = Bridged(tmp_path, max_bytes=2**16, segment_bytes=2**12)
    before.broker.reachable = False
    async with before.running(0.01):
        before.outlet.put([record(number, size=1040) for number in range(61)])
        before.age()
        await until(lambda: before.spool.records == 61)
    use = Bridged(tmp_path, max_bytes=2**16, segment_bytes=2**12)
    assert use.folder.used_bytes > 2**16 * 0.97
    async with use.running():
        await until(lambda: use.outlet._lanes)
        assert use.outlet.has_room
        use.broker.answering = False
        use.outlet.put([record(number, size=1000) for number in range(5)])
        await until(lambda: use.broker.pending)
        use.age()
        await until(lambda: not use.outlet.has_room)
        use.broker.answering = True
        use.broker.answer()
        await until(lambda: use.outlet.has_room)
        await until(lambda: value("INGEST_SPOOL_STATE", "idle") == 1)


async def test_a_block_that_is_damaged_on_disk_is_set_aside_and_the_others_arrive(tmp_path):
    use = Bridged(tmp_path)
    async with use.running():
        use.broker.answering = False
        use.outlet.put([record(0)])
        await until(lambda: use.broker.pending)
        use.age()
        await until(lambda: use.spool.records == 1)
        for number in (1, 2, 3):
            use.outlet.put([record(number)])
            await until(lambda number=number: use.spool.records == number + 1)
        lane = next(lane for lane in use.outlet._all_lanes() if lane.blocks)
        place = lane.blocks[1].place
        path = tmp_path / f"segment-{place.segment:08}.spool"
        data = bytearray(path.read_bytes())
        data[place.offset + place.length - 1] ^= 1
        path.write_bytes(bytes(data))
        use.broker.answering = True
        use.broker.answer()
        await until(lambda: not use.outlet.unacknowledged)
        tides = use.outlet.tides().values()
        assert sum(tide.landed for tide in tides) == sum(tide.taken for tide in tides) == 4
    assert use.broker.values() == [b"0", b"1", b"3"]
    aside = list((tmp_path / "aside").iterdir())
    assert [one.read_bytes() for one in aside] == [bytes(data[place.offset : place.offset + place.length])]
    assert use.spool.records == 0


@pytest.mark.parametrize("reachable", [True, False])
async def test_what_kafka_has_not_taken_at_the_end_is_on_disk_in_order(tmp_path, reachable):
    use = Bridged(tmp_path)
    use.broker.reachable = reachable
    use.broker.answering = False
    async with use.running(0.05):
        use.outlet.put([record(number) for number in range(20)])
        if reachable:
            await until(lambda: use.broker.pending)
            use.age()
            await until(lambda: use.spooling)
        use.outlet.put([record(number) for number in range(20, 30)])
    assert use.outlet.at_risk == 0
    assert use.outlet.unacknowledged == 30
    assert [value.lstrip(b"\0") for _, _, value in left(tmp_path)] == numbers(30)


@pytest.mark.parametrize("reachable", [True, False])
async def test_where_kafka_stands_still_the_end_comes_as_soon_as_everything_is_on_disk(tmp_path, reachable):
    use = Bridged(tmp_path)
    use.broker.reachable = reachable
    use.broker.answering = False
    async with asyncio.timeout(20):
        async with use.running(600):
            use.outlet.put([record(number) for number in range(20)])
            await until(lambda: use.broker.pending or not reachable)
            use.clock.advance(_STILL_S)
            use.outlet.put([record(number) for number in range(20, 30)])
    assert (use.outlet.at_risk, use.outlet.unacknowledged) == (0, 30)
    assert [value.lstrip(b"\0") for _, _, value in left(tmp_path)] == numbers(30)


async def test_the_end_waits_for_a_disk_that_takes_nothing_and_for_a_kafka_that_moves(tmp_path):
    use = Bridged(tmp_path)
    use.folder.failing = True
    use.broker.answering = False
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(use.outlet.run())
        use.outlet.put([record(0)])
        await until(lambda: use.broker.pending)
        use.clock.advance(_STILL_S)
        use.outlet.close(600)
        await until(lambda: use.folder.begun > 1)
        assert use.outlet.at_risk == 1
        assert not running.done()
        use.broker.answering = True
        use.broker.answer()
    assert use.outlet.unacknowledged == 0
    assert left(tmp_path) == []
    await use.spool.close()


async def test_a_tick_that_kafka_has_not_taken_at_the_end_is_no_record_lost(tmp_path):
    use = Bridged(tmp_path)
    use.broker.answering = False
    async with use.running(0.05):
        use.outlet.put([record(0)])
        await until(lambda: use.broker.pending)
        before = len(use.broker.pending)
        use.outlet.tick(lambda topic: b"tick")
        await until(lambda: len(use.broker.pending) > before)
    assert use.outlet.unacknowledged > 1
    assert use.outlet.at_risk == 0


async def test_a_tick_does_not_wait_behind_what_is_on_disk(tmp_path):
    broker = Selective()
    use = Bridged(tmp_path, broker)
    async with use.running():
        await until(lambda: use.outlet._lanes)
        broker.answering = False
        use.outlet.put([record(number) for number in range(30)])
        await until(lambda: broker.pending)
        use.age()
        await until(lambda: use.spool.records == 30)
        use.outlet.tick(lambda topic: b"tick")
        assert not any(lane.pending for lane in use.outlet._all_lanes())
        broker.answering = True
        broker.answer()
        await until(lambda: not use.outlet.unacknowledged)
    assert sum(key is None for records in broker.log.values() for key, _ in records) == 4


async def test_a_tide_says_what_was_taken_and_stored_and_nothing_while_records_wait_for_their_partitions(tmp_path):
    use = Bridged(tmp_path)
    use.broker.reachable = False
    async with use.running():
        use.outlet.put([record(0), record(1)])
        assert use.outlet.tide(AUDIO, use.outlet.partition(AUDIO, b"call")) is None
        use.age()
        await until(lambda: use.spool.records == 2)
        use.broker.reachable = True
        await until(lambda: not use.outlet.unacknowledged)
        tide = use.outlet.tide(AUDIO, use.outlet.partition(AUDIO, b"call"))
        assert (tide.taken, tide.landed) == (2, 2)
