"""A table shared by the members of a group, on a real broker."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from runtime.config import KafkaSettings
from runtime.ending import _end
from runtime.group_table import GroupTable, TableOptions
from runtime.kafka import NewTopic, start_admin, start_producer
from runtime.table_rows import Row

pytestmark = pytest.mark.kafka

PARTITIONS = 4


class Seen:
    """Keeps what a member holds, and how often each key began and ended there."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}
        self.took_keys: list[bytes] = []
        self.revoked_keys: list[bytes] = []
        self.reasons: list[tuple[bool, str]] = []

    async def took(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.took_keys.append(row.key)
            await self.changed(row)

    async def changed(self, row: Row) -> None:
        if row.value is None:
            self.rows.pop(row.key, None)
        else:
            self.rows[row.key] = row.value

    async def revoked(self, keys: Sequence[bytes]) -> None:
        self.revoked_keys += keys
        for key in keys:
            del self.rows[key]


class Table:
    """A topic of its own, and members of its group."""

    def __init__(self, kafka: str) -> None:
        self.topic = f"table.{uuid.uuid4().hex}"
        self.kafka = KafkaSettings(bootstrap_servers=kafka)
        self.members: list[GroupTable] = []

    async def create(self) -> None:
        admin = await start_admin(self.kafka, client_id="test")
        await admin.create_topics([NewTopic(self.topic, PARTITIONS, 1, topic_configs={"cleanup.policy": "compact"})])
        await admin.close()

    async def delete(self) -> None:
        admin = await start_admin(self.kafka, client_id="test")
        await admin.delete_topics([self.topic])
        await admin.close()

    async def write(self, **values: bytes | None) -> None:
        """Write keys like `p2_name`: the digit is the partition."""
        producer = await start_producer(self.kafka, client_id="test")
        for key, value in values.items():
            await producer.send_and_wait(self.topic, value, key=key.encode(), partition=int(key[1]))
        await producer.stop()

    @asynccontextmanager
    async def member(self, session_timeout_ms: int = 6_000, bootstrap: str | None = None) -> AsyncIterator[Seen]:
        seen, stopping = Seen(), asyncio.Event()
        kafka = KafkaSettings(bootstrap_servers=bootstrap) if bootstrap else self.kafka
        options = TableOptions(self.topic, self.topic, session_timeout_ms)
        table = GroupTable(kafka, options, seen, lambda ok, why: seen.reasons.append((ok, why)))
        self.members.append(table)
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(table.run(stopping))
            yield seen
            stopping.set()


async def until(condition, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def everything(*members: Seen) -> dict[bytes, bytes | None]:
    found = [item for seen in members for item in seen.rows.items()]
    assert len(found) == len(dict(found)), "a key is held twice"
    return dict(found)


async def test_a_member_holds_the_newest_values_and_follows_what_comes(kafka):
    table = Table(kafka)
    await table.create()
    await table.write(p0_a=b"1", p1_b=b"1", p2_c=b"1")
    await table.write(p0_a=b"2", p1_b=None)
    async with table.member() as seen:
        await until(lambda: seen.rows == {b"p0_a": b"2", b"p2_c": b"1"})
        assert b"p1_b" not in seen.took_keys
        await table.write(p3_d=b"1", p2_c=None)
        await until(lambda: seen.rows == {b"p0_a": b"2", b"p3_d": b"1"})
    assert seen.reasons == [(True, "")]
    assert seen.revoked_keys == []


async def test_a_join_moves_only_what_it_must_and_a_leave_gives_it_back(kafka):
    table = Table(kafka)
    await table.create()
    await table.write(p0_a=b"1", p1_b=b"1", p1_c=b"1")
    async with table.member() as first:
        await until(lambda: len(first.rows) == 3)
        async with table.member() as second:
            await until(lambda: len(table.members[1].partitions) == 2)
            # the two empty partitions moved
            assert first.revoked_keys == []
            assert table.members[1].partitions == (2, 3)
            await table.write(p2_d=b"1", p0_e=b"1")
            await until(lambda: len(everything(first, second)) == 5)
            assert second.rows == {b"p2_d": b"1"}
        await until(lambda: len(first.rows) == 5)
        assert first.took_keys[-1] == b"p2_d"
        assert first.revoked_keys == []


async def test_two_calls_are_shared_between_two_members_and_each_is_held_once(kafka):
    table = Table(kafka)
    await table.create()
    await table.write(p0_a=b"1", p1_b=b"1", p2_c=b"1", p3_d=b"1")
    async with table.member() as first:
        await until(lambda: len(first.rows) == 4)
        async with table.member() as second:
            await until(lambda: len(second.rows) == 2 and len(first.rows) == 2)
            assert sorted(first.revoked_keys) == sorted(second.rows)
            assert len(everything(first, second)) == 4


async def test_a_missing_topic_is_waited_for_and_named(kafka):
    table = Table(kafka)
    async with table.member() as seen:
        await until(lambda: bool(seen.reasons))
        assert "topic is missing" in seen.reasons[0][1]
        await table.create()
        await table.write(p0_a=b"1")
        await until(lambda: seen.rows == {b"p0_a": b"1"})
    assert seen.reasons[-1] == (True, "")


async def test_a_dead_coordination_is_replaced_and_what_is_held_stays_held(kafka):
    table = Table(kafka)
    await table.create()
    await table.write(p0_a=b"1")
    async with table.member() as seen:
        await until(lambda: bool(seen.rows))
        await _end(table.members[0]._consumer._coordinator._coordination_task)
        await until(lambda: seen.reasons[-1] == (True, "") and len(seen.reasons) == 3)
        await table.write(p0_a=b"2")
        await until(lambda: seen.rows == {b"p0_a": b"2"})
    assert seen.revoked_keys == []


async def test_while_no_broker_answers_what_is_held_stays_held(kafka, monkeypatch):
    table = Table(kafka)
    await table.create()
    await table.write(p0_a=b"1")
    async with table.member() as seen:
        await until(lambda: bool(seen.rows))
        monkeypatch.setattr(table.members[0], "_kafka", KafkaSettings(bootstrap_servers="127.0.0.1:1"))
        await _end(table.members[0]._consumer._coordinator._coordination_task)
        await until(lambda: sum(not ok for ok, _ in seen.reasons) >= 3)
        assert seen.rows == {b"p0_a": b"1"}
        monkeypatch.setattr(table.members[0], "_kafka", table.kafka)
        await until(lambda: seen.reasons[-1] == (True, ""))
        await table.write(p1_b=b"1")
        await until(lambda: len(seen.rows) == 2)
    assert seen.revoked_keys == []


async def test_of_a_topic_that_is_away_what_is_held_stays_held_and_only_what_it_says_anew_counts(kafka):
    table = Table(kafka)
    await table.create()
    await table.write(p0_a=b"1", p0_b=b"1", p3_c=b"1")
    async with table.member() as first, table.member() as second:
        await until(lambda: len(table.members) == 2 and all(len(one.partitions) == 2 for one in table.members))
        await until(lambda: len(everything(first, second)) == 3)
        for seen in (first, second):
            seen.revoked_keys.clear()
        await table.delete()
        await until(lambda: all("topic is missing" in seen.reasons[-1][1] for seen in (first, second)), 45)
        assert len(everything(first, second)) == 3
        assert (first.revoked_keys, second.revoked_keys) == ([], [])
        await table.create()
        await table.write(p0_a=b"2", p3_d=b"2")
        await until(lambda: {**first.rows, **second.rows} == {b"p0_a": b"2", b"p3_d": b"2"}, 30)


async def test_a_topic_that_is_made_anew_at_once_is_read_from_its_beginning(kafka):
    table = Table(kafka)
    await table.create()
    await table.write(p0_a=b"1", p1_b=b"1")
    async with table.member() as seen:
        await until(lambda: len(seen.rows) == 2)
        await table.delete()
        await table.create()
        await table.write(p0_x=b"2", p1_y=b"2")
        await until(lambda: seen.rows == {b"p0_x": b"2", b"p1_y": b"2"}, 30)
