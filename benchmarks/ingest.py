"""AudioHook calls in real time on one ingest process on one core; broker, load and reader share the other.

A round of N stereo calls holds when every call went as the protocol wants it, every frame is on calls.audio once, in
order and with its position, the platform's stated position never left ours, and the 99th percentile of the pongs is
within 20 ms over the whole round, the bursts in which the calls arrive and leave included; and when the load was no
later than that with its own frames, so that what was measured is ingest. A round that does not hold is run once more:
the machine may have been busy. The load runs in another process and states its own lateness and CPU time, so that it
can be seen not to be the limit; of ingest it is said for which part of the round others had the core it waited for.

`./dev bench ingest` looks for the largest round that holds: rounds grow until one does not, then come those between; no
round is begun that could not end in time. `--sessions N` measures N calls only. `--frame-ms` is the length of a frame
(200, 100, 20), `--seconds` how long all calls are there together: from the last one's arrival until the first leaves.
"""

import argparse
import asyncio
import json
import math
import os
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audio.frames import Frames
from audio.session import SessionTable, Verdict
from benchmarks.ingest_load import Plan
from benchmarks.rig import broker, result
from callstream.demo.reader import Handlers, TopicReader
from callstream.demo.services import ServiceProcess, free_port
from callstream.demo.sweep import ends
from runtime.clock import SystemClock
from runtime.config import KafkaSettings, child_environment
from runtime.http import HttpClient
from schemas.symbols import FrameKind
from schemas.topics import AUDIO
from simulators.audiohook.report import Histogram

_LOAD_CORE, _INGEST_CORE = 0, 1
_KEY, _SECRET = "bench-key", "YmVuY2gtc2VjcmV0LWJlbmNoLXNlY3JldA=="
_LONGEST_PONG_MS = 20.0
_BURST = 100
_LOAD_PROCESSES = 1
_FINEST = 100
_LONGEST_WAIT_S = 10.0
_CALLS = (2000, 3000, 4000, 6000)
"""Rounds that grow, with frames of 200 ms; with shorter ones in proportion fewer calls."""
_USUAL_FRAME_MS = 200
_READ_S = 15.0
"""What comes on top of a round: frames still on their way, and reading them back."""
_clock = SystemClock()


@dataclass(frozen=True)
class Round:
    """What one round of calls came to."""

    calls: int
    calls_ok: int
    frames_sent: int
    stored: int
    displaced: int
    drift_samples: int
    pong_p99_ms: float
    pong_max_ms: float
    late_p99_ms: float
    load_cpu_ratio: float
    core_ratio: float
    wait_ratio: float
    frame_us: float
    rss_mb: float
    faults: dict[str, int]

    @property
    def complete(self) -> bool:
        """True when no call and no frame was lost, nothing displaced and nothing drifted."""
        whole = self.calls_ok == self.calls and self.stored == self.frames_sent > 0
        return whole and not self.displaced and not self.drift_samples

    @property
    def holds(self) -> bool:
        """True when it is complete, pongs were in time, and so was the load."""
        return self.complete and max(self.pong_p99_ms, self.late_p99_ms) <= _LONGEST_PONG_MS

    def line(self) -> str:
        """Return the round in one line."""
        late = "pongs late" if self.pong_p99_ms > _LONGEST_PONG_MS else "load late"
        verdict = "holds" if self.holds else late if self.complete else "INCOMPLETE"
        return (
            f"{self.calls} calls: {verdict}; {self.calls_ok} calls ok, {self.frames_sent} frames sent, "
            f"{self.stored} stored, {self.displaced} displaced, drift {self.drift_samples}, "
            f"pong p99 {self.pong_p99_ms} max {self.pong_max_ms} ms, "
            f"load late p99 {self.late_p99_ms} ms at {self.load_cpu_ratio:.0%} of a core, "
            f"ingest {self.core_ratio:.0%} of a core, kept from it {self.wait_ratio:.0%}, "
            f"{self.frame_us:.0f} us a frame, {self.rss_mb:.0f} MB"
            + "".join(f"; {count} x {what}" for what, count in self.faults.items())
        )


class Stored:
    """The frames of calls.audio as they are read: each once, in order, where the one before it ended."""

    def __init__(self, samples_each: int) -> None:
        self.frames = 0
        self.displaced = 0
        self._samples = samples_each
        self._tables: dict[int, SessionTable] = {}
        self._ends: dict[tuple[int, int], int] = {}

    def take(self, partition: int, frames: Frames, keys: list[bytes | None]) -> None:
        """Take a poll of one partition."""
        identity = self._tables.setdefault(partition, SessionTable()).identify(frames, keys, 0)
        self.displaced += int(identity.missing.sum())
        audio = (frames.kind == FrameKind.AUDIO.code) & (identity.verdicts & Verdict.ACCEPTED != 0)
        self.frames += int(np.count_nonzero(audio))
        rows = np.flatnonzero(audio)
        for row, slot, position in zip(
            rows.tolist(), identity.slots[rows].tolist(), frames.position_samples[rows].tolist(), strict=True
        ):
            end = self._ends.get((partition, slot), 0)
            self.displaced += position != end or int(frames.payload_bytes[row]) != 2 * self._samples
            self._ends[partition, slot] = position + self._samples


async def place(plan: Plan, processes: int) -> list[dict[str, Any]]:
    """Place a plan's calls from processes of their own; return their reports."""
    share = [plan.calls // processes + (number < plan.calls % processes) for number in range(processes)]
    plans = [{**asdict(plan), "calls": calls, "burst": max(1, plan.burst // processes)} for calls in share if calls]
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.ingest_load",
            json.dumps(each),
            stdout=asyncio.subprocess.PIPE,
            env=child_environment({}),
        )
        for each in plans
    ]
    said = await asyncio.gather(*(process.communicate() for process in running))
    return [json.loads(out) for out, _ in said]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waited_s(pid: int) -> float:
    """Return how long a process was ready to run while others had its core (proc(5), schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def rss_mb(pid: int) -> float:
    """Return a process's resident memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def drift(http: HttpClient, ingest: ServiceProcess) -> int:
    """Return the sum of the magnitudes of every drift ingest has seen, in samples."""
    page = (await http.request("GET", f"http://127.0.0.1:{ingest.admin_port}/metrics")).body.decode()
    return round(
        sum(
            float(line.rpartition(" ")[2])
            for line in page.splitlines()
            if line.startswith("callstream_ingest_drift_samples_total")
        )
    )


def merged(reports: list[dict[str, Any]], name: str) -> Histogram:
    """Return one histogram of all reports as a whole."""
    whole = Histogram()
    for report in reports:
        one = Histogram()
        one.bins = Counter({int(index): count for index, count in report[f"{name}_bins"].items()})
        one.max_ms = report[name]["max_ms"]
        whole.merge(one)
    return whole


class Bench:
    """One ingest process, and rounds of calls for it."""

    def __init__(self, kafka: KafkaSettings, http: HttpClient, folder: Path, frame_ms: int, seconds: float) -> None:
        self._kafka, self._http = kafka, http
        self._frame_ms, self._seconds = frame_ms, seconds
        self._port = free_port()
        self.complete: Round | None = None
        (folder / "keys.json").write_text(json.dumps({_KEY: _SECRET}))
        self._ingest = ServiceProcess(
            module="ingest",
            variables={
                "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "INGEST_AUDIOHOOK_PORT": str(self._port),
                "INGEST_AUDIOHOOK_KEYS_FILE": str(folder / "keys.json"),
                "INGEST_AUDIOHOOK_MAX_CONNECTIONS": "10000",
            },
            admin_port=free_port(),
            log=folder / "ingest.log",
            folder=folder,
        )

    async def start(self) -> None:
        """Start the ingest on its core."""
        self._ingest.start()
        os.sched_setaffinity(self._pid, {_INGEST_CORE})
        await self._ingest.until_ready(self._http, 30)

    async def stop(self) -> None:
        """Stop it."""
        await self._ingest.stop()

    @property
    def _pid(self) -> int:
        return self._ingest.process.pid if self._ingest.process else 0

    async def round(self, calls: int) -> Round:
        """Place so many calls and look at what became of them."""
        plan = Plan(
            f"ws://127.0.0.1:{self._port}/audiohook/v2", _KEY, _SECRET, calls, self._frame_ms, self._seconds, _BURST
        )
        reader = await TopicReader.since(self._kafka, [AUDIO.name], await ends(self._kafka))
        drift_before = await drift(self._http, self._ingest)
        began_s, used_s, kept_s = _clock.monotonic_s(), cpu_s(self._pid), waited_s(self._pid)
        reports = await place(plan, _LOAD_PROCESSES)
        took_s, used_s = _clock.monotonic_s() - began_s, cpu_s(self._pid) - used_s
        kept_s = waited_s(self._pid) - kept_s
        sent = sum(report["frames_sent"] for report in reports)
        stored = Stored(reports[0]["samples_each"])
        await self._read(reader, stored, sent)
        await reader.close()
        pongs, late = merged(reports, "pong"), merged(reports, "late")
        faults: Counter[str] = Counter()
        for report in reports:
            faults.update(report["faults"])
        return Round(
            calls=calls,
            calls_ok=sum(report["calls_ok"] for report in reports),
            frames_sent=sent,
            stored=stored.frames,
            displaced=stored.displaced,
            drift_samples=await drift(self._http, self._ingest) - drift_before,
            pong_p99_ms=pongs.percentile_ms(0.99),
            pong_max_ms=round(pongs.max_ms, 1),
            late_p99_ms=late.percentile_ms(0.99),
            load_cpu_ratio=sum(report["cpu_s"] for report in reports) / took_s,
            core_ratio=used_s / took_s,
            wait_ratio=kept_s / took_s,
            frame_us=used_s / sent * 1e6 if sent else 0.0,
            rss_mb=rss_mb(self._pid),
            faults=faults,
        )

    async def _read(self, reader: TopicReader, stored: Stored, frames: int) -> None:
        """Read until so many frames are there, or none came for long, TICKs aside."""
        last_s = _clock.monotonic_s()
        handlers = Handlers(stored.take, lambda _: None)
        while stored.frames < frames and _clock.monotonic_s() - last_s < _LONGEST_WAIT_S:
            before = stored.frames
            await reader.poll(handlers)
            if stored.frames > before:
                last_s = _clock.monotonic_s()

    def takes_s(self, calls: int) -> float:
        """Return how long a round may take."""
        return 2 * calls / _BURST + self._seconds + _READ_S

    async def largest(self, rounds: list[int], within_s: float) -> Round | None:
        """Return the round with the most calls that holds: of those given, then of those between.

        `complete` is left as the one with the most calls of which nothing was lost, however late the pongs were.
        """
        until_s = _clock.monotonic_s() + within_s
        best: Round | None = None
        steps = list(rounds)
        while steps:
            calls = steps.pop(0)
            done = await self._tried(calls, until_s)
            if done is None:
                print(f"{calls} calls: no time left", flush=True)
            elif done.holds:
                best = done
                continue
            lower = best.calls if best else 0
            middle = (lower + calls) // 2 // _FINEST * _FINEST
            steps = [middle] if len(rounds) > 1 and middle > lower else []
        return best

    async def _tried(self, calls: int, until_s: float) -> Round | None:
        """Return a round of so many calls, the second where the first does not hold; None where there is no time."""
        done: Round | None = None
        for _ in range(2):
            if _clock.monotonic_s() + self.takes_s(calls) > until_s:
                break
            done = await self.round(calls)
            print(done.line(), flush=True)
            if done.complete and (self.complete is None or calls > self.complete.calls):
                self.complete = done
            if done.holds:
                break
        return done


async def measure(frame_ms: int, seconds: float, rounds: list[int], within_s: float) -> None:
    """Run the rounds and print them."""
    os.sched_setaffinity(0, {_LOAD_CORE})
    with tempfile.TemporaryDirectory(prefix="callstream-bench-") as name:
        async with broker() as kafka, HttpClient("admin", timeout_s=5.0, any_status=True) as http:
            bench = Bench(kafka, http, Path(name), frame_ms, seconds)
            await bench.start()
            try:
                best = await bench.largest(rounds, within_s)
            finally:
                await bench.stop()
    shown = best or bench.complete
    if shown is None:
        result("ingest", sessions=0, frame_ms=frame_ms, complete=0)
        return
    result(
        "ingest",
        sessions=best.calls if best else 0,
        frame_ms=frame_ms,
        complete=bench.complete.calls if bench.complete else 0,
        pong_p99_ms=shown.pong_p99_ms,
        drift_samples=shown.drift_samples,
        load_late_p99_ms=shown.late_p99_ms,
        load_core_ratio=round(shown.load_cpu_ratio, 2),
        core_ratio=round(shown.core_ratio, 2),
        wait_ratio=round(shown.wait_ratio, 2),
        frame_us=round(shown.frame_us),
        rss_mb=round(shown.rss_mb),
    )


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="./dev bench ingest", description="How many calls one ingest process holds.")
    parser.add_argument("--sessions", type=int, help="so many calls only, not the largest number that holds")
    parser.add_argument("--frame-ms", type=int, default=_USUAL_FRAME_MS, help="length of a frame (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long all calls are there (%(default)s)")
    parser.add_argument("--within-s", type=float, default=270.0, help="how long looking for it may take (%(default)s)")
    given = parser.parse_args()
    rounds = [given.sessions] if given.sessions else [calls * given.frame_ms // _USUAL_FRAME_MS for calls in _CALLS]
    within_s = math.inf if given.sessions else given.within_s
    asyncio.run(measure(given.frame_ms, given.seconds, rounds, within_s))


if __name__ == "__main__":
    main()
