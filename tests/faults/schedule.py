"""What happens to the workers of one run, drawn from a seed. Pure."""

import random
from dataclasses import dataclass

from tests.faults.orders import OPENING, STEPS

INSIDE = {
    "stall": ("await", "offsets", "commit"),
    "zombie-in-commit": STEPS[1:],
    "broker-in-commit": ("await", "offsets", "commit", "sent"),
    "zombie-while-opening": OPENING,
    "kill-while-opening": OPENING,
}
"""At which steps an action strikes: a stall needs an open transaction."""


@dataclass(frozen=True)
class Action:
    """One thing that is done to the workers; `step` where it is done inside a commit or an opening."""

    kind: str
    step: str = ""


@dataclass(frozen=True)
class Timing:
    """When the broker gives up on a transaction and the group on a member."""

    transaction_ms: int = 60_000
    session_ms: int = 3_000


@dataclass(frozen=True)
class Schedule:
    """`members` workers to begin with; `static` gives each a name that a restarted one keeps."""

    name: str
    seed: int
    members: int
    static: bool
    timing: Timing
    actions: tuple[Action, ...]

    @property
    def kills_the_broker(self) -> bool:
        return any(action.kind in {"broker-in-commit", "outage"} for action in self.actions)


STALLING = Timing(transaction_ms=6_000, session_ms=14_000)
"""A commit of a worker that is slow on purpose, on a machine that is slow too, has to fit into a transaction."""
PROFILES: dict[str, tuple[tuple[str, ...], bool, Timing]] = {
    "zombies": (("zombie", "zombie-in-commit", "zombie-while-opening"), False, Timing()),
    "broker": (("broker-in-commit", "broker-hangs"), True, Timing()),
    "stalls": (("stall", "stall"), True, STALLING),
    "moves": (("join", "two-in-a-row", "kill-while-opening", "leave"), False, Timing()),
    "rolling": (("rolling", "two-in-a-row", "twin"), True, Timing()),
    "broker-moves": (("outage", "join", "zombie"), False, Timing()),
    "crowd": (("crowd", "kill"), False, Timing()),
}
"""What a schedule does besides killing inside commits; whether its members are static; its timing."""


def draw(seed: int) -> Schedule:
    """Return the schedule of a seed. Neighbouring seeds have different profiles; seven have them all."""
    chance = random.Random(seed)
    name = list(PROFILES)[seed % len(PROFILES)]
    kinds, static, timing = PROFILES[name]
    steps = ["outputs", "state", chance.choice(("await", "offsets")), "commit", "sent"]
    actions = [Action("kill-in-commit", step) for step in steps]
    actions += [Action(kind, chance.choice(INSIDE.get(kind, ("",)))) for kind in kinds]
    chance.shuffle(actions)
    return Schedule(name, seed, chance.choice((2, 3)), static, timing, tuple(actions))
