"""Seeded schedules of dying, freezing, joining and leaving workers and a dying broker: nothing lost, nothing twice."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.faults.chaos import run_all
from tests.faults.outcome import HEADER, Outcome, result
from tests.faults.schedule import Schedule, draw
from tests.faults.stage import stage

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(1500)]

SCHEDULES = [draw(seed) for seed in range(1, 13)]
CALM = [schedule for schedule in SCHEDULES if not schedule.kills_the_broker]
WITH_OUTAGES = [schedule for schedule in SCHEDULES if schedule.kills_the_broker]


async def disturbed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], schedules: list[Schedule], at_once: int
) -> list[Outcome]:
    """Run schedules, print their table, and hold each to the bytes of the undisturbed run."""

    def report(line: str) -> None:
        with capsys.disabled():
            # a process that shares a run has no other way out
            sys.stderr.write(line + "\n")

    start_s = asyncio.get_running_loop().time()
    report(f"\n{HEADER}")
    async with stage(tmp_path) as on:
        outcomes, failures = await run_all(on, schedules, at_once, report)
    report(f"{result(outcomes, len(failures))} seconds={asyncio.get_running_loop().time() - start_s:.0f}")
    if failures:
        raise ExceptionGroup("schedules that did not end", failures)  # noqa: TRY003
    assert [outcome.line() for outcome in outcomes if not outcome.good] == []
    assert all(outcome.kills.total() >= 5 for outcome in outcomes)
    return outcomes


async def test_every_schedule_ends_with_the_bytes_of_an_undisturbed_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(await disturbed(tmp_path, capsys, CALM, at_once=4)) == len(CALM) >= 8


async def test_schedules_that_kill_the_broker_end_with_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = await disturbed(tmp_path, capsys, WITH_OUTAGES, at_once=4)
    assert len(outcomes) >= 4
    assert all(outcome.outages > 0 for outcome in outcomes)
