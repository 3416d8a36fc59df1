"""What came of schedules: a line of the table for each, and what is good. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults import orders
from tests.faults.schedule import Schedule
from tests.faults.verdict import Verdict

GRACE_S = 5.0
"""How much longer than the session timeout a partition may be without a task."""
START_S = 1.5
"""How long a process takes to start where the machine has nothing else to do."""


@dataclass(frozen=True)
class Outcome:
    """What came of one schedule."""

    schedule: Schedule
    verdict: Verdict
    kills: Counter[str]
    outages: int
    rebalances: int
    orphaned_s: float
    start_s: float
    growth_mb: float
    duration_s: float

    @property
    def bound_s(self) -> float:
        """How long a partition may be without a task; longer where the machine is slowed down by others."""
        return self.schedule.timing.session_ms / 1000 + GRACE_S * max(1.0, self.start_s / START_S)

    @property
    def good(self) -> bool:
        return self.verdict.exact and self.orphaned_s <= self.bound_s

    def line(self) -> str:
        kills = " ".join(
            f"{step}:{self.kills[step]}" for step in (*orders.OPENING, *orders.STEPS, "any") if self.kills[step]
        )
        verdict = self.verdict
        return (
            f"{self.schedule.name:<13}{self.schedule.seed:>6}  {kills:<62}{self.outages:>7}{self.rebalances:>7}"
            f"{self.orphaned_s:>11.1f}{self.start_s:>8.1f}{self.growth_mb:>6.0f}{verdict.lost:>6}{verdict.repeated:>9}"
            f"{verdict.disordered + verdict.wrong_states:>7}{self.duration_s:>6.0f}"
        )


HEADER = (
    f"{'schedule':<13}{'seed':>6}  {'kills by step':<62}{'broker':>7}{'moves':>7}"
    f"{'orphaned_s':>11}{'start_s':>8}{'MB+':>6}{'lost':>6}{'repeated':>9}{'wrong':>7}{'s':>6}"
)


def result(found: Sequence[Outcome], failed: int = 0) -> str:
    """The last line of a run by hand."""
    return (
        f"RESULT chaos runs={len(found) + failed} failed={failed} "
        f"lost={sum(outcome.verdict.lost for outcome in found)} "
        f"repeated={sum(outcome.verdict.repeated for outcome in found)} "
        f"wrong={sum(outcome.verdict.disordered + outcome.verdict.wrong_states for outcome in found)} "
        f"kills={sum(outcome.kills.total() for outcome in found)} outages={sum(outcome.outages for outcome in found)} "
        f"orphaned_s_max={max((outcome.orphaned_s for outcome in found), default=-1):.1f}"
    )
