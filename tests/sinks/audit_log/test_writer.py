"""The log on disk: exclusive objects, a head that may lag, one writer, a start that goes on where the log ends."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import obstore
import pytest
from obstore import exceptions

from callstream.audit_command import check
from runtime.clock import ManualClock
from runtime.errors import ConfigError, Fenced, Unavailable
from runtime.sink import SourcePartition
from schemas.symbols import CallEventKind
from sinks.audit_log.chain import object_name
from sinks.audit_log.verification import BrokenChain
from sinks.audit_log.writer import AuditLogSink, LogDamaged, Objects, Options, Outside
from tests.sinks.audit_log.logs import DIGESTER, EVENTS, STORE, event

PLACE = SourcePartition(EVENTS, 0)


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Setup:
    """One log on disk, and writers of it."""

    def __init__(self, folder: Path) -> None:
        self.log, self.heads = folder / "log", folder / "heads"
        self.clock = ManualClock()
        self.first_held = 0
        self.records = [Record(at, at, b"conversation", STORE.encode(event(at))) for at in range(20)]

    def writer(self, **options):
        stores = Outside(Objects(str(self.log), create=True), Objects(str(self.heads), create=True), self.held)
        chosen = Options(**{"batch_entries": 100, "marks_interval_s": 600, "dedup_window": 5, **options})
        return self.writer_of(stores, chosen)

    def writer_of(self, stores, chosen):
        return AuditLogSink(stores, STORE, DIGESTER, self.clock, options=chosen)

    async def held(self, partitions):
        return dict.fromkeys(partitions, self.first_held)

    async def started(self, **options):
        writer = self.writer(**options)
        await writer.marks([PLACE])
        return writer

    async def append(self, writer, start, stop):
        plan = writer.plan(PLACE, self.records[start:stop])
        await writer.write(plan.entries, {PLACE: stop})

    async def run(self, stop, **options):
        """Start, read from where the log says up to `stop`, end."""
        writer = self.writer(**options)
        start = (await writer.marks([PLACE])).get(PLACE, 0)
        await self.append(writer, start, stop)

    def offsets(self):
        lines = [json.loads(line) for path in sorted(self.log.iterdir()) for line in path.read_bytes().splitlines()]
        return [line["offset"] for line in lines if line["line"] == "entry"]

    async def verified(self):
        return (await check(str(self.log), str(self.heads))).entries


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


async def test_a_start_goes_on_where_the_log_ends_without_loss_or_repeat(setup):
    for stop in (3, 7, 7, 12):
        await setup.run(stop)
    assert setup.offsets() == list(range(12))
    assert await setup.verified() == 12


async def test_a_start_reads_the_ids_before_the_mark_again(setup):
    await setup.run(10)
    writer = setup.writer()
    assert await writer.marks([PLACE, SourcePartition(EVENTS, 1)]) == {PLACE: 5}
    setup.records[10] = setup.records[8]._replace(offset=10)
    await setup.append(writer, 5, 11)
    assert setup.offsets() == list(range(10))


async def test_a_start_reads_no_further_back_than_the_topic_holds(setup):
    await setup.run(10)
    setup.first_held = 8
    assert await setup.writer().marks([PLACE]) == {PLACE: 8}


@pytest.mark.parametrize("topic", [EVENTS, "calls.loss"])
async def test_records_that_were_deleted_unread_are_named_in_the_log(setup, topic):
    place = SourcePartition(topic, 0)
    await (await setup.started()).write((), {place: 1})
    setup.clock.advance(600)
    writer = await setup.started(marks_interval_s=0)
    await writer.write((), {place: 10})
    setup.first_held = 15
    writer = setup.writer()
    assert await writer.marks([place]) == {place: 15}
    record = setup.records[15] if topic == EVENTS else setup.records[15]._replace(value=b"garbage")
    gap, _ = writer.plan(place, [record]).entries
    assert (gap["line"], gap["offset"], gap["next_offset"]) == ("gap", 10, 15)


async def test_a_crash_between_object_and_head_leaves_a_log_that_is_verified_and_continued(setup):
    await setup.run(3)
    head = (setup.heads / "head.json").read_bytes()
    await setup.run(6)
    (setup.heads / "head.json").write_bytes(head)

    assert await setup.verified() == 6
    await setup.started()
    assert json.loads((setup.heads / "head.json").read_bytes())["positions"] == 8
    await setup.run(9)
    assert setup.offsets() == list(range(9))
    assert await setup.verified() == 9


async def test_of_two_writers_at_once_one_stops_and_the_log_stays_whole(setup):
    first, second = await setup.started(), await setup.started()
    await setup.append(first, 0, 3)
    with pytest.raises(Fenced, match="another audit log writes"):
        await setup.append(second, 0, 4)
    await setup.append(first, 3, 5)
    assert setup.offsets() == list(range(5))
    assert await setup.verified() == 5


async def test_a_writer_that_slept_while_another_took_over_stops(setup):
    sleeper = await setup.started()
    await setup.append(sleeper, 0, 3)
    await setup.run(6)
    with pytest.raises(Fenced):
        await setup.append(sleeper, 3, 6)
    assert await setup.verified() == 6


class LosesAnswers(Objects):
    """A store that does what it is asked, and whose answer then gets lost."""

    failures = 1

    async def create(self, name, data):
        created = await super().create(name, data)
        if self.failures:
            self.failures -= 1
            raise Unavailable("no answer")  # noqa: TRY003
        return created


async def test_an_object_whose_answer_was_lost_is_recognised_as_our_own(setup):
    stores = Outside(LosesAnswers(str(setup.log), create=True), Objects(str(setup.heads), create=True), setup.held)
    writer = setup.writer_of(stores, Options(100, 600, 5))
    await writer.marks([PLACE])
    plan = writer.plan(PLACE, setup.records[:3])
    with pytest.raises(Unavailable):
        await writer.write(plan.entries, {PLACE: 3})
    setup.clock.advance(5)
    await writer.write(plan.entries, {PLACE: 3})
    await setup.append(writer, 3, 5)
    assert setup.offsets() == list(range(5))
    assert await setup.verified() == 5


class RefusesHeads(Objects):
    """A store of heads that is away for a while."""

    away = False

    async def replace(self, name, data):
        if self.away:
            raise Unavailable("away")
        await super().replace(name, data)


async def test_an_object_is_not_done_before_its_head_is(setup):
    heads = RefusesHeads(str(setup.heads), create=True)
    stores = Outside(Objects(str(setup.log), create=True), heads, setup.held)
    writer = setup.writer_of(stores, Options(2, 600, 5))
    await writer.marks([PLACE])
    heads.away = True
    plan = writer.plan(PLACE, setup.records[:5])
    with pytest.raises(Unavailable):
        await writer.write(plan.entries, {PLACE: 5})
    assert setup.offsets() == [0, 1]
    heads.away = False
    await writer.write(plan.entries, {PLACE: 5})
    assert setup.offsets() == list(range(5))
    assert await setup.verified() == 5


async def test_ticks_alone_are_written_once_in_a_while(setup):
    tick = STORE.encode(event(-1, kind=CallEventKind.TICK))
    setup.records = [Record(at, at, None, tick) for at in range(20)]
    writer = await setup.started()
    await setup.append(writer, 0, 5)
    assert list(setup.log.iterdir()) == []
    setup.clock.advance(600)
    await setup.append(writer, 5, 9)
    setup.clock.advance(600)
    await setup.append(writer, 9, 9)
    (only,) = setup.log.iterdir()
    assert json.loads(only.read_bytes())["next_offsets"] == {EVENTS: {"0": 9}}
    assert await setup.verified() == 0


async def test_marks_that_were_not_written_go_with_the_next_entries(setup):
    writer = await setup.started()
    await writer.write((), {SourcePartition("calls.loss", 2): 7})
    await setup.append(writer, 0, 2)
    again = setup.writer()
    assert (await again.marks([SourcePartition("calls.loss", 2)])) == {SourcePartition("calls.loss", 2): 7}


async def test_a_log_without_its_end_is_not_continued(setup):
    await setup.run(3)
    await setup.run(6)
    (setup.log / object_name(4)).unlink()
    with pytest.raises(LogDamaged, match="ends"):
        await setup.started()


async def test_a_log_whose_newest_object_was_changed_is_not_continued(setup):
    await setup.run(3)
    path = setup.log / object_name(0)
    path.write_bytes(path.read_bytes().replace(b"OPENED", b"CLOSED", 1))
    with pytest.raises(LogDamaged, match="edit at position 0"):
        await setup.started()


async def test_a_log_with_a_hole_behind_its_head_is_not_continued(setup):
    await setup.run(3)
    head = (setup.heads / "head.json").read_bytes()
    await setup.run(6)
    await setup.run(9)
    (setup.heads / "head.json").write_bytes(head)
    (setup.log / object_name(4)).unlink()
    with pytest.raises(LogDamaged, match="behind its end"):
        await setup.started()


async def test_a_log_without_a_head_is_not_continued(setup):
    await setup.run(3)
    (setup.heads / "head.json").unlink()
    with pytest.raises(LogDamaged, match="no head"):
        await setup.started()


async def test_an_empty_log_has_a_head_from_its_first_start_on(setup):
    await setup.started()
    assert await setup.verified() == 0
    await setup.run(3)
    for path in setup.log.iterdir():
        path.unlink()
    with pytest.raises(BrokenChain, match="truncation"):
        await setup.verified()


async def test_a_bad_record_becomes_a_dead_letter_and_an_entry(setup):
    setup.records[1] = Record(1, 1, None, b"garbage")
    writer = await setup.started()
    plan = writer.plan(PLACE, setup.records[:3])
    assert [dead.offset for dead in plan.dead] == [1]
    assert len(plan.entries) == 3


async def test_a_store_that_does_not_answer_is_unavailable(setup, monkeypatch):
    def fail(*_args: object, **_options: object) -> None:
        raise exceptions.GenericError("no route\nDebug source: …")  # noqa: TRY003

    objects = Objects(str(setup.log), create=True)
    monkeypatch.setattr(obstore, "put", fail)
    monkeypatch.setattr(obstore, "get", fail)
    with pytest.raises(Unavailable, match=r"no route$"):
        await objects.create("a", b"")
    with pytest.raises(Unavailable):
        await objects.read("a")


async def test_a_store_that_refuses_us_is_a_matter_of_configuration(setup, monkeypatch):
    def refuse(*_args: object, **_options: object) -> None:
        raise exceptions.PermissionDeniedError("denied")

    objects = Objects(str(setup.log), create=True)
    monkeypatch.setattr(obstore, "put", refuse)
    with pytest.raises(ConfigError, match="denied"):
        await objects.replace("a", b"")


@pytest.mark.parametrize("url", ["ftp://host/x", "s3:///", "nonsense://x"])
def test_a_url_of_no_store_is_a_matter_of_configuration(url):
    with pytest.raises(ConfigError, match=url):
        Objects(url, create=True)


async def test_a_folder_may_be_named_by_a_url(tmp_path):
    objects = Objects((tmp_path / "a b").as_uri(), create=True)
    assert await objects.create("x", b"1")
    assert not await objects.create("x", b"2")
    assert await objects.read("x") == b"1"
    assert await objects.read("y") is None
    assert (tmp_path / "a b" / "x").read_bytes() == b"1"


async def test_an_object_is_on_the_disk_before_it_counts_as_written(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(
        os,
        "fsync",
        lambda descriptor: synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink())) or real(descriptor),
    )
    await Objects(str(tmp_path), create=True).create("x", b"1")
    assert synced == [str(tmp_path / "x"), str(tmp_path)]
