"""What a run of calls through faults of ingest comes to."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from simulators.audiohook.protocol import PING_INTERVAL_S
from simulators.audiohook.scenario import SAMPLES_PER_MS
from tests.faults.ingest_calls import STAGGER_S, Audit, Calls, Placed
from tests.faults.ingest_process import LOOK_S, IngestProcess, Stage

LATE_PONG_MS = PING_INTERVAL_S * 1000
_NORMAL = ("OPENED", "CLOSED END")
_DRAINED = ("OPENED", "CLOSED DRAIN")
_KILLED = ("OPENED", "GAP INGEST_LOST", "CLOSED INGEST_LOST")
SPARE_S = 10.0
"""How much longer than the outage the calls last: for the broker's start, and for calls as before afterwards."""


@dataclass(frozen=True)
class Shape:
    """How many calls, how long Kafka is dead, how long a frame is, and what a killed ingest may lose."""

    calls: int
    seconds: float
    frame_ms: int
    longest_loss_s: float = 1.0

    @property
    def new(self) -> int:
        """How many of the calls begin while Kafka is dead."""
        return max(1, self.calls // 10)

    @property
    def length_s(self) -> float:
        """How long calls last: through the outage, the broker's start, and some time as before."""
        return self.calls * STAGGER_S + self.seconds + SPARE_S


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
    end_s: float = 0.0
    """How long an ingest took to end that was asked to in the outage."""
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

    async def watch(self) -> None:
        """Look again and again until cancelled."""
        while True:
            self.seen.append((asyncio.get_running_loop().time(), self.calls.sent()))
            await asyncio.sleep(LOOK_S)

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
            drifts = process.drifts()
            self.expect(drifts and not any(drifts), f"{process.name}: drift of sessions in samples: {drifts}")
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
