"""A member of a shared table while its requests go wrong on the wire: what it holds stays held until others have it."""

import asyncio
from dataclasses import replace

import pytest

from tests.faults.proxy import Act, Api, Fault, proxy_to
from tests.integration.test_group_table import Table, everything, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

SESSION_MS = 1_500
CASES = {
    "join cut before": Fault(Act.CUT_BEFORE, Api.JOIN_GROUP, times=3),
    "join cut after": Fault(Act.CUT_AFTER, Api.JOIN_GROUP, times=3),
    "sync cut after": Fault(Act.CUT_AFTER, Api.SYNC_GROUP, times=2),
    "heartbeats cut": Fault(Act.CUT_BEFORE, Api.HEARTBEAT, nth=2, times=4),
    "heartbeat half-open": Fault(Act.HALF_OPEN, Api.HEARTBEAT, nth=2),
    "ends of partitions cut": Fault(Act.CUT_BEFORE, Api.LIST_OFFSETS, times=2),
    "fetches cut": Fault(Act.CUT_AFTER, Api.FETCH, nth=2, times=3),
    "fetch half-open": Fault(Act.HALF_OPEN, Api.FETCH, nth=3),
}


@pytest.mark.parametrize("fault", CASES.values(), ids=CASES)
async def test_after_a_fault_a_member_holds_the_newest_values_and_follows_on(kafka, fault):
    async with proxy_to(kafka) as proxy:
        placed = proxy.place(replace(fault, struck=asyncio.Event()))
        table = Table(kafka)
        await table.create()
        await table.write(p0_a=b"1", p3_b=b"1")
        async with table.member(SESSION_MS, proxy.bootstrap) as seen:
            await until(lambda: len(seen.rows) == 2, 45)
            async with asyncio.timeout(45):
                await placed.struck.wait()
            await table.write(p0_a=b"2")
            await until(lambda: seen.rows[b"p0_a"] == b"2", 45)
            assert seen.revoked_keys == []


async def test_a_member_alone_that_was_away_for_long_goes_on_with_what_it_holds(kafka):
    async with proxy_to(kafka) as proxy:
        table = Table(kafka)
        await table.create()
        await table.write(p0_a=b"1")
        async with table.member(SESSION_MS, proxy.bootstrap) as seen:
            await until(lambda: bool(seen.rows))
            proxy.silence(3 * SESSION_MS / 1000)
            await table.write(p0_a=b"2")
            await until(lambda: seen.rows == {b"p0_a": b"2"}, 45)
    assert seen.revoked_keys == []


async def test_a_member_that_was_cut_off_lets_go_of_what_another_has_taken(kafka):
    async with proxy_to(kafka) as proxy:
        table = Table(kafka)
        await table.create()
        await table.write(p0_a=b"1", p1_b=b"1")
        async with table.member(SESSION_MS, proxy.bootstrap) as away:
            await until(lambda: len(away.rows) == 2)
            async with table.member(SESSION_MS) as there:
                await until(lambda: len(table.members[1].partitions) == 2)
                proxy.silence(4 * SESSION_MS / 1000)
                await until(lambda: len(there.rows) == 2)
                # nobody can tell it
                assert len(away.rows) == 2
                await until(lambda: not away.rows, 45)
                assert len(everything(there)) == 2
    assert sorted(away.revoked_keys) == [b"p0_a", b"p1_b"]
