"""Kills, freezes and moves workers, restarts broker and bot, while callers speak; then accounts for every input.

`python -m tests.faults.bot_chaos --conversations 1000 --turns 20 --seed N`. The last line is `RESULT bot_chaos
sent_twice=… unaccounted=… reordered=…`; exit code 1 when any of them is not 0.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.faults.bot_run import BotRun, Plan


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _by_hand(plan: Plan, folder: Path) -> bool:
    run = BotRun(plan, folder, say)
    begun_s = asyncio.get_running_loop().time()
    verdict = await run.run()
    for name in ("sent_twice", "unaccounted", "reordered", "unheard"):
        for turn in list(getattr(verdict, name))[:20]:
            say(f"{name}: {turn}")
    done = {f"{kind}s": count for kind, count in sorted(run.done.items())}
    say(verdict.result(seed=plan.seed, seconds=round(asyncio.get_running_loop().time() - begun_s), **done))
    return verdict.good


def main() -> None:
    parser = argparse.ArgumentParser(prog="bot_chaos", description="Account for every input of a bot under faults.")
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=20, help="inputs of each")
    parser.add_argument("--seconds", type=float, default=240, help="over which they are spoken")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transport", choices=("rest", "bridge"), default="rest")
    parser.add_argument("--resend", action="store_true", help="send again what may have been sent: shows it counts")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bot-chaos-"))
    say(f"logs in {folder}")
    size = (chosen.seed, chosen.conversations, chosen.turns, chosen.seconds, chosen.workers)
    plan = Plan(*size, chosen.resend, chosen.transport)
    sys.exit(0 if asyncio.run(_by_hand(plan, folder)) else 1)


if __name__ == "__main__":
    main()
