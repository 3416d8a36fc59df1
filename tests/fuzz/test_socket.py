"""The real server under everything a socket can carry, with an honest call beside it."""

import asyncio
import gc
import json
import logging
import random
import sys
from collections import Counter
from pathlib import Path
from statistics import median

import pytest

from runtime.clock import SystemClock
from tests.fuzz import attack, wire
from tests.fuzz.live import CONVERSATION_ID
from tests.fuzz.story import told
from tests.ingest.test_server import serving
from tests.ingest.test_session import FakeOutlet

SECONDS = 62.0
INPUTS = 100_000
"""At least; a slow machine takes longer for them."""
WARM_UP_S = 4.0
LONGEST_PONG_S = 0.1
GROWTH_BYTES = 48 * 2**20
"""Of the process, the kept call and what the allocator does not give back included: 300 bytes an input."""
EXPECTED = ("opening handshake failed", "connection rejected", "connection closed", "connection open")


class Keeping(FakeOutlet):
    """Keeps the records of one conversation; the others are only counted, so that memory shows what leaks."""

    def __init__(self) -> None:
        super().__init__()
        self.others = 0

    def put(self, records) -> None:
        for record in records:
            if record.key == CONVERSATION_ID.encode():
                self.records.append(record)
            else:
                self.others += 1


class Faults(logging.Handler):
    """What goes wrong inside the library, as it says."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        # an answer to a request whose sender has gone meanwhile: the library says so, and ends the connection
        gone = "in handshake" in text and "assert not self.eof_sent" in text
        if record.getMessage() not in EXPECTED and not gone:
            self.seen.append(text)


@pytest.fixture
def faults(monkeypatch):
    """Collect errors of the loop and the library."""
    handler, library = Faults(), logging.getLogger("websockets.server")
    before = library.level, library.propagate
    library.addHandler(handler)
    library.setLevel(logging.ERROR)
    library.propagate = False
    yield handler.seen
    library.removeHandler(handler)
    library.setLevel(before[0])
    library.propagate = before[1]


async def run(module: str, *arguments: object) -> dict:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.fuzz.{module}", *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{module} {arguments} failed"
    return json.loads(output)


def p99(pongs: list[tuple[float, float]]) -> float:
    """The 99th percentile of a bout, of the bout in the middle: what else the machine does spoils one or two."""
    bouts: dict[int, list[float]] = {}
    for at_s, took_s in pongs:
        bouts.setdefault(int(at_s / (attack.ON_S + attack.OFF_S)), []).append(took_s)
    return median(sorted(values)[int(len(values) * 0.99)] for values in bouts.values())


async def nobody(server) -> None:
    """Return once the server has no connection of any kind."""
    async with asyncio.timeout(30):
        while server._sessions or server._asking or server._places._holders or server._refusing:
            await asyncio.sleep(0.05)
    gc.collect()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_no_input_breaks_the_server_holds_up_an_honest_call_or_leaves_anything_behind(tmp_path, faults, capsys):
    seed = random.SystemRandom().getrandbits(32)
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({wire.KEY: ""}))
    outlet, begun_s = Keeping(), SystemClock().monotonic_s()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(str(context)))
    limits = {"handshakes_per_s": 100_000, "handshake_burst": 100_000, "handshake_deadline_s": 2, "open_deadline_s": 2}
    async with serving(outlet, keys, **limits) as server:
        # caches fill, and modules that are needed late are loaded
        await run("attack", server.port, seed + 1000, WARM_UP_S)
        await nobody(server)
        tasks_before = len(asyncio.all_tasks())
        memory_before = resident_bytes()
        async with asyncio.TaskGroup() as tasks:
            attacked = tasks.create_task(run("attack", server.port, seed, SECONDS))
            lived = tasks.create_task(run("live", server.port, SECONDS))
        inputs, call = Counter(attacked.result()), lived.result()
        while inputs.total() < INPUTS:
            inputs += Counter(await run("attack", server.port, seed + inputs.total(), SECONDS / 4))
        await nobody(server)
        grown_bytes = resident_bytes() - memory_before
        tasks_after = len(asyncio.all_tasks())
    under, calm = [], []
    for at_s, took_s in call["pongs"]:
        (calm if at_s % (attack.ON_S + attack.OFF_S) < attack.OFF_S else under).append((at_s, took_s))
    took = {"calm_p99_s": p99(calm), "pong_p99_s": p99(under)}
    figures = {"seed": seed, "inputs": dict(inputs), **took, "grown": grown_bytes}
    with capsys.disabled():
        # a process that shares a run has no other way out
        sys.stderr.write(f"\nfuzzed: {figures}\n")
    assert faults == [], figures
    assert SystemClock().monotonic_s() - begun_s >= 60
    assert p99(under) <= p99(calm) + LONGEST_PONG_S, figures
    assert (tasks_after, server.connections) == (tasks_before, 0), figures
    assert grown_bytes < GROWTH_BYTES, figures
    (frames, _) = told(outlet.records)[CONVERSATION_ID]
    audio = [frame for frame in frames if frame[0] == "AUDIO"]
    assert sum(frame[8] for frame in audio) == call["samples"], figures
    assert [frame[0] for frame in (frames[0], frames[-1])] == ["OPENED", "CLOSED"]
