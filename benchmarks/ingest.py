"""AudioHook calls in real time on one ingest process on one core; broker and load share the other.

A round of N stereo calls counts as sustained when every call went as scripted, every frame is on calls.audio, and the
platform's stated position never left ours. Rounds grow until one fails or the list ends; the last sustained one is the
result. The load client states its own lateness, so that it can be seen not to be the limit.
`./dev bench ingest [frame_ms] [seconds] [calls …]`.
"""

import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rig import broker, result
from callstream.demo.evidence import Evidence
from callstream.demo.reader import Handlers, TopicReader
from callstream.demo.services import ServiceProcess, free_port
from callstream.demo.sweep import ends
from runtime.clock import SystemClock
from runtime.http import HttpClient
from schemas.topics import AUDIO

_LOAD_CORE, _INGEST_CORE = 0, 1
_clock = SystemClock()


@dataclass(frozen=True)
class Round:
    """What one round of calls came to."""

    calls: int
    report: dict[str, Any]
    stored: int
    drift_samples: int
    cpu_ratio: float
    rss_mb: float

    @property
    def sustained(self) -> bool:
        """True when nothing was lost, late beyond the protocol, or drifting."""
        totals = self.report["totals"]
        return self.report["ok"] and self.stored == totals["frames_sent"] and self.drift_samples == 0

    def line(self) -> str:
        """Return the round in one line."""
        totals = self.report["totals"]
        return (
            f"{self.calls} calls: {'sustained' if self.sustained else 'NOT sustained'}; {totals['calls_ok']} calls ok, "
            f"{totals['frames_sent']} frames sent, {self.stored} stored, "
            f"pong p99 {totals['pong_round_trip']['p99_ms']} ms, drift {self.drift_samples}, "
            f"load late p99 {totals['lateness']['p99_ms']} ms, "
            f"ingest {self.cpu_ratio:.0%} of a core, {self.rss_mb:.0f} MB"
        )


async def place(url: str, folder: Path, calls: int, frame_ms: int, seconds: float) -> dict[str, Any]:
    """Place calls from a process of its own; return its report."""
    report = folder / f"report-{calls}.json"
    command = [sys.executable, "-m", "simulators.audiohook", url, "--calls", str(calls), "--scenario", "tone"]
    command += ["--duration-s", str(seconds), "--frame-ms", str(frame_ms), "--report", str(report)]
    command += ["--stagger-ms", "10", "--api-key-file", str(folder / "key"), "--secret-file", str(folder / "secret")]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    await process.wait()
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def cpu_s(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


async def stored_frames(reader: TopicReader) -> int:
    """Return how many frames are on calls.audio since the reader was made."""
    evidence = Evidence()
    await reader.all(Handlers(evidence.frames, evidence.record))
    return sum(call.frames for call in evidence.stored.values())


async def measure(frame_ms: int, seconds: float, rounds: list[int]) -> None:
    """Run the rounds and print them."""
    os.sched_setaffinity(0, {_LOAD_CORE})
    best: Round | None = None
    with tempfile.TemporaryDirectory(prefix="callstream-bench-") as name:
        folder = Path(name)
        (folder / "keys.json").write_text(json.dumps({"bench-key": "YmVuY2gtc2VjcmV0LWJlbmNoLXNlY3JldA=="}))
        (folder / "key").write_text("bench-key")
        (folder / "secret").write_text("YmVuY2gtc2VjcmV0LWJlbmNoLXNlY3JldA==")
        async with broker() as kafka, HttpClient("admin", timeout_s=5.0, any_status=True) as http:
            port = free_port()
            ingest = ServiceProcess(
                module="ingest",
                variables={
                    "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                    "INGEST_AUDIOHOOK_PORT": str(port),
                    "INGEST_AUDIOHOOK_KEYS_FILE": str(folder / "keys.json"),
                    "INGEST_AUDIOHOOK_MAX_CONNECTIONS": "10000",
                },
                admin_port=free_port(),
                log=folder / "ingest.log",
                folder=folder,
            )
            ingest.start()
            pid = ingest.process.pid if ingest.process else 0
            os.sched_setaffinity(pid, {_INGEST_CORE})
            await ingest.until_ready(http, 30)
            for calls in rounds:
                reader = await TopicReader.since(kafka, [AUDIO.name], await ends(kafka))
                began_s, used_s = _clock.monotonic_s(), cpu_s(pid)
                report = await place(f"ws://127.0.0.1:{port}/audiohook/v2", folder, calls, frame_ms, seconds)
                share = (cpu_s(pid) - used_s) / (_clock.monotonic_s() - began_s)
                await asyncio.sleep(1)
                stored = await stored_frames(reader)
                await reader.close()
                done = Round(calls, report, stored, await drift(http, ingest), share, rss_mb(pid))
                print(done.line())
                if not done.sustained:
                    break
                best = done
            await ingest.stop()
    if best is None:
        result("ingest", sessions=0, frame_ms=frame_ms)
        return
    result(
        "ingest",
        sessions=best.calls,
        frame_ms=frame_ms,
        pong_p99_ms=best.report["totals"]["pong_round_trip"]["p99_ms"],
        drift_samples=best.drift_samples,
        load_late_p99_ms=best.report["totals"]["lateness"]["p99_ms"],
        core_ratio=round(best.cpu_ratio, 2),
        rss_mb=round(best.rss_mb),
    )


if __name__ == "__main__":
    given = [float(value) for value in sys.argv[1:]]
    asyncio.run(
        measure(
            int(given[0]) if given else 200,
            given[1] if len(given) > 1 else 15.0,
            [int(value) for value in given[2:]] or [100, 300, 600, 1000],
        )
    )
