"""Sources we call, over real sockets and a real broker: stand-ins send, ingest dials, and what is stored is read."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect

from audio.frames import Frames, decode
from ingest.config import IngestSettings, OAuthSettings
from ingest.platform_settings import PlatformSettings
from ingest.sources.appfoundry.config import AppFoundrySettings
from ingest.sources.audiohook.config import AudioHookSettings
from ingest.sources.media_streams.config import MediaStreamsSettings
from runtime.config import KafkaSettings, ServiceSettings
from runtime.kafka import TopicPartition, start_consumer
from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, FrameKind, Reason, Source
from simulators.appfoundry.script import Timeline
from simulators.appfoundry.server import AppFoundryServer
from simulators.media_streams.messages import packet_text
from simulators.media_streams.script import PACKET_SAMPLES, Drop, Packet, Script, channel
from simulators.media_streams.server import PATH, Interaction, MediaStreamsServer
from simulators.oauth.server import OAuthServer
from tests.ingest.sources.audiohook.test_auth import headers
from tests.ingest.sources.audiohook.words import Client
from tests.integration.test_ingest import PARTITIONS, create_topics, free_port, ingest, symbol, until, url

pytestmark = pytest.mark.kafka

CALL = "0b2c3d4e-1111-4222-8333-944455566677"
SOCKET = "socket-1"
APP = "app-1"
SPEED = 8.0
SECRET_WORDS = "MARKER-4111"
SECRET_AUDIO = bytes(reversed(range(0x40, 0x40 + PACKET_SAMPLES // 2))) * 2
HEADERS = [(name, value) for name, value in headers(X_API_KEY="open") if name != "Host"]
DIALLED = (Source.MEDIA_STREAMS, Source.APPFOUNDRY)
SPOKEN = channel("external")[: 3 * 8000]


@dataclass
class Peers:
    """The stand-ins of one test, one of each kind."""

    plan: Script | None = None
    oauth: OAuthServer = field(default_factory=OAuthServer)
    media: MediaStreamsServer = field(init=False)
    app: AppFoundryServer = field(init=False)
    media_url: str = ""
    app_url: str = ""
    token_url: str = ""

    def __post_init__(self) -> None:
        live = self.plan is not None
        script = self.plan or Script(audio=SPOKEN)
        interactions = [Interaction(CALL, script.plan(), starts_on_subscription=live)]
        self.media = MediaStreamsServer(interactions, is_valid=self.oauth.is_valid, speed=SPEED)
        self.app = AppFoundryServer(APP, {SOCKET: Timeline()}, is_valid=self.oauth.is_valid)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Peers"]:
        async with (
            self.oauth.serving() as self.token_url,
            self.media.serving() as self.media_url,
            self.app.serving() as self.app_url,
        ):
            yield self

    async def speak(self, number: int, payload: bytes) -> None:
        """Send one packet of the call, apart from any script."""
        place = number * PACKET_SAMPLES
        packet = Packet(0, number, place, payload, place, number, 0)
        assert await self.media.inject(packet_text(CALL, packet), CALL) == 1


@pytest.fixture
def base(kafka, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"open": ""}))
    return IngestSettings(
        kafka=KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex}."),
        service=ServiceSettings(drain_budget_s=15),
        audiohook=AudioHookSettings(port=free_port(), keys_file=keys, close_deadline_s=2),
        tick_interval_s=0.2,
        drain_sessions_s=0,
    )


def dialling(base: IngestSettings, peers: Peers, *, publish: bool = True, app: bool = False, **media) -> IngestSettings:
    """Settings with every peer's place; `media` overrides how media streams are kept."""
    keeping = {"attempts": 5, "first_delay_s": 0.02, "longest_delay_s": 0.1, "close_timeout_s": 1}
    keeping |= {"retry_not_available_s": 0.1, "not_available_tries": 1, **media}
    return base.model_copy(
        update={
            "oauth": OAuthSettings(token_url=peers.token_url, client_id="client", client_secret=SecretStr("secret")),
            "platform": PlatformSettings(poll=False),
            "media_streams": MediaStreamsSettings(url=f"{peers.media_url}{PATH}", interactions=(CALL,), **keeping),
            "appfoundry": AppFoundrySettings(
                url=peers.app_url + "/v2/appfoundry/apps/{app_id}/websockets/{websocket_id}",
                app_id=APP,
                sockets={SOCKET: CALL} if app else {},
                first_delay_s=0.02,
                close_timeout_s=1,
            ),
            "publish_when_pause_unknown": publish,
            "resume_guard_s": 0.3,
        }
    )


class Stored:
    """What both topics hold of the call, TICKs apart; `values` are all bytes of both."""

    def __init__(self, audio: list, events: list) -> None:
        store = SchemaStore()
        self.values = [value for _, value in audio + events]
        self.frames: Frames = decode([value for key, value in audio if key == CALL.encode()], store)
        decoded = [store.decode(value, CallEvent) for key, value in events if key == CALL.encode()]
        self.events = decoded

    def rows(self, source: Source = Source.MEDIA_STREAMS) -> list[int]:
        return [row for row in range(len(self.frames.kind)) if self.frames.source[row] == source.code]

    def column(self, name: str) -> list[int]:
        """A column of the audio of media streams, in the order of the topic."""
        return [int(getattr(self.frames, name)[row]) for row in self.audio_rows()]

    def audio_rows(self) -> list[int]:
        return [row for row in self.rows() if self.frames.kind[row] == FrameKind.AUDIO.code]

    def payloads(self) -> list[bytes]:
        return [self.frames.payload(row) for row in self.audio_rows()]

    def marks(self, source: Source = Source.MEDIA_STREAMS) -> list[tuple[str, str]]:
        frames = self.frames
        found = [(symbol(FrameKind, frames.kind[row]), symbol(Reason, frames.reason[row])) for row in self.rows(source)]
        return [mark for mark in found if mark[0] not in ("AUDIO", "ALIVE")]

    def place(self, kind: FrameKind) -> list[tuple[int, int]]:
        rows = [row for row in self.rows() if self.frames.kind[row] == kind.code]
        return [(int(self.frames.position_samples[row]), int(self.frames.duration_samples[row])) for row in rows]

    def of(self, kind: CallEventKind, source: Source) -> list[CallEvent]:
        return [event for event in self.events if (event.kind, event.source) == (kind, source)]

    def texts(self) -> list[str | None]:
        return [event.text for event in self.of(CallEventKind.TRANSCRIPT, Source.APPFOUNDRY)]


class Reader:
    """Reads both topics on, for as long as a test goes on."""

    def __init__(self, consumer: object, names: dict[str, str]) -> None:
        self._consumer = consumer
        self._names = names
        self._found: dict[str, list[tuple[bytes | None, bytes]]] = {name: [] for name in names}

    async def until(self, condition: Callable[[Stored], object]) -> Stored:
        """Return what is stored as soon as it meets a condition."""
        async with asyncio.timeout(20):
            while True:
                for tp, records in (await self._consumer.getmany(timeout_ms=50)).items():
                    self._found[tp.topic] += [(record.key, record.value) for record in records]
                found = Stored(*(self._found[name] for name in self._names))
                if condition(found):
                    return found

    async def rest(self) -> Stored:
        """Return all that is stored by now."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        return await self.until(lambda found: len(found.values) == sum(ends.values()))


@pytest.fixture
async def topic(base) -> AsyncIterator[Reader]:
    await create_topics(base)
    names = {f"{base.kafka.topic_prefix}{name.name}": name.name for name in (topics.AUDIO, topics.EVENTS)}
    consumer = await start_consumer(base.kafka, client_id="check", auto_offset_reset="earliest")
    consumer.assign([TopicPartition(name, number) for name in names for number in range(PARTITIONS)])
    yield Reader(consumer, names)
    await consumer.stop()


@asynccontextmanager
async def audiohook(settings: IngestSettings):
    """An AudioHook session of the call, and a function that says something over it and waits until it was heard."""
    client = Client()
    async with connect(url(settings), additional_headers=HEADERS, proxy=None, ping_interval=None) as connection:

        async def say(message: str | bytes) -> None:
            await connection.send(message)
            await connection.send(client.say("ping"))
            answer = json.loads(await connection.recv())
            while answer["type"] != "pong":
                answer = json.loads(await connection.recv())

        await say(client.open(conversationId=CALL))
        yield client, say
        await connection.send(client.close())
        assert json.loads(await connection.recv())["type"] == "closed"


async def test_packets_are_stored_byte_for_byte_in_the_order_they_came_with_their_numbers(base, topic):
    plan = Script(audio=SPOKEN, first_sequence_number=2**32 - 40, loss_ratio=0.04, reordered=3, duplicates=3, seed=7)
    async with Peers(plan).serving() as peers:
        report = peers.media.reports[CALL]
        settings = dialling(base, peers)
        async with ingest(settings) as service:
            await until(service.health.is_ready)
            await peers.media.until(lambda: report.ended)
            await topic.until(lambda found: bool(found.place(FrameKind.CLOSED)))
        sent = report.sent
    found = await topic.rest()
    assert found.payloads() == [packet.payload for packet in sent]
    assert found.column("source_sequence") == [packet.sequence_number for packet in sent]
    assert found.column("source_timestamp") == [packet.timestamp for packet in sent]
    assert found.column("position_samples") == [packet.start_samples for packet in sent]
    assert found.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "END")]
    assert (peers.oauth.issued, peers.oauth.leaks, len(peers.media.handshakes)) == (1, 0, 1)


async def test_a_dropped_connection_is_a_gap_in_one_session(base, topic):
    async with Peers(Script(audio=SPOKEN, actions=(Drop(1000),))).serving() as peers:
        report = peers.media.reports[CALL]
        settings = dialling(base, peers)
        async with ingest(settings):
            await peers.media.until(lambda: report.ended)
            await topic.until(lambda found: bool(found.place(FrameKind.CLOSED)))
        assert (report.drops, report.subscriptions) == (1, 2)
    found = await topic.rest()
    assert found.marks() == [("OPENED", "UNKNOWN"), ("GAP", "RECONNECT"), ("CLOSED", "END")]
    ((start, length),) = found.place(FrameKind.GAP)
    positions = found.column("position_samples")
    before, after = [place for place in positions if place < start], [place for place in positions if place >= start]
    assert before[-1] + PACKET_SAMPLES == start
    assert after[0] == start + length
    assert after[-1] == len(SPOKEN) - PACKET_SAMPLES
    assert len(found.of(CallEventKind.RECONNECT, Source.MEDIA_STREAMS)) == 1


async def test_a_refused_token_is_replaced_once(base, topic):
    async with Peers(Script(audio=SPOKEN[:8000])).serving() as peers:
        peers.media.refuse_next(1)
        settings = dialling(base, peers)
        async with ingest(settings):
            await peers.media.until(lambda: peers.media.reports[CALL].ended)
        assert [handshake.status for handshake in peers.media.handshakes] == [401, 101]
        assert peers.oauth.issued == 2
    assert len((await topic.rest()).payloads()) == 50


async def test_a_peer_that_is_gone_ends_the_session_and_one_that_comes_back_begins_another(base, topic):
    await create_topics(base)
    async with Peers().serving() as peers:
        settings = dialling(base, peers, attempts=2, rest_s=0.2)
        async with ingest(settings):
            await peers.media.until(lambda: bool(peers.media.peers(CALL)))
            await peers.speak(0, SPOKEN[:PACKET_SAMPLES])
            await topic.until(lambda found: len(found.payloads()) == 1)
            peers.media.refuse_next(10_000, 503)
            peers.media.abort()
            await topic.until(lambda found: ("CLOSED", "BUDGET_SPENT") in found.marks())
            async with audiohook(settings):
                pass
            peers.media.refuse_no_more()
            await peers.media.until(lambda: bool(peers.media.peers(CALL)))
    found = await topic.rest()
    marks = [mark for mark in found.marks() if mark[0] != "GAP"]
    assert marks == [
        ("OPENED", "UNKNOWN"),
        ("CLOSED", "BUDGET_SPENT"),
        ("OPENED", "UNKNOWN"),
        ("CLOSED", "DRAIN"),
    ]
    first, second = found.of(CallEventKind.OPENED, Source.MEDIA_STREAMS)
    assert second.session_info.continued_from == first.session_id
    assert found.marks(Source.AUDIOHOOK)[-1] == ("CLOSED", "END")


async def test_ingest_is_ready_and_takes_calls_while_nobody_answers_what_it_dials(base, topic):
    nobody = Peers(media_url=f"ws://127.0.0.1:{free_port()}", app_url=f"ws://127.0.0.1:{free_port()}")
    nobody.token_url = f"http://127.0.0.1:{free_port()}"
    settings = dialling(base, nobody, app=True)
    async with ingest(settings) as service:
        await until(service.health.is_ready)
        async with audiohook(settings):
            pass
    found = await topic.rest()
    assert found.marks(Source.AUDIOHOOK) == [("OPENED", "UNKNOWN"), ("CLOSED", "END")]
    assert found.marks() == []


async def test_a_pause_of_the_audiohook_session_withholds_what_the_others_bring(base, topic, capfd):
    async with Peers().serving() as peers:
        settings = dialling(base, peers, app=True)
        async with ingest(settings) as service:
            await until(service.health.is_ready)
            await peers.media.until(lambda: bool(peers.media.peers(CALL)))
            await peers.app.connected(SOCKET)
            async with audiohook(settings) as (client, say):
                await peers.speak(0, SPOKEN[:PACKET_SAMPLES])
                await peers.app.send(SOCKET, {"type": "transcript", "text": "before"})
                await topic.until(lambda found: found.texts() == ["before"] and len(found.payloads()) == 1)
                await say(client.say("paused"))
                for number in range(1, 6):
                    await peers.speak(number, SECRET_AUDIO)
                for message in (
                    {"type": "transcript", "text": SECRET_WORDS},
                    {"type": "intent", "intent": SECRET_WORDS},
                    {"type": "error", "message": SECRET_WORDS},
                    {"type": SECRET_WORDS, "text": SECRET_WORDS},
                    f"{{{SECRET_WORDS}",
                ):
                    await peers.app.send(SOCKET, message)
                await topic.until(lambda found: found.of(CallEventKind.PLATFORM_ERROR, Source.APPFOUNDRY))
                await say(client.say("resumed", parameters={"start": "PT0S", "discarded": "PT0S"}))
                await peers.app.send(SOCKET, {"type": "transcript", "text": SECRET_WORDS})
                await peers.speak(6, SPOKEN[:PACKET_SAMPLES])
                await topic.until(lambda found: len(found.payloads()) == 2)
                await asyncio.sleep(settings.resume_guard_s)
                await peers.app.send(SOCKET, {"type": "transcript", "text": "after"})
                await topic.until(lambda found: found.texts() == ["before", "after"])
        assert peers.media.connections == peers.app.connections == 1
    found = await topic.rest()
    assert found.column("source_sequence") == [0, 6]
    assert found.marks() == [
        ("OPENED", "UNKNOWN"),
        ("PAUSED", "SECURE_PAUSE"),
        ("RESUMED", "SECURE_PAUSE"),
        ("CLOSED", "DRAIN"),
    ]
    assert found.place(FrameKind.PAUSED)[0][0] == PACKET_SAMPLES
    assert found.place(FrameKind.RESUMED) == [(PACKET_SAMPLES, 5 * PACKET_SAMPLES)]
    assert found.marks(Source.APPFOUNDRY) == [("OPENED", "UNKNOWN"), ("CLOSED", "DRAIN")]
    assert not any(SECRET_AUDIO in value or SECRET_WORDS.encode() in value for value in found.values)
    output = capfd.readouterr()
    assert "a session ended" in output.err
    assert SECRET_WORDS not in output.out + output.err


async def test_while_nobody_says_whether_the_call_is_paused_nothing_of_it_is_published(base, topic):
    async with Peers().serving() as peers:
        settings = dialling(base, peers, publish=False, app=True)
        async with ingest(settings):
            await peers.media.until(lambda: bool(peers.media.peers(CALL)))
            await peers.app.connected(SOCKET)
            for number in range(3):
                await peers.speak(number, SECRET_AUDIO)
            await peers.app.send(SOCKET, {"type": "transcript", "text": SECRET_WORDS})
            await topic.until(lambda found: ("PAUSED", "OTHER") in found.marks())
            async with audiohook(settings) as (_, say):
                await say(bytes(320))
                await peers.speak(3, SPOKEN[:PACKET_SAMPLES])
                await topic.until(lambda found: len(found.payloads()) == 1)
            await peers.speak(4, SECRET_AUDIO)
            await topic.until(lambda found: found.marks().count(("PAUSED", "OTHER")) == 2)
    found = await topic.rest()
    assert found.marks() == [
        ("OPENED", "UNKNOWN"),
        ("PAUSED", "OTHER"),
        ("RESUMED", "OTHER"),
        ("PAUSED", "OTHER"),
        ("CLOSED", "DRAIN"),
    ]
    assert found.place(FrameKind.RESUMED) == [(0, 3 * PACKET_SAMPLES)]
    assert found.place(FrameKind.CLOSED)[0][0] == 5 * PACKET_SAMPLES
    assert found.texts() == []
    assert not any(SECRET_AUDIO in value or SECRET_WORDS.encode() in value for value in found.values)


async def test_a_stop_ends_what_was_dialled_the_way_the_peers_expect_it(base, topic):
    async with Peers().serving() as peers:
        settings = dialling(base, peers, app=True)
        async with ingest(settings):
            await peers.media.until(lambda: bool(peers.media.peers(CALL)))
            await peers.app.connected(SOCKET)
            # our side of a handshake may take a moment longer
            await topic.until(lambda found: all(map(found.marks, DIALLED)))
            (media,), (app,) = peers.media.peers(CALL), peers.app.peers(SOCKET)
        await asyncio.wait_for(media.wait_closed(), 30)
        await asyncio.wait_for(app.wait_closed(), 30)
        assert {media.close_code, app.close_code} <= {1000, 1001}
    found = await topic.rest()
    for source in DIALLED:
        assert found.marks(source) == [("OPENED", "UNKNOWN"), ("CLOSED", "DRAIN")]
