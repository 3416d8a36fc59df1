"""What the benchmarks of turns share: a broker, a bot without latency, cognigy as a process of its own, and callers."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.rig import PARTITIONS, broker
from callstream.embedded_process import GuardedProcess, last_lines
from processors.cognigy.messages import turn_id
from runtime.clock import SystemClock
from runtime.config import KafkaSettings, child_environment
from runtime.kafka import Partitioner, start_producer
from schemas.codec import SchemaStore
from schemas.records import Origin, Utterance
from schemas.symbols import Channel, UtteranceInput, UtteranceKind
from schemas.topics import UTTERANCES
from simulators.cognigy.script import Answer, Output, Script
from simulators.cognigy.server import CognigyServer

ROOT = Path(__file__).parents[1]
TOKEN = "7ea5e7" * 10 + "beef"
STORE = SchemaStore()
_READY_S, _END_S = 60, 180
_clock = SystemClock()


@dataclass
class Line:
    """A worker that is up, its bot, and what its callers have said."""

    kafka: KafkaSettings
    bot: CognigyServer
    worker: GuardedProcess
    log: Path
    samples: Path
    said: list[str] = field(default_factory=list)

    async def say(self, conversations: int, count: int, rate_per_s: float | None) -> None:
        """Let callers speak in turn, at a rate, or all at once."""
        producer = await start_producer(self.kafka, client_id="bench", linger_ms=0)
        partitioner = Partitioner(PARTITIONS)
        begun_s = _clock.monotonic_s()
        for number in range(count):
            if rate_per_s is not None:
                await asyncio.sleep(max(0.0, begun_s + number / rate_per_s - _clock.monotonic_s()))
            name = f"call-{number % conversations}"
            one = utterance(name, len(self.said))
            self.said.append(turn_id(one.utterance_id))
            key = name.encode()
            await producer.send(UTTERANCES.name, STORE.encode(one), key=key, partition=partitioner.partition(key))
        await producer.flush()
        await producer.stop()

    async def heard(self, count: int) -> None:
        """Wait until the bot has taken so many inputs."""
        async with asyncio.timeout(_END_S):
            await self.bot.took(count)

    def cpu_s(self) -> float:
        """Return the worker's processor time so far."""
        fields = Path(f"/proc/{self.worker.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def stop(self) -> list[dict[str, float]]:
        """Stop the worker; return the times of its turns."""
        await self.worker.stop(60)
        times: list[dict[str, float]] = json.loads(self.samples.read_text())
        return times


def utterance(conversation: str, number: int) -> Utterance:
    """Return a text that was said now."""
    return Utterance(
        kind=UtteranceKind.TEXT,
        conversation_id=conversation,
        session_id=conversation,
        channel=Channel.EXTERNAL,
        utterance_id=f"{conversation}/{number}",
        input=UtteranceInput.PLATFORM,
        text="I would like to know where my order is.",
        language="en-US",
        event_counter=number,
        occurred_at_us=round(_clock.wall_s() * 1e6),
        origin=Origin(topic="calls.events", partition=0, offset=number, index=0),
    )


@asynccontextmanager
async def line(delay_s: float = 0.0) -> AsyncIterator[Line]:
    """Yield a worker that has its partitions, against a bot that answers after so long."""
    script = Script(otherwise=lambda _: Answer((Output("It is on its way.", {"intent": "order"}),), delay_s=delay_s))
    with tempfile.TemporaryDirectory(prefix="callstream-turns-") as name:
        folder = Path(name)
        async with broker() as kafka, CognigyServer(TOKEN, script) as bot:
            log, samples = folder / "worker.log", folder / "samples.json"
            variables = {
                "PYTHONPATH": os.fspath(ROOT),
                "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "COGNIGY_ENDPOINT_URL": bot.url,
                "COGNIGY_URL_TOKEN": TOKEN,
                "COGNIGY_ADMIN_PORT": "0",
                "COGNIGY_RATE_PER_S": "10000",
                "COGNIGY_BURST": "10000",
                "COGNIGY_MAX_INPUT_AGE_S": "600",
                "COGNIGY_FORWARDER_MAX_IN_FLIGHT": "128",
            }
            command = [sys.executable, "-m", "benchmarks.turn_worker", str(samples)]
            worker = GuardedProcess(command, folder, log, environment=child_environment(variables))
            try:
                async with asyncio.timeout(_READY_S):
                    while log.read_text().count("partition taken over") < PARTITIONS:
                        if worker.exit_code() is not None:
                            raise AssertionError(last_lines(log))
                        await asyncio.sleep(0.1)
                yield Line(kafka, bot, worker, log, samples)
            finally:
                worker.kill()


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile of values: the smallest that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
