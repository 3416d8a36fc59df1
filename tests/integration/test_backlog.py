"""Three seconds that a peer held up and delivers at once: who listens live is not behind, the recording holds all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from audio.frames import Frames, decode
from ingest.config import IngestSettings, OAuthSettings
from ingest.platform_settings import PlatformSettings
from ingest.sources.conversation_audio.config import ConversationAudioSettings
from ingest.sources.media_streams.config import MediaStreamsSettings
from runtime.clock import SystemClock
from runtime.kafka import NewTopic, TopicPartition, start_admin, start_consumer
from runtime.service import Service, run
from schemas import topics
from schemas.codec import SchemaStore
from schemas.symbols import FrameKind
from simulators.conversation_audio.server import ConversationAudioServer
from simulators.live_call import script as live
from simulators.live_call.player import LivePlayer
from simulators.media_streams.script import Drop, Script
from simulators.media_streams.server import PATH, Interaction, MediaStreamsServer
from simulators.oauth.server import OAuthServer
from simulators.websocket_server.server import Server
from sinks.recording_sync.__main__ import start
from sinks.recording_sync.config import RecordingSyncSettings
from tests.integration.test_dialled_sources import base  # noqa: F401 - a fixture
from tests.integration.test_ingest import PARTITIONS, create_topics, ingest, until
from tests.sinks.recording_sync.calls import Desk

pytestmark = pytest.mark.kafka

CALL = "call-1"
LOST_MS, OUTAGE_S = 1500, 3.0
AUDIO = live.channel("external")[: 9 * 8000]
STORE = SchemaStore()
KEEPING = {"attempts": 1_000, "first_delay_s": 0.01, "longest_delay_s": 0.02, "start_spread_s": 0, "close_timeout_s": 1}


class Heard(NamedTuple):
    """A frame, when ingest had it and when the listener (epoch)."""

    position_samples: int
    end_samples: int
    late: bool
    captured_s: float
    heard_s: float


@contextlib.asynccontextmanager
async def conversation_audio(settings: IngestSettings) -> AsyncIterator[tuple[IngestSettings, Server]]:
    actions = (live.Cut(LOST_MS),)
    call = LivePlayer(live.Script(audio=AUDIO, actions=actions, backlog_ms=60_000).plan())
    server = ConversationAudioServer({CALL: call})
    async with server.serving() as url:
        own = ConversationAudioSettings(url=url + server.path("{conversation_id}"), conversations=(CALL,), **KEEPING)
        yield settings.model_copy(update={"conversation_audio": own}), server


@contextlib.asynccontextmanager
async def media_streams(settings: IngestSettings) -> AsyncIterator[tuple[IngestSettings, Server]]:
    plan = Script(audio=AUDIO, actions=(Drop(LOST_MS),)).plan()
    server = MediaStreamsServer([Interaction(CALL, plan, backlog_ms=60_000)], is_valid=bool)
    oauth = OAuthServer()
    async with server.serving() as url, oauth.serving() as token_url:
        own = MediaStreamsSettings(url=url + PATH, interactions=(CALL,), **KEEPING)
        tokens = OAuthSettings(token_url=token_url, client_id="client", client_secret=SecretStr("secret"))
        yield settings.model_copy(update={"media_streams": own, "oauth": tokens}), server


@contextlib.asynccontextmanager
async def recording(settings: IngestSettings, desk: Desk) -> AsyncIterator[None]:
    """recording_sync over the topics of an ingest."""
    own = RecordingSyncSettings(
        kafka=settings.kafka,
        store_url=(desk.root / "store").as_uri(),
        work_folder=desk.root / "work",
        write_interval_s=0.05,
    )
    admin = await start_admin(settings.kafka, client_id="test")
    prefix = settings.kafka.topic_prefix
    names = (topics.RECORDINGS.name, topics.dead_letters("recording_sync").name)
    await admin.create_topics([NewTopic(f"{prefix}{name}", PARTITIONS, 1) for name in names])
    await admin.close()
    begun: asyncio.Future[Service[RecordingSyncSettings]] = asyncio.get_running_loop().create_future()

    async def begin(service: Service[RecordingSyncSettings]) -> None:
        begun.set_result(service)
        await start(service, f"{prefix}{topics.AUDIO.name}")

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run("recording_sync", own, begin, signals=False))
        service = await begun
        yield
        service.stopping.set()
        assert await running == 0


class Listener:
    """Reads the audio as it comes."""

    def __init__(self, settings: IngestSettings) -> None:
        self.heard: list[Heard] = []
        self.session = bytes(16)
        self._settings = settings

    async def run(self) -> None:
        name = f"{self._settings.kafka.topic_prefix}{topics.AUDIO.name}"
        consumer = await start_consumer(self._settings.kafka, client_id="listener", auto_offset_reset="earliest")
        consumer.assign([TopicPartition(name, number) for number in range(PARTITIONS)])
        try:
            while True:
                for records in (await consumer.getmany(timeout_ms=20)).values():
                    self._take(decode([record.value for record in records if record.key], STORE))
        finally:
            await consumer.stop()

    def _take(self, frames: Frames) -> None:
        now_s = SystemClock().wall_s()
        for row, kind in enumerate(frames.kind):
            if kind == FrameKind.AUDIO.code:
                self.session = bytes(frames.session_id[row])
                start = int(frames.position_samples[row])
                end = start + int(frames.duration_samples[row])
                at_s = frames.captured_at_us[row] / 1e6
                self.heard.append(Heard(start, end, bool(frames.late[row]), at_s, now_s))


@pytest.mark.parametrize("peer", [conversation_audio, media_streams])
async def test_a_backlog_delivered_at_once_is_recorded_whole_and_who_listens_live_is_not_behind(
    base,  # noqa: F811 - the fixture
    tmp_path,
    peer,
):
    desk = Desk(tmp_path)
    await create_topics(base)
    plain = base.model_copy(update={"publish_when_pause_unknown": True, "platform": PlatformSettings(poll=False)})
    async with peer(plain) as (settings, server), recording(settings, desk), asyncio.TaskGroup() as tasks:
        listener = Listener(settings)
        listening = tasks.create_task(listener.run())
        async with ingest(settings):
            await server.until(lambda: bool(server.connections) and not server.peers())
            server.refuse_next(10_000, 503)
            await asyncio.sleep(OUTAGE_S)
            server.refuse_no_more()
            await until(lambda: listener.heard and listener.heard[-1].end_samples == len(AUDIO))
        await until(lambda: any(key.endswith(".wav") for key in desk.found()))
        listening.cancel()
    heard = listener.heard
    # all of it is stored, once, at its place
    assert [frame.position_samples for frame in heard] == list(range(0, len(AUDIO), 160))
    assert desk.samples(listener.session) == AUDIO
    assert desk.sidecar(listener.session)["gaps"] == []
    # who plays what is not late is not behind, from a second after the reconnect on
    late = [frame for frame in heard if frame.late]
    assert sum(frame.end_samples - frame.position_samples for frame in late) / 8000 == pytest.approx(
        OUTAGE_S - 0.2, abs=0.4
    )
    back_s = late[0].captured_s
    spoken_s = min(frame.captured_s - frame.end_samples / 8000 for frame in heard)
    after = [frame for frame in heard if frame.heard_s > back_s + 1]
    behind_s = sorted(frame.heard_s - spoken_s - frame.end_samples / 8000 for frame in after)
    assert not any(frame.late for frame in after)
    assert len(after) > 50
    assert behind_s[len(behind_s) // 2] < 0.3
