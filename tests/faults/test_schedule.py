"""What a seed draws: the same each time, and together all that can happen."""

import pytest

from tests.faults.schedule import PROFILES, draw

SEEDS = range(2 * len(PROFILES))
INSIDE = {"outputs", "state", "commit", "sent"}


def test_a_seed_draws_the_same_schedule_each_time():
    assert [draw(seed) for seed in SEEDS] == [draw(seed) for seed in SEEDS]
    assert len({draw(seed).actions for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_schedule_kills_five_times_inside_a_commit_at_each_numbered_step(seed):
    steps = [action.step for action in draw(seed).actions if action.kind == "kill-in-commit"]
    assert len(steps) == 5
    assert set(steps) > INSIDE
    assert {"await", "offsets"} & set(steps)


def test_neighbouring_seeds_draw_every_profile_and_four_of_fourteen_kill_the_broker():
    schedules = [draw(seed) for seed in SEEDS]
    assert {schedule.name for schedule in schedules[: len(PROFILES)]} == set(PROFILES)
    assert sum(schedule.kills_the_broker for schedule in schedules) >= 4


def test_a_stall_outlasts_the_transaction_and_not_the_membership():
    timings = [schedule.timing for schedule in map(draw, SEEDS) if schedule.name == "stalls"]
    assert all(timing.transaction_ms < timing.session_ms - 3_000 for timing in timings)
    assert timings
