"""Two real ingest processes on a real broker: exactly one follows a call, and the other takes it over.

Times are those of the records: the broker's own where a record's stands (`LogAppendTime`), the processes' for gaps.
"""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from audio.frames import decode
from callstream.embedded_process import GuardedProcess, last_lines
from callstream.topics_command import apply_catalogue
from ingest.publishing import SubscriptionsTopic
from ingest.wishes import Change
from runtime.config import KafkaSettings, RegistrySettings, child_environment
from runtime.kafka import Partitioner, TopicPartition, start_consumer
from runtime.registry import Registry
from schemas.codec import SchemaStore
from schemas.records import SessionInfo, Subscription
from schemas.symbols import FrameKind, Reason
from schemas.topics import AUDIO
from simulators.media_streams.script import Script, channel
from simulators.media_streams.server import PATH, Interaction, MediaStreamsServer
from simulators.oauth.server import OAuthServer
from tests.integration.test_ingest import free_port

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
RATE_HZ = 8000
WITHIN_S = 10.0
STORE = SchemaStore()
FOLLOWED = "subscriptions are followed"


@dataclass
class Seen:
    """A session of the call as calls.audio tells it; each entry is (kind, reason, broker's time, captured, place)."""

    info: SessionInfo | None = None
    marks: list[tuple[str, str]] = field(default_factory=list)
    written_s: list[float] = field(default_factory=list)
    captured_s: list[float] = field(default_factory=list)
    audio_s: list[float] = field(default_factory=list)
    audio_captured_s: list[float] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    gap_samples: list[int] = field(default_factory=list)


class Scene:
    """The call, who streams it, and the processes that may follow it."""

    def __init__(self, kafka: str, folder: Path) -> None:
        self.kafka = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
        self.folder = folder
        # the first process keeps the partition when the second joins: it gives up those without calls
        self.call = next(name for name in map(str, range(99)) if Partitioner(PARTITIONS).partition(name.encode()) == 0)
        self.oauth = OAuthServer()
        plan = Script(audio=channel("external") * 6).plan()
        self.media = MediaStreamsServer([Interaction(self.call, plan)], is_valid=self.oauth.is_valid)
        self.processes: list[tuple[GuardedProcess, Path]] = []
        self.sessions: dict[bytes, Seen] = {}
        self._variables: dict[str, str] = {}
        self._consumer: Any = None

    @asynccontextmanager
    async def set_up(self) -> AsyncIterator["Scene"]:
        await apply_catalogue(self.kafka, PARTITIONS)
        self._consumer = await start_consumer(self.kafka, client_id="check", auto_offset_reset="earliest")
        self._consumer.assign([TopicPartition(f"{self.kafka.topic_prefix}{AUDIO.name}", 0)])
        try:
            async with self.oauth.serving() as token_url, self.media.serving() as media_url:
                self._variables = {
                    "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
                    "TOPIC_PREFIX": self.kafka.topic_prefix,
                    "PYTHONPATH": str(ROOT),
                    "INGEST_ADMIN_PORT": "0",
                    "INGEST_OAUTH_TOKEN_URL": token_url,
                    "INGEST_OAUTH_CLIENT_ID": "client",
                    "INGEST_OAUTH_CLIENT_SECRET": "secret",
                    "INGEST_MEDIA_STREAMS_URL": f"{media_url}{PATH}",
                    "INGEST_MEDIA_STREAMS_CLOSE_TIMEOUT_S": "1",
                    "INGEST_PUBLISH_WHEN_PAUSE_UNKNOWN": "true",
                    "INGEST_DRAIN_SESSIONS_S": "0",
                }
                yield self
        finally:
            for process, _ in self.processes:
                process.kill()
            await self._consumer.stop()

    def start(self) -> int:
        """Start an ingest process and return its number."""
        number = len(self.processes)
        log = self.folder / f"ingest-{number}.log"
        variables = {**self._variables, "INGEST_AUDIOHOOK_PORT": str(free_port())}
        command = [sys.executable, "-m", "ingest"]
        self.processes.append(
            (GuardedProcess(command, self.folder, log, environment=child_environment(variables)), log)
        )
        return number

    def signal(self, number: int, what: signal.Signals) -> None:
        os.kill(self.processes[number][0].pid, what)

    async def is_member(self, number: int) -> None:
        log = self.processes[number][1]
        await self.until(lambda: FOLLOWED in log.read_text())

    async def ask(self, *, stop: bool = False) -> None:
        """Ask for the call, or take it back."""
        topic = SubscriptionsTopic(self.kafka, Registry(RegistrySettings()), STORE, "test")
        wish = Subscription(conversation_id=self.call, source_name="media-streams", requested_by="operator test")
        await topic.write([Change(self.call, self.call, None if stop else wish)], PARTITIONS)

    async def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Read on until something holds."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    for records in (await self._consumer.getmany(timeout_ms=50)).values():
                        self._take(records)
        except TimeoutError:
            logs = "\n".join(f"--- {log.name}\n{last_lines(log)}" for _, log in self.processes)
            message = f"did not come: {list(self.sessions.values())!r:.2000}\n{logs}"
            raise AssertionError(message) from None

    def _take(self, records: list[Any]) -> None:
        mine = [record for record in records if record.key == self.call.encode()]
        frames = decode([record.value for record in mine], STORE)
        for row, record in enumerate(mine):
            seen = self.sessions.setdefault(frames.session_id[row].tobytes(), Seen())
            kind, at_s = list(FrameKind)[frames.kind[row]], record.timestamp / 1000
            seen.written_s.append(at_s)
            seen.captured_s.append(frames.captured_at_us[row] / 1e6)
            if kind is FrameKind.AUDIO:
                seen.audio_s.append(at_s)
                seen.audio_captured_s.append(frames.captured_at_us[row] / 1e6)
                seen.positions.append(int(frames.position_samples[row]))
            elif kind is not FrameKind.ALIVE:
                seen.marks.append((kind.value, list(Reason)[frames.reason[row]].value))
            if kind is FrameKind.GAP:
                seen.gap_samples.append(int(frames.duration_samples[row]))
            if row in frames.infos:
                seen.info = frames.infos[row]

    @property
    def ids(self) -> list[bytes]:
        """The sessions in the order they were opened."""
        return sorted(self.sessions)

    async def audio_of(self, number: int) -> Seen:
        """Wait until so many sessions have audio, and return the last."""
        await self.until(lambda: len(self.ids) > number and len(self.sessions[self.ids[number]].audio_s) > 25)
        assert len(self.ids) == number + 1
        return self.sessions[self.ids[number]]

    def check_successor(self, number: int) -> float:
        """Hold a session against the one it goes on from; return how long nobody's audio was stored, s."""
        before, after = (self.sessions[self.ids[at]] for at in (number - 1, number))
        assert after.info is not None
        assert after.info.continued_from == str(UUID(bytes=self.ids[number - 1]))
        assert after.marks[:2] == [("OPENED", "UNKNOWN"), ("GAP", "TAKEOVER")]
        gap_s = after.gap_samples[0] / RATE_HZ
        # the first packet takes 20 ms: the gap ends where it begins
        before_s = max(at_s for at_s in before.captured_s if at_s < after.captured_s[0])
        assert gap_s == pytest.approx(after.audio_captured_s[0] - before_s - 0.02, abs=0.005)
        assert after.positions[0] == after.gap_samples[0]
        return after.audio_s[0] - max(at_s for at_s in before.audio_s if at_s <= after.audio_s[0])


def tell(capsys: pytest.CaptureFixture[str], measured: str) -> None:
    with capsys.disabled():
        # a process that shares a run has no other way out
        sys.stderr.write(f"\nRESULT {measured}\n")


@pytest.fixture
async def scene(kafka, tmp_path):
    async with Scene(kafka, tmp_path).set_up() as scene:
        first = scene.start()
        await scene.is_member(first)
        await scene.ask()
        await scene.audio_of(0)
        second = scene.start()
        await scene.is_member(second)
        # the join moved nothing
        count = len(scene.sessions[scene.ids[0]].audio_s)
        await scene.until(lambda: len(scene.sessions[scene.ids[0]].audio_s) > count + 50)
        assert len(scene.ids) == 1
        assert len(scene.media.peers(scene.call)) == 1
        yield scene


async def test_a_killed_process_s_call_is_taken_over_within_ten_seconds_with_the_gap_announced(scene, capsys):
    scene.signal(0, signal.SIGKILL)
    after = await scene.audio_of(1)
    without_s = scene.check_successor(1)
    before = scene.sessions[scene.ids[0]]
    tell(capsys, f"takeover kill -9: {without_s:.2f} s without audio of the call")
    assert without_s < WITHIN_S
    assert max(before.written_s) < min(after.written_s)
    assert before.marks == [("OPENED", "UNKNOWN")]
    await scene.ask(stop=True)
    await scene.until(lambda: after.marks[-1] == ("CLOSED", "END"))
    assert len(scene.media.peers(scene.call)) == 0
    assert len(scene.ids) == 2


async def test_a_clean_stop_hands_a_call_over_faster(scene, capsys):
    scene.signal(0, signal.SIGTERM)
    after = await scene.audio_of(1)
    without_s = scene.check_successor(1)
    tell(capsys, f"takeover clean stop: {without_s:.2f} s without audio of the call")
    assert scene.sessions[scene.ids[0]].marks[-1] == ("CLOSED", "DRAIN")
    assert without_s < WITHIN_S / 2
    assert after.marks[-1] == ("GAP", "TAKEOVER")
    await scene.until(lambda: scene.processes[0][0].exit_code() is not None)
    assert scene.processes[0][0].exit_code() == 0


async def test_a_frozen_process_stops_following_when_it_wakes(scene, capsys):
    scene.signal(0, signal.SIGSTOP)
    after = await scene.audio_of(1)
    without_s = scene.check_successor(1)
    before = scene.sessions[scene.ids[0]]
    tell(capsys, f"takeover frozen: {without_s:.2f} s without audio of the call")
    assert without_s < WITHIN_S
    scene.signal(0, signal.SIGCONT)
    woken_s = after.written_s[-1]
    await scene.until(lambda: before.marks[-1] == ("CLOSED", "TAKEOVER"))
    tell(capsys, f"takeover woken: {before.written_s[-1] - woken_s:.2f} s until it stopped following")
    count = len(after.audio_s)
    await scene.until(lambda: len(after.audio_s) > count + 100)
    assert before.marks[-1] == ("CLOSED", "TAKEOVER")
    assert after.marks[-1] == ("GAP", "TAKEOVER")
    assert len(scene.ids) == 2
    assert len(scene.media.peers(scene.call)) == 1
