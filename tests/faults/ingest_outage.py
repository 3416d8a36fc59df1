"""Calls while Kafka is dead, while ingest is killed beside it, and while one ingest takes over from another.

`python -m tests.faults.ingest_outage --calls 200 --seconds 60` kills the broker for a minute under AudioHook calls;
with `--mode kill` ingest dies too before the broker is back, with `kill-late` while it catches up, with `stop` it is
asked to end in the outage. With `--mode roll` Kafka lives and a first ingest is asked to end under calls, while a
second one takes those that come. It prints what was found, and last
`RESULT ingest_outage mode=… calls=… …`; exit code 1 when something is lost, late or out of its place.

Late is a pong that takes as long as the platform waits for it. Of a killed ingest the audio of the last second may be
missing, and has to be announced.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from callstream.embedded_kafka import EmbeddedKafka
from tests.faults.ingest_calls import Calls
from tests.faults.ingest_process import SETTLE_S, IngestProcess, Stage, stage, until
from tests.faults.ingest_run import Measured, Run, Sent, Shape
from tests.kafka_fixture import CACHE_DIR

SETTLED_FRAMES = 10
NEW_S = 5.0
"""How long the calls last that an ingest takes after it was killed."""
DRAIN_S = 4.0
"""How long calls may go on in an ingest that was asked to stop."""
BUDGET_S = 50.0
"""How long an ingest that was asked to stop in an outage may take: what it does not need is not waited for."""
SHORT_S, LONG_S = 2.5, 60.0
"""Calls that end by themselves within the drain, and calls that do not."""
_SHOWN = 20


async def outage(built: Stage, shape: Shape) -> Measured:
    """Kill the broker for so long under calls, and start it again."""
    ingest = built.ingest("ingest")
    await ingest.start()
    await ingest.until_ready()
    run = Run("outage", built, Calls(ingest.url, shape.frame_ms, shape.length_s), shape.calls)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run.calls.place(shape.calls - shape.new, shape.length_s))
        await until(lambda: _settled(run.calls, shape.calls - shape.new))
        built.broker.kill()
        await asyncio.sleep(shape.seconds / 10)
        tasks.create_task(run.calls.place(shape.new, shape.seconds / 2))
        await asyncio.sleep(shape.seconds * 9 / 10)
        run.expect(ingest.spool_bytes(), "nothing lies on disk at the end of the outage")
        run.measured.catch_up_s = await _back(built, ingest)
    await run.end([ingest])
    return await run.audit()


async def killed(built: Stage, shape: Shape, *, catching_up: bool = False) -> Measured:
    """Kill the broker, then ingest, which comes back before the broker does; or kill it while it catches up."""
    ingest = built.ingest("ingest")
    await ingest.start()
    await ingest.until_ready()
    mode = "kill-late" if catching_up else "kill"
    # no call ends by itself before the kill, however long the broker's start takes
    length_s = shape.length_s + SETTLE_S
    run = Run(mode, built, Calls(ingest.url, shape.frame_ms, length_s), shape.calls)
    sent = Sent(run.calls)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run.calls.place(shape.calls - shape.new, length_s))
        watching = tasks.create_task(sent.watch())
        await until(lambda: _settled(run.calls, shape.calls - shape.new))
        stored = await built.stored()
        built.broker.kill()
        await asyncio.sleep(shape.seconds)
        run.expect(ingest.spool_bytes(), "nothing lies on disk when it is killed")
        if catching_up:
            await built.broker.start()
            await built.until_stored(stored + shape.calls * SETTLED_FRAMES)
        killed_s = asyncio.get_running_loop().time()
        ingest.kill()
        watching.cancel()
        run.fewest = sent.before(killed_s - shape.longest_loss_s)
        await until(lambda: all(placed.report and placed.report.outcome == "lost" for placed in run.calls.all))
        await ingest.start()
        tasks.create_task(run.calls.place(shape.new, NEW_S))
        await until(lambda: _settled(run.calls, shape.calls))
        run.expect(await ingest.is_ready(), "it wants no calls though it has room for them")
        run.measured.catch_up_s = await _back(built, ingest, start=not catching_up)
        await ingest.until_recovered()
    await run.end([ingest])
    return await run.audit()


async def stopped(built: Stage, shape: Shape) -> Measured:
    """Ask ingest to stop while Kafka is dead; what it had on disk is stored by the next one, and all calls end well."""
    ingest = built.ingest("ingest", INGEST_DRAIN_SESSIONS_S="0", INGEST_DRAIN_BUDGET_S=str(BUDGET_S))
    await ingest.start()
    await ingest.until_ready()
    run = Run("stop", built, Calls(ingest.url, shape.frame_ms, shape.length_s), shape.calls)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run.calls.place(shape.calls, shape.length_s))
        await until(lambda: _settled(run.calls, shape.calls))
        built.broker.kill()
        await asyncio.sleep(shape.seconds)
        run.expect(await ingest.is_ready(), "it wants no calls though it has room for them")
        begun_s = asyncio.get_running_loop().time()
        code = await ingest.stop()
        run.measured.end_s = asyncio.get_running_loop().time() - begun_s
        run.expect(code == 0, f"it ended with {code}: {ingest.says()}")
        run.expect(run.measured.end_s < BUDGET_S / 2, f"it took {run.measured.end_s:.1f} s to end")
        run.expect(ingest.spool_bytes(), "nothing lies on disk after its end")
    await ingest.start()
    run.measured.catch_up_s = await _back(built, ingest)
    await ingest.until_recovered()
    await run.end([ingest])
    return await run.audit()


async def rolled(built: Stage, shape: Shape) -> Measured:
    """Ask an ingest to stop while calls come, talk and go; those that come from then on go to another."""
    limit = {"INGEST_DRAIN_SESSIONS_S": str(DRAIN_S)}
    first, second = built.ingest("first", **limit), built.ingest("second", **limit)
    await first.start()
    await first.until_ready()
    run = Run("roll", built, Calls(first.url, shape.frame_ms, LONG_S), shape.calls)
    quarter = max(1, shape.calls // 4)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run.calls.place(quarter, LONG_S))
        await until(lambda: _settled(run.calls, quarter))
        await second.start()
        await second.until_ready()
        # in the midst of their arrival the way changes
        coming = tasks.create_task(run.calls.place(shape.calls - quarter, SHORT_S))
        await until(lambda: len(run.calls.all) >= quarter + (shape.calls - quarter) // 3)
        run.calls.url = second.url
        stopping = tasks.create_task(first.stop())
        await until(lambda: "the service stops" in first.says() or stopping.done())
        run.expect(not await first.is_ready() and not stopping.done(), "it wants calls though it stops")
        talking = run.calls.sent()
        await until(lambda: _went_on(run.calls, first.url, talking) or stopping.done())
        run.expect(not stopping.done(), "calls do not go on to their end or to the limit")
        code = await stopping
        run.expect(code == 0, f"the first ended with {code}: {first.says()}")
        run.expect(not first.left(), f"the first has left {first.left()}")
        await coming
    ended = [placed for placed in run.calls.all if placed.url == first.url]
    run.expect(len(ended) > quarter, "no short call was placed at the first")
    await run.end([second])
    measured = await run.audit()
    run.expect(measured.drained == quarter, f"{measured.drained} calls were told to end, not {quarter}")
    return measured


def _settled(calls: Calls, count: int) -> bool:
    """Tell whether so many calls were placed and all that live have sent some frames."""
    return len(calls.all) >= count and all(one.sent >= SETTLED_FRAMES for one in calls.all)


def _went_on(calls: Calls, url: str, before: dict[str, int]) -> bool:
    here = [
        placed for placed in calls.all if placed.url == url and placed.report and placed.report.outcome == "running"
    ]
    return any(placed.sent >= before.get(placed.conversation_id, 0) + SETTLED_FRAMES for placed in here)


async def _back(built: Stage, ingest: IngestProcess, *, start: bool = True) -> float:
    """Start the broker, unless it runs; return how long it took from then until nothing lay on disk."""
    if start:
        await built.broker.start()
    begun_s = asyncio.get_running_loop().time()
    await until(lambda: not ingest.spool_bytes(), 3 * SETTLE_S)
    return asyncio.get_running_loop().time() - begun_s


async def _main(mode: str, shape: Shape) -> int:
    modes: dict[str, Callable[[Stage], Awaitable[Measured]]] = {
        "outage": lambda built: outage(built, shape),
        "kill": lambda built: killed(built, shape),
        "kill-late": lambda built: killed(built, shape, catching_up=True),
        "stop": lambda built: stopped(built, shape),
        "roll": lambda built: rolled(built, shape),
    }
    with tempfile.TemporaryDirectory(prefix="ingest-outage-") as name:
        folder = Path(name)
        async with EmbeddedKafka(folder / "kafka", cache_dir=CACHE_DIR) as broker, stage(broker, folder) as built:
            found = await modes[mode](built)
    complaints = found.complaints()
    for complaint in complaints[:_SHOWN]:
        print(complaint)  # noqa: T201
    print(found.result())  # noqa: T201
    return 1 if complaints else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.ingest_outage", description="Calls without Kafka.")
    parser.add_argument("--mode", choices=("outage", "kill", "kill-late", "stop", "roll"), default="outage")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the broker is dead")
    parser.add_argument("--frame-ms", type=int, default=200, choices=(20, 50, 100, 200))
    given = parser.parse_args()
    sys.exit(asyncio.run(_main(given.mode, Shape(given.calls, given.seconds, given.frame_ms))))
