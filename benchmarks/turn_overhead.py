"""What cognigy adds to a turn: from the utterance's record to the request's bytes, and from the reply to its records.

`./dev bench turn_overhead [turns a second] [seconds]`. `beyond` is what is left of the first without the round trip to
Kafka that clears a turn for sending: the intent is stored, and a commit of the group proves the partition is ours.
"""

import asyncio
import sys

from benchmarks.rig import result
from benchmarks.turns import line, percentile

_CONVERSATIONS = 300
_WARM_TURNS = 300


async def main(rate_per_s: float, seconds: float) -> None:
    """Measure at a steady rate; the first turns only warm it up."""
    count = round(rate_per_s * seconds)
    async with line(delay_s=0.02) as one:
        await one.say(_CONVERSATIONS, _WARM_TURNS, rate_per_s / 3)
        await one.heard(_WARM_TURNS)
        await one.say(_CONVERSATIONS, count, rate_per_s)
        await one.heard(_WARM_TURNS + count)
        times = [turn for turn in await one.stop() if "stored" in turn][_WARM_TURNS:]
    out = [1000 * (turn["out"] - turn["said"]) for turn in times]
    intent = [1000 * (turn["send"] - turn["intent"]) for turn in times]
    beyond = [all_ms - intent_ms for all_ms, intent_ms in zip(out, intent, strict=True)]
    poll = [1000 * (turn["planned"] - turn["said"]) for turn in times]
    back = [1000 * (turn["stored"] - turn["back"]) for turn in times]
    fields: dict[str, float] = {"turns": len(times), "rate_per_s": rate_per_s}
    for name, values in (("out", out), ("intent", intent), ("beyond", beyond), ("poll", poll), ("reply", back)):
        for percent in (50, 95, 99):
            fields[f"{name}_p{percent}_ms"] = round(percentile(values, percent), 2)
    result("turn_overhead", **fields)


if __name__ == "__main__":
    arguments = [float(value) for value in sys.argv[1:]]
    asyncio.run(main(*(arguments + [300.0, 20.0][len(arguments) :])))
