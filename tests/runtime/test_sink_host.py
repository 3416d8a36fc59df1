import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import pytest

from runtime.clock import ManualClock
from runtime.config import RegistrySettings, Settings
from runtime.errors import ConfigError, Unavailable
from runtime.log import get_logger
from runtime.membership import GroupLost
from runtime.registry import Registry
from runtime.service import Service
from runtime.sink import DeadRecord, Membership, Plan, SinkOptions, SourcePartition
from runtime.sink_host import SinkHost
from runtime.testing import LogRecord
from schemas.codec import framing

ZERO, ONE = SourcePartition("calls.audio", 0), SourcePartition("calls.audio", 1)
UNKNOWN_ID = 77


def log_of(count, first=0):
    return [LogRecord(offset, offset, b"key", b"value %d" % offset) for offset in range(first, first + count)]


class ListFeed:
    """Partitions as lists; delivers a few records a poll, and knows what was asked of it."""

    def __init__(self, **logs):
        self.logs = {ZERO: [], ONE: [], **{ZERO if name == "zero" else ONE: log for name, log in logs.items()}}
        self.position: dict[SourcePartition, int] = {}
        self.paused: set[SourcePartition] = set()
        self.polls = 0
        self.pauses = 0
        self.dead: list[tuple[int, str]] = []
        self.commits: list[dict] = []
        self.unavailable = 0
        self.refuse_dead = 0

    async def poll(self):
        await asyncio.sleep(0.001)
        self.polls += 1
        if self.unavailable:
            self.unavailable -= 1
            message = "no broker"
            raise Unavailable(message)
        found = {}
        for partition, position in self.position.items():
            if partition not in self.paused:
                found[partition] = [record for record in self.logs[partition] if record.offset >= position][:5]
                self.position[partition] = position + len(found[partition])
        return {partition: records for partition, records in found.items() if records}

    async def bounds(self, partitions):
        return {
            p: (self.logs[p][0].offset, self.logs[p][-1].offset + 1) if self.logs[p] else (0, 0) for p in partitions
        }

    def start(self, partition, offset):
        self.position[partition] = offset

    def pause(self, partitions):
        self.pauses += 1
        self.paused |= set(partitions)

    def resume(self, partitions):
        self.paused -= set(partitions)

    async def dead_letter(self, partition, record, dead):
        if self.refuse_dead:
            self.refuse_dead -= 1
            message = "no broker"
            raise Unavailable(message)
        self.dead.append((record.offset, dead.error))

    async def commit(self, marks):
        self.commits.append(marks)

    def behind(self, partition, offset):
        return sum(record.offset >= offset for record in self.logs[partition])


@dataclass
class ListSink:
    """Stores values in lists; fails and hangs when told to, and notices calls that overlap."""

    stored: list[bytes] = field(default_factory=list)
    mark: dict[SourcePartition, int] = field(default_factory=dict)
    failures: int = 0
    taken: int = 0
    attempts: list[tuple[bytes, ...]] = field(default_factory=list)
    held: set[SourcePartition] = field(default_factory=set)
    may_write: asyncio.Event = field(default_factory=asyncio.Event)
    writing: asyncio.Event = field(default_factory=asyncio.Event)
    busy: bool = False
    group = "test"

    def __post_init__(self):
        self.may_write.set()

    @contextmanager
    def alone(self):
        assert not self.busy, "the sink is called twice at a time"
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    async def marks(self, partitions):
        with self.alone():
            await asyncio.sleep(0)
            self.held |= set(partitions)
            if self.taken:
                self.taken -= 1
                message = "held by another process"
                raise Unavailable(message)
            return {partition: self.mark[partition] for partition in partitions if partition in self.mark}

    def plan(self, partition, records):
        assert partition in self.held
        dead = tuple(DeadRecord(record.offset, "bad") for record in records if record.value == b"garbage")
        bad = {item.offset for item in dead}
        return Plan(tuple(record.value for record in records if record.offset not in bad), dead)

    async def write(self, entries, marks):
        with self.alone():
            self.attempts.append(tuple(entries))
            self.writing.set()
            await self.may_write.wait()
            if self.failures:
                self.failures -= 1
                message = "the store is away"
                raise Unavailable(message, retry_after_s=0.001)
            self.stored += entries
            self.mark.update(marks)

    async def release(self, partitions):
        with self.alone():
            await asyncio.sleep(0)
            self.held -= set(partitions)


def service_of(registry=None):
    clock = ManualClock()
    return Service(
        "test", Settings(), clock, get_logger("test"), registry or Registry(RegistrySettings(url=None), clock)
    )


@asynccontextmanager
async def running(feed, sink, service=None, assigned=(ZERO,), **options):
    """A host at work; told to stop, and waited for, at the end."""
    service = service or service_of()
    chosen = {"topics": ("calls.audio",), "membership": Membership.GROUP, "interval_s": 0.002, **options}
    host = SinkHost(service, sink, SinkOptions(**chosen))
    host.assigned(assigned)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(host.run(feed))
        yield host
        service.stopping.set()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def values(count, first=0):
    return [b"value %d" % offset for offset in range(first, first + count)]


async def test_a_first_start_reads_from_the_earliest_record_and_stores_each_once_in_order():
    feed, sink = ListFeed(zero=log_of(12, first=40)), ListSink()
    async with running(feed, sink):
        await until(lambda: sink.mark == {ZERO: 52})
    assert sink.stored == values(12, first=40)
    assert sink.held == set()


async def test_it_goes_on_where_the_store_says():
    feed, sink = ListFeed(zero=log_of(12)), ListSink(mark={ZERO: 7})
    async with running(feed, sink):
        await until(lambda: sink.mark == {ZERO: 12})
    assert sink.stored == values(5, first=7)


@pytest.mark.parametrize(
    ("mark", "why"),
    [
        (30, r"calls\.audio/0: the input is gone by retention: .* offset 30, the log begins at 40; 10 records"),
        (60, r"calls\.audio/0: the store goes on at offset 60, the log ends at 52"),
    ],
)
async def test_a_mark_the_log_does_not_hold_is_a_stop_that_names_it(mark, why):
    feed, sink = ListFeed(zero=log_of(12, first=40)), ListSink(mark={ZERO: mark})
    with pytest.raises(ExceptionGroup) as caught:
        async with running(feed, sink):
            await asyncio.sleep(5)
    assert caught.group_contains(ConfigError, match=why)
    assert sink.stored == []


async def test_a_store_that_is_away_is_asked_again_with_the_same_entries_while_polling_goes_on():
    feed, sink = ListFeed(zero=log_of(100)), ListSink(failures=20)
    async with running(feed, sink):
        await until(lambda: len(sink.attempts) == 15)
        polls = feed.polls
        await until(lambda: feed.polls > polls)
        await until(lambda: sink.mark == {ZERO: 100})
    assert len(set(sink.attempts[:21])) == 1
    assert sink.stored == values(100)


async def test_what_waits_for_a_slow_store_is_bounded_and_nothing_is_dropped():
    feed, sink = ListFeed(zero=log_of(200)), ListSink()
    sink.may_write.clear()
    async with running(feed, sink, waiting_records=20):
        await sink.writing.wait()
        await until(lambda: feed.paused == {ZERO})
        read, polls = feed.position[ZERO], feed.polls
        await until(lambda: feed.polls > polls + 5)
        assert feed.position[ZERO] == read <= len(sink.attempts[0]) + 20 + 5
        sink.may_write.set()
        await until(lambda: sink.mark == {ZERO: 200})
    assert sink.stored == values(200)


async def test_only_what_is_read_and_not_stored_must_move_on_and_a_store_that_says_it_is_away_is_waited_for():
    feed, sink = ListFeed(zero=log_of(100)), ListSink()
    sink.may_write.clear()
    async with running(feed, sink) as host:
        await sink.writing.wait()
        before = host.pending()
        assert set(before) == {"polls", "writes"}
        await until(lambda: host.pending()["polls"] != before["polls"])
        assert host.pending()["writes"] == before["writes"]
        sink.failures = 10**9
        sink.may_write.set()
        await until(lambda: len(sink.attempts) > 2)
        assert set(host.pending()) == {"polls"}
        sink.failures = 0
        await until(lambda: sink.mark == {ZERO: 100})
        await until(lambda: set(host.pending()) == {"polls"})


async def test_a_lost_group_stores_what_was_read_and_then_ends_the_host_with_that_error():
    class Lost(ListFeed):
        async def poll(self):
            if self.polls >= 3 and self.position.get(ZERO) == 12:
                message = "the consumer has stopped fetching"
                raise GroupLost(message)
            return await super().poll()

    feed, sink = Lost(zero=log_of(12)), ListSink()
    with pytest.raises(ExceptionGroup) as caught:
        async with running(feed, sink):
            await asyncio.sleep(5)
    assert caught.group_contains(GroupLost, match="stopped fetching")
    assert sink.stored == values(12)
    assert sink.held == set()


async def test_what_waits_is_bounded_in_bytes_too():
    big = [LogRecord(offset, offset, None, bytes(1000)) for offset in range(30)]
    feed, sink = ListFeed(zero=big), ListSink()
    sink.may_write.clear()
    async with running(feed, sink, waiting_bytes=4000):
        await until(lambda: feed.paused == {ZERO})
        sink.may_write.set()
        await until(lambda: sink.mark == {ZERO: 30})
    assert len(sink.stored) == 30


async def test_a_revocation_waits_for_the_write_in_progress_and_for_the_release():
    feed, sink = ListFeed(zero=log_of(5)), ListSink()
    sink.may_write.clear()
    async with running(feed, sink) as host, asyncio.TaskGroup() as tasks:
        await sink.writing.wait()
        revoking = tasks.create_task(host.revoked())
        await asyncio.sleep(0.02)
        assert not revoking.done()
        sink.may_write.set()
        await revoking
        assert sink.held == set()
        assert sink.mark[ZERO] > 0


async def test_a_revocation_that_takes_too_long_lets_the_group_go_on():
    feed, sink = ListFeed(zero=log_of(5)), ListSink()
    sink.may_write.clear()
    async with running(feed, sink, revoke_budget_s=0.01) as host:
        await sink.writing.wait()
        await host.revoked()
        assert sink.held == {ZERO}
        sink.may_write.set()
        await until(lambda: sink.held == set())


async def test_a_write_that_is_tried_again_is_abandoned_when_its_partitions_go_and_read_again_when_they_return():
    feed, sink = ListFeed(zero=log_of(10)), ListSink(failures=10**6)
    async with running(feed, sink) as host:
        await until(lambda: len(sink.attempts) > 2)
        await host.revoked()
        assert (sink.held, sink.stored) == (set(), [])
        sink.failures = 0
        host.assigned([ZERO, ONE])
        await until(lambda: sink.mark.get(ZERO) == 10)
    assert sink.stored == values(10)


async def test_records_of_partitions_that_were_taken_away_are_not_stored():
    feed, sink = ListFeed(zero=log_of(10), one=log_of(10, first=100)), ListSink()
    async with running(feed, sink, assigned=(ZERO, ONE)) as host:
        await until(lambda: sink.mark == {ZERO: 10, ONE: 110})
        await host.revoked()
        host.assigned([ONE])
        feed.logs[ZERO] += log_of(5, first=10)
        feed.logs[ONE] += log_of(5, first=110)
        await until(lambda: sink.mark[ONE] == 115)
    assert sink.mark[ZERO] == 10
    assert sorted(sink.stored) == sorted(values(10) + values(15, first=100))


async def test_a_partition_another_process_still_holds_is_asked_for_again():
    feed, sink = ListFeed(zero=log_of(3)), ListSink(taken=3)
    async with running(feed, sink):
        await until(lambda: sink.mark == {ZERO: 3})
    assert sink.stored == values(3)


async def test_a_bad_record_is_a_dead_letter_once_and_the_next_one_goes_on():
    log = [*log_of(13), LogRecord(13, 13, b"key", b"garbage"), *log_of(6, first=14)]
    feed, sink = ListFeed(zero=log), ListSink(failures=5)
    feed.refuse_dead = 2
    async with running(feed, sink):
        await until(lambda: sink.mark == {ZERO: 20})
    assert feed.dead == [(13, "bad")]
    assert sink.stored == values(13) + values(6, first=14)


async def test_a_stop_writes_what_was_read_and_gives_the_partitions_back():
    feed, sink = ListFeed(zero=log_of(30)), ListSink()
    async with running(feed, sink, interval_s=60):
        await until(lambda: feed.position.get(ZERO) == 30)
        assert sink.stored == []
    assert sink.stored == values(30)
    assert sink.held == set()


async def test_a_stop_does_not_wait_for_a_store_that_is_away():
    feed, sink = ListFeed(zero=log_of(30)), ListSink(failures=10**6)
    async with running(feed, sink):
        await until(lambda: len(sink.attempts) > 2)
    assert (sink.stored, sink.mark, sink.held) == ([], {}, set())


async def test_an_unexpected_error_of_the_sink_ends_the_host():
    feed, sink = ListFeed(zero=log_of(3)), ListSink()

    async def broken(*_):
        message = "a bug"
        raise ZeroDivisionError(message)

    sink.write = broken
    with pytest.raises(ExceptionGroup) as caught:
        async with running(feed, sink):
            await asyncio.sleep(5)
    assert caught.group_contains(ZeroDivisionError)
    assert sink.held == set()


async def test_a_broker_that_does_not_answer_makes_it_not_ready_until_it_does():
    feed, sink, service = ListFeed(zero=log_of(3)), ListSink(), service_of()
    feed.unavailable = 1
    seen = []
    service.health.ready = lambda name, ok, why="": seen.append((name, ok))
    async with running(feed, sink, service):
        await until(lambda: sink.mark == {ZERO: 3})
    assert seen.index(("kafka", False)) < seen.index(("kafka", True))


async def test_unknown_schema_ids_are_asked_of_the_registry_before_the_records_are_planned():
    asked = []

    class Asked:
        async def resolve(self, ids, store):
            assert sink.attempts == []
            asked.append(set(ids))
            if len(asked) == 1:
                message = "no registry"
                raise Unavailable(message)

    feed = ListFeed(zero=[LogRecord(0, 0, None, framing(UNKNOWN_ID) + b"body")])
    sink = ListSink()
    async with running(feed, sink, service_of(Asked())):
        await until(lambda: sink.mark == {ZERO: 1})
    assert asked == [{UNKNOWN_ID}, {UNKNOWN_ID}]


async def test_offsets_are_told_to_tools_now_and_then():
    feed, sink, service = ListFeed(zero=log_of(3)), ListSink(), service_of()
    async with running(feed, sink, service):
        await until(lambda: sink.mark == {ZERO: 3})
        service.clock.advance(10)
        await until(lambda: feed.commits)
    assert feed.commits[-1] == {ZERO: 3}
