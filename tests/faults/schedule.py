"""What happens to the workers of one run, drawn from a seed. Pure."""

import random
from dataclasses import dataclass

from tests.faults.orders import STEPS

COMMIT_KILLS = 5


@dataclass(frozen=True)
class Action:
    """One thing that is done to the workers; `step` where it is done inside a commit."""

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
        return any(action.kind == "broker" for action in self.actions)


STALLING = Timing(transaction_ms=2_000, session_ms=8_000)
PROFILES: dict[str, tuple[tuple[str, ...], bool, Timing]] = {
    "zombies": (("zombie", "zombie-in-commit", "kill"), False, Timing()),
    "broker": (("broker", "broker"), True, Timing()),
    "stalls": (("stall", "stall"), True, STALLING),
    "moves": (("join", "two-in-a-row", "leave"), False, Timing()),
    "rolling": (("rolling", "two-in-a-row"), True, Timing()),
    "broker-moves": (("broker", "join", "zombie"), False, Timing()),
    "crowd": (("crowd", "kill"), False, Timing()),
}
"""What a schedule does besides killing inside commits; whether its members are static; its timing."""


def draw(seed: int) -> Schedule:
    """Return the schedule of a seed. Neighbouring seeds have different profiles; seven have them all."""
    chance = random.Random(seed)
    name = list(PROFILES)[seed % len(PROFILES)]
    kinds, static, timing = PROFILES[name]
    steps = ["outputs", "state", chance.choice(("await", "offsets")), "commit", "sent"]
    steps += chance.sample(STEPS, k=COMMIT_KILLS - len(steps)) if len(steps) < COMMIT_KILLS else []
    actions = [Action("kill-in-commit", step) for step in steps]
    for kind in kinds:
        inside = kind in {"stall", "zombie-in-commit"}
        actions.append(Action(kind, chance.choice(("await", "offsets", "commit")) if inside else ""))
    chance.shuffle(actions)
    return Schedule(name, seed, chance.choice((2, 3)), static, timing, tuple(actions))
