"""Calls while Kafka is dead, while ingest is killed beside it, and while one ingest takes over from another.

`python -m tests.faults.ingest_outage --calls 200 --seconds 60` kills the broker for a minute under AudioHook calls;
with `--mode kill` ingest dies too before the broker is back, with `--mode roll` Kafka lives and a first ingest is asked
to stop under calls that a second one takes from then on. It prints what was found, and last
`RESULT ingest_outage mode=… calls=… …`; exit code 1 when something is lost, late or out of its place.

Late is a pong that takes as long as the platform waits for it. Of a killed ingest the audio of the last second may be
missing, and has to be announced.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from simulators.audiohook.protocol import PING_INTERVAL_S
from simulators.audiohook.scenario import SAMPLES_PER_MS
from tests.faults.ingest_calls import STAGGER_S, Audit, Calls, Placed
from tests.faults.ingest_process import LOOK_S, SETTLE_S, IngestProcess, Stage, stage, until

LATE_PONG_MS = PING_INTERVAL_S * 1000
LONGEST_LOSS_S = 1.0
SPARE_S = 12.0
"""How much longer than the outage the calls last: for the broker's start, and for calls as before afterwards."""
SETTLED_FRAMES = 10
NEW_RATIO = 0.1
"""How many of the calls begin while Kafka is dead."""
DRAIN_S = 6.0
"""How long calls may go on in an ingest that was asked to stop."""
SHORT_S, LONG_S = 4.0, 40.0
"""Calls that end by themselves within the drain, and calls that do not."""
_NORMAL = ("OPENED", "CLOSED END")
_DRAINED = ("OPENED", "CLOSED DRAIN")
_KILLED = ("OPENED", "GAP INGEST_LOST", "CLOSED INGEST_LOST")


@dataclass
class Measured:
    """What a run came to."""

    mode: str
    calls: int
    pongs: int = 0
    pong_max_ms: float = 0.0
    sessions_lost: int = 0
    """Calls that did not end as meant, and sessions without the marks they should have."""
    drained: int = 0
    killed: int = 0
    sent: int = 0
    stored: int = 0
    missing: int = 0
    """Frames that were received and are not stored, those apart that a killed ingest may lose."""
    displaced: int = 0
    repeats: int = 0
    lost_ms: float = 0.0
    """The most audio that is missing of one call that a killed ingest had."""
    spool_mb: float = 0.0
    rss_mb: float = 0.0
    catch_up_s: float = 0.0
    """From the broker's start until nothing lay on disk any more."""
    remarks: list[str] = field(default_factory=list)
    """Everything that should not be."""

    def complaints(self) -> list[str]:
        """Say what is lost, late or out of its place."""
        found = {
            f"a pong took {self.pong_max_ms:.0f} ms": self.pong_max_ms >= LATE_PONG_MS,
            "no ping was answered": self.pongs == 0,
            f"{self.sessions_lost} sessions are lost": self.sessions_lost > 0,
            f"{self.missing} frames are missing": self.missing > 0,
            f"{self.displaced} frames are out of their place": self.displaced > 0,
        }
        return [*(what for what, bad in found.items() if bad), *self.remarks]

    def result(self) -> str:
        """Return the line that ends the report."""
        values = {name: value for name, value in vars(self).items() if name != "remarks"}
        shown = (
            f"{name}={value:.1f}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
        )
        return "RESULT ingest_outage " + " ".join(shown)


@dataclass
class Sent:
    """How many frames each call had sent, now and a little while ago."""

    calls: Calls
    seen: deque[tuple[float, dict[str, int]]] = field(default_factory=lambda: deque(maxlen=200))

    async def watch(self, seconds: float) -> None:
        """Look again and again for so long."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds
        while loop.time() < end_s:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Look once."""
        self.seen.append((asyncio.get_running_loop().time(), self.calls.sent()))

    def before(self, at_s: float) -> dict[str, int]:
        """Return the last counts that were seen at that time."""
        return next(counts for seen_s, counts in reversed(self.seen) if seen_s <= at_s)


class Run:
    """One run: its calls and what it came to."""

    def __init__(self, mode: str, built: Stage, calls: Calls, count: int) -> None:
        self.stage = built
        self.calls = calls
        self.measured = Measured(mode, count)
        self.fewest: dict[str, int] = {}
        """Of calls whose ingest was killed: frames that have to be stored all the same."""

    def expect(self, holds: object, remark: str) -> None:
        """Remark what does not hold."""
        if not holds:
            self.measured.remarks.append(remark)

    async def end(self, processes: Iterable[IngestProcess]) -> None:
        """Stop what still runs, and keep what the processes used."""
        for process in processes:
            code = await process.stop()
            self.expect(code == 0, f"{process.name} ended with {code}: {process.says()}")
            self.expect(not process.left(), f"{process.name} has left {process.left()}")
        every = self.stage.processes
        self.measured.spool_mb = max(process.peak_spool_bytes for process in every) / 1e6
        self.measured.rss_mb = max(process.peak_rss_mb for process in every)

    async def audit(self) -> Measured:
        """Compare what was sent with what is stored."""
        found = Audit(self.calls.all)
        await found.read(self.stage.kafka)
        self.expect(not found.unknown, f"{found.unknown} records are of no call or cannot be read")
        for placed in self.calls.all:
            self._compare(placed, found)
        return self.measured

    def _compare(self, placed: Placed, found: Audit) -> None:
        one, total, fewest = (
            found.stored[placed.conversation_id],
            self.measured,
            self.fewest.get(placed.conversation_id),
        )
        if placed.report is not None:
            total.pongs += placed.report.round_trips.bins.total()
            total.pong_max_ms = max(total.pong_max_ms, placed.report.round_trips.max_ms)
        disconnected = placed.report is not None and placed.report.disconnect_reason is not None
        wanted = _KILLED if fewest is not None else _DRAINED if disconnected else _NORMAL
        well = (fewest is not None or placed.went_well) and tuple(one.marks) == wanted
        if not well:
            total.sessions_lost += 1
            total.remarks.append(f"{placed.conversation_id}: {placed.why()}, stored as {one.marks}")
        total.drained += disconnected
        total.sent += placed.sent
        total.stored += one.frames
        total.displaced += one.displaced + max(0, one.frames - placed.sent)
        total.repeats += one.repeats
        total.missing += max(0, (placed.sent if fewest is None else fewest) - one.frames)
        if fewest is not None:
            total.killed += 1
            total.lost_ms = max(total.lost_ms, (placed.sent - one.frames) * self.calls.frame_ms)
            announced = one.gap_samples == one.frames * self.calls.frame_ms * SAMPLES_PER_MS
            self.expect(announced, f"{placed.conversation_id}: the gap stands at {one.gap_samples}")


async def outage(built: Stage, count: int, seconds: float, frame_ms: int) -> Measured:
    """Kill the broker for so long under calls, and start it again."""
    ingest = built.ingest("ingest")
    await ingest.start()
    await ingest.until_ready()
    new = max(1, int(count * NEW_RATIO))
    length_s = count * STAGGER_S + seconds + SPARE_S
    run = Run("outage", built, Calls(ingest.url, frame_ms, length_s), count)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run.calls.place(count - new, length_s))
        await until(lambda: _settled(run.calls, count - new))
        built.broker.kill()
        await asyncio.sleep(seconds / 10)
        tasks.create_task(run.calls.place(new, seconds / 2))
        await asyncio.sleep(seconds * 9 / 10)
        run.expect(ingest.spool_bytes(), "nothing lies on disk at the end of the outage")
        run.measured.catch_up_s = await _back(built, ingest)
    await run.end([ingest])
    return await run.audit()


async def killed(
    built: Stage, count: int, seconds: float, frame_ms: int, longest_loss_s: float = LONGEST_LOSS_S
) -> Measured:
    """Kill the broker, then ingest, which comes back before the broker does."""
    ingest = built.ingest("ingest")
    await ingest.start()
    await ingest.until_ready()
    new = max(1, int(count * NEW_RATIO))
    length_s = count * STAGGER_S + seconds + SPARE_S
    run = Run("kill", built, Calls(ingest.url, frame_ms, length_s), count)
    sent = Sent(run.calls)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run.calls.place(count - new, length_s))
        await until(lambda: _settled(run.calls, count - new))
        built.broker.kill()
        await sent.watch(seconds)
        sent.look()
        killed_s = asyncio.get_running_loop().time()
        ingest.kill()
        run.expect(ingest.spool_bytes(), "nothing lies on disk when it is killed")
        run.fewest = sent.before(killed_s - longest_loss_s)
        await until(lambda: all(placed.report and placed.report.outcome == "lost" for placed in run.calls.all))
        await ingest.start()
        tasks.create_task(run.calls.place(new, SPARE_S / 2))
        await until(lambda: _settled(run.calls, count))
        run.measured.catch_up_s = await _back(built, ingest)
        await ingest.until_ready()
    await run.end([ingest])
    return await run.audit()


async def rolled(built: Stage, count: int, frame_ms: int) -> Measured:
    """Ask an ingest to stop while calls come, talk and go; those that come from then on go to another."""
    limit = {"INGEST_DRAIN_SESSIONS_S": str(DRAIN_S)}
    first, second = built.ingest("first", **limit), built.ingest("second", **limit)
    await first.start()
    await first.until_ready()
    run = Run("roll", built, Calls(first.url, frame_ms, LONG_S), count)
    quarter = max(1, count // 4)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run.calls.place(quarter, LONG_S))
        await until(lambda: _settled(run.calls, quarter))
        await second.start()
        await second.until_ready()
        # in the midst of their arrival the way changes
        coming = tasks.create_task(run.calls.place(count - quarter, SHORT_S))
        await until(lambda: len(run.calls.all) >= quarter + (count - quarter) // 3)
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


async def _back(built: Stage, ingest: IngestProcess) -> float:
    """Start the broker and return how long it took from then until nothing lay on disk."""
    await built.broker.start()
    begun_s = asyncio.get_running_loop().time()
    await until(lambda: not ingest.spool_bytes(), 3 * SETTLE_S)
    return asyncio.get_running_loop().time() - begun_s


async def _main(arguments: argparse.Namespace) -> int:
    count, seconds, frame_ms = arguments.calls, arguments.seconds, arguments.frame_ms
    with tempfile.TemporaryDirectory(prefix="ingest-outage-") as name:
        async with stage(Path(name)) as built:
            if arguments.mode == "outage":
                found = await outage(built, count, seconds, frame_ms)
            elif arguments.mode == "kill":
                found = await killed(built, count, seconds, frame_ms)
            else:
                found = await rolled(built, count, frame_ms)
    complaints = found.complaints()
    print(*complaints[:20], *[f"and {len(complaints) - 20} more"] * (len(complaints) > 20), sep="\n")  # noqa: T201
    print(found.result())  # noqa: T201
    return 1 if complaints else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.ingest_outage", description="Calls without Kafka.")
    parser.add_argument("--mode", choices=("outage", "kill", "roll"), default="outage")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the broker is dead")
    parser.add_argument("--frame-ms", type=int, default=200, choices=(20, 50, 100, 200))
    sys.exit(asyncio.run(_main(parser.parse_args())))
