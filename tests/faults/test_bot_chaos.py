"""A small seeded run of `bot_chaos`: order kept, nothing sent twice, every input with a final state."""

from pathlib import Path
from typing import Literal

import pytest

from tests.faults.bot_run import BotRun, Plan

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize(("transport", "conversations", "seconds"), [("rest", 50, 25), ("bridge", 30, 15)])
async def test_no_kill_freeze_rebalance_or_restart_loses_repeats_or_reorders_an_input(
    transport: Literal["rest", "bridge"],
    conversations: int,
    seconds: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = Plan(seed=3, conversations=conversations, turns=8, seconds=seconds, transport=transport, pause_s=(1.0, 2.0))
    run = BotRun(plan, tmp_path)
    verdict = await run.run()
    with capsys.disabled():
        print(f"\n{verdict.result(**run.done)}")  # noqa: T201
    assert verdict.good, verdict
    assert verdict.inputs == plan.inputs
    assert sum(run.done.values()) >= 3
    assert verdict.states["ANSWERED"] > plan.inputs / 2
