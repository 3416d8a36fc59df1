"""Disturbs the task host as a schedule says and compares what it committed with the undisturbed run.

`python -m tests.faults.chaos --minutes 60 --seed N` runs one schedule after the other, seeds from N on. The last line
is `RESULT chaos runs=… lost=… repeated=… orphaned_s_max=…`; exit code 1 when anything was lost, repeated or wrong.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.disturbed_run import DisturbedRun
from tests.faults.outcome import HEADER, Outcome, result
from tests.faults.schedule import Schedule, draw
from tests.faults.stage import Stage, stage
from tests.faults.veteran import veteran

GROWTH_MB = 50
"""In half an hour."""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def run_all(
    on: Stage, schedules: Sequence[Schedule], at_once: int = 1, report: Callable[[str], None] = say
) -> tuple[list[Outcome], list[Exception]]:
    """Run schedules, `at_once` side by side, and report a line for each; one that fails does not end the others."""
    limit = asyncio.Semaphore(at_once)
    failures: list[Exception] = []
    found: list[Outcome] = []

    async def one(schedule: Schedule) -> None:
        async with limit:
            try:
                outcome = await DisturbedRun(on, schedule).run()
            except Exception as error:  # noqa: BLE001 - whatever it is, the table shows it
                report(f"{schedule.name:<13}{schedule.seed:>6}  FAILED: {' '.join(map(str, leaves(error)))}")
                failures.append(error)
            else:
                report(outcome.line())
                found.append(outcome)

    async with asyncio.TaskGroup() as running:
        for schedule in schedules:
            running.create_task(one(schedule))
    return found, failures


def leaves(error: BaseException) -> list[str]:
    """What went wrong, with the notes on where."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]


async def _by_hand(minutes: float, seed: int, runs: int, folder: Path) -> bool:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + minutes * 60
    found: list[Outcome] = []
    failed = 0
    async with stage(folder) as on:
        say(HEADER)
        async with veteran(on.broker.bootstrap_servers, on.records, folder) as old:
            while loop.time() < end_s and (not runs or len(found) + failed < runs):
                good, bad = await run_all(on, [draw(seed + len(found) + failed)])
                found += good
                failed += len(bad)
    say(
        f"the worker nobody touched: {old.member.first_rss_mb:.0f} MB when warm, {old.member.last_rss_mb:.0f} MB after "
        f"{old.seconds / 60:.0f} more minutes and {old.fed} records"
    )
    say(f"{result(found, failed)} grown_mb={old.growth_mb:.1f}")
    return not failed and all(outcome.good for outcome in found) and old.growth_mb <= GROWTH_MB * max(1.0, minutes / 30)


def main() -> None:
    parser = argparse.ArgumentParser(prog="chaos", description="Disturb the task host and compare what it committed.")
    parser.add_argument("--minutes", type=float, default=60, help="start no new schedule after this time")
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule; the others follow")
    parser.add_argument("--runs", type=int, default=0, help="end after so many schedules")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    say(f"logs in {folder}")
    good = asyncio.run(_by_hand(arguments.minutes, arguments.seed, arguments.runs, folder))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
