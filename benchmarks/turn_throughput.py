"""How many turns a second of processor time cognigy carries, against a bot that answers at once.

`./dev bench turn_throughput [turns] [conversations]`. The callers all speak at once, so the worker is never idle; its
processor time is read from the system, so that the broker, the bot and the callers beside it do not count.
"""

import asyncio
import sys

from benchmarks.rig import result
from benchmarks.turns import line
from runtime.clock import SystemClock

_WARM_TURNS = 300
_clock = SystemClock()


async def main(turns: int, conversations: int) -> None:
    """Measure from the first turn after the warm ones to the last."""
    async with line() as one:
        await one.say(conversations, _WARM_TURNS, 300)
        await one.heard(_WARM_TURNS)
        await asyncio.sleep(1)
        begun_s, cpu_s = _clock.monotonic_s(), one.cpu_s()
        await one.say(conversations, turns, None)
        await one.heard(_WARM_TURNS + turns)
        wall_s, used_s = _clock.monotonic_s() - begun_s, one.cpu_s() - cpu_s
        await one.stop()
    result(
        "turn_throughput",
        turns_per_core_s=round(turns / used_s),
        turns_per_s=round(turns / wall_s),
        cpu_ms_per_turn=round(1000 * used_s / turns, 2),
        turns=turns,
        conversations=conversations,
    )


if __name__ == "__main__":
    arguments = [int(value) for value in sys.argv[1:]]
    asyncio.run(main(*(arguments + [5_000, 200][len(arguments) :])))
