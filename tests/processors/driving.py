"""What every processor of calls.audio is held to: same records in, same records out, through polls and crashes.

`Run` stands for a processor's own test run: `feed(log, poll)`, `restart()`, `found`, `processor`, `state`. `Call` for
its calls: `number`, `key`, `frames`.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from runtime.clock import ManualClock
from runtime.processor import Processor
from runtime.testing import Driver
from schemas.records import AudioFrame

Log = list[tuple[bytes, AudioFrame | bytes]]
CRASHES = [(1, 0, 50), (7, 3, 2), (64, 2, 5)]
"""Records of a poll, steps between crashes, steps between commits."""


def interleaved(dice: random.Random, calls: Sequence[Any]) -> Log:
    """The frames of several calls in one log, a garbage record now and then."""
    waiting = {call.number: list(call.frames) for call in calls}
    keys = {call.number: call.key for call in calls}
    log: Log = []
    while any(waiting.values()):
        number = dice.choice(sorted(number for number, frames in waiting.items() if frames))
        some = dice.choice((1, 1, 2, 30))
        log.extend((keys[number], frame) for frame in waiting[number][:some])
        del waiting[number][:some]
        if dice.random() < 0.02:
            log.append((b"x", b"garbage"))
    return log


def per_session(run: Any) -> dict[str, list[object]]:
    found = defaultdict(list)
    for _, record in run.found:
        found[record.session_id].append(record)
    return found


def assert_any_polls_are_the_same(run: Callable[[], Any], log: Log, poll: int) -> None:
    whole, parts = run().feed(log, 10_000), run().feed(log, poll)
    assert parts.found == whole.found
    assert parts.processor.snapshot(parts.state) == whole.processor.snapshot(whole.state)


def assert_neighbours_change_nothing(run: Callable[[], Any], calls: Sequence[Any], seed: int, poll: int) -> None:
    expected = per_session(run().feed(interleaved(random.Random(1), calls), 10_000))
    assert per_session(run().feed(interleaved(random.Random(seed + 1), calls), poll)) == expected
    alone = run().feed([(calls[0].key, frame) for frame in calls[0].frames])
    for session, records in per_session(alone).items():
        assert expected[session] == records


def assert_restarts_change_nothing(run: Callable[[], Any], log: Log, poll: int) -> None:
    whole, parts = run().feed(log), run()
    for start in range(0, len(log), poll):
        parts.restart().feed(log[start : start + poll])
    assert parts.found == whole.found
    assert parts.processor.snapshot(parts.state) == whole.processor.snapshot(whole.state)


def shuffled(calls: Sequence[Any], encode: Callable[[AudioFrame], bytes]) -> list[tuple[bytes, bytes]]:
    """The calls side by side as bytes, and a garbage record in the middle."""
    waiting = [[(call.key, encode(frame)) for frame in call.frames] for call in calls]
    dice = random.Random(5)
    mixed = []
    while any(waiting):
        mixed.append(dice.choice([frames for frames in waiting if frames]).pop(0))
    mixed.insert(len(mixed) // 2, (b"x", b"garbage"))
    return mixed


def driven(
    processor: Processor[Any],
    log: Sequence[tuple[bytes, bytes]],
    poll: int = 100_000,
    crash_every: int = 0,
    commit_every: int = 1,
) -> Driver[Any]:
    """A driver that has processed the log in polls of `poll`, crashing and committing every so many steps."""
    driver = Driver(processor, clock=ManualClock())
    for number, (key, value) in enumerate(log):
        driver.send_value(value, key=key, timestamp_ms=1_700_000_000_000 + 100 * number)
    steps = 0
    while driver.step(poll):
        steps += 1
        if steps % commit_every == 0:
            driver.commit()
        if crash_every and steps % crash_every == 0:
            # what was not committed is lost and done again; committing first lets the test end
            driver.crash()
            driver.step(poll)
            driver.commit()
    driver.commit()
    return driver
