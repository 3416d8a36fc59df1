"""Seeded schedules of dying, freezing, joining and leaving workers and a dying broker: nothing lost, nothing twice."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.chaos import HEADER, Row, result, run_all, stage
from tests.faults.schedule import Schedule, draw

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

SCHEDULES = [draw(seed) for seed in range(1, 13)]
CALM = [schedule for schedule in SCHEDULES if not schedule.kills_the_broker]
WITH_OUTAGES = [schedule for schedule in SCHEDULES if schedule.kills_the_broker]


async def disturbed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], schedules: list[Schedule], at_once: int
) -> list[Row]:
    """Run schedules, print their table, and hold each to the bytes of the undisturbed run."""

    def report(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)  # noqa: T201

    start_s = asyncio.get_running_loop().time()
    report(f"\n{HEADER}")
    async with stage(tmp_path) as on:
        rows, failures = await run_all(on, schedules, at_once, report)
    report(f"{result(rows, len(failures))} seconds={asyncio.get_running_loop().time() - start_s:.0f}")
    if failures:
        raise ExceptionGroup("schedules that did not end", failures)  # noqa: TRY003
    assert [row.line() for row in rows if not row.good] == []
    assert all(row.kills.total() >= 5 for row in rows)
    return rows


async def test_every_schedule_ends_with_the_bytes_of_an_undisturbed_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(await disturbed(tmp_path, capsys, CALM, at_once=3)) == len(CALM) >= 8


@pytest.mark.skip(
    reason="Apache Kafka 4.3.1 now and then forgets markers of transactions that end while a killed broker comes back "
    "(decision 0012); such schedules run by hand: ./dev chaos"
)
async def test_schedules_that_kill_the_broker_end_with_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = await disturbed(tmp_path, capsys, WITH_OUTAGES, at_once=2)
    assert all(row.outages > 0 for row in rows)
