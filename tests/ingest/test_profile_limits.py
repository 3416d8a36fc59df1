"""The limits each source we call keeps by default, on a driven clock over real sockets: below, at and above them."""

import asyncio

import pytest
from pydantic import ValidationError

from ingest.config import IngestSettings
from ingest.connecting import Place
from ingest.protocol import Call, Ended
from ingest.sources.appfoundry.config import AppFoundrySettings
from ingest.sources.conversation_audio.config import ConversationAudioSettings
from ingest.sources.media_streams.config import MediaStreamsSettings
from ingest.sources.media_websocket import source as media_websocket
from ingest.sources.media_websocket.config import MediaWebSocketSettings
from schemas.symbols import CallEventKind, ClosedBy, Reason
from simulators.websocket_server.server import Server
from tests.ingest.test_single_call_sources import OAUTH, Rig
from tests.ingest.test_single_call_times import settings
from tests.runtime.driven_loop import LoopClock, driven

PINGS = [("media_streams", 30.0), ("appfoundry", 20.0), ("media_websocket", 30.0), ("conversation_audio", 20.0)]
ATTEMPTS = [
    ("media_streams", 5, 1.0),
    ("appfoundry", 10, 2.0),
    ("media_websocket", 5, 1.0),
    ("conversation_audio", 5, 1.0),
]
SOURCES = [source for source, _ in PINGS]
PONG_S, CLOSE_S, STABLE_S = 10.0, 5.0, 10.0


class Chatty(Server):
    """Says something every now and then, and reads nothing from `deaf_s` on for so long."""

    def __init__(self, *, no_ping_s: float | None = None, deaf_s: tuple[float, float] | None = None) -> None:
        super().__init__(is_valid=None, no_ping_s=no_ping_s)
        self._deaf_s = deaf_s

    def status_of(self, path: str) -> int:
        return 101

    async def neglected(self, peer) -> None:
        peer.abort()

    async def converse(self, peer, spawn) -> None:
        if self._deaf_s is not None:
            spawn(self._hear_nothing(peer, *self._deaf_s))
        while True:
            await peer.send('{"type":"telemetry"}')
            await asyncio.sleep(5)

    async def _hear_nothing(self, peer, from_s: float, seconds: float) -> None:
        await asyncio.sleep(from_s)
        peer.transport.pause_reading()
        await asyncio.sleep(seconds)
        peer.transport.resume_reading()


def rig_of(source: str, url: str) -> Rig:
    """Return the defaults of a source in use, but for where it calls and the token."""
    if source != "media_streams":
        return Rig(settings(source, url), LoopClock())
    own = MediaStreamsSettings(url=url, interactions=("call-1",))
    return Rig(IngestSettings(media_streams=own, oauth=OAUTH), LoopClock())


def losses(source: str, server: Chatty, seconds: float) -> list[tuple[ClosedBy, float]]:
    """Return who ended a source's connections within so many seconds, and how old those were."""

    async def call() -> list[tuple[ClosedBy, float]]:
        async with server.serving() as url:
            rig = rig_of(source, url)
            async with rig.running(seconds + 60):
                await asyncio.sleep(seconds)
        return [(event.closed_by, event.connection_age_ms / 1000) for event in rig.events(CallEventKind.RECONNECT)]

    return driven(call())


@pytest.mark.parametrize(("source", "interval_s"), PINGS)
@pytest.mark.parametrize(("more_s", "lives"), [(-0.5, False), (0.5, True)])
def test_a_peer_is_pinged_as_often_as_its_profile_says(source, interval_s, more_s, lives):
    found = losses(source, Chatty(no_ping_s=interval_s + more_s), 3.5 * interval_s)
    assert (found == []) is lives


@pytest.mark.parametrize(("source", "interval_s"), PINGS)
@pytest.mark.parametrize(("more_s", "lives"), [(-0.5, True), (0.5, False)])
def test_an_answer_to_a_ping_may_take_ten_seconds(source, interval_s, more_s, lives):
    found = losses(source, Chatty(deaf_s=(interval_s - 1, 1 + PONG_S + more_s)), interval_s + PONG_S + 5)
    if lives:
        assert found == []
    else:
        ((closed_by, age_s),) = found
        assert closed_by is ClosedBy.TIMEOUT
        # closing has its time on top of it
        assert interval_s + PONG_S <= age_s <= interval_s + PONG_S + CLOSE_S


@pytest.mark.parametrize(("source", "attempts", "first_delay_s"), ATTEMPTS)
@pytest.mark.parametrize(("more", "spent"), [(-1, False), (0, True), (1, True)])
def test_a_budget_of_attempts_is_spent_with_the_last_of_them(source, attempts, first_delay_s, more, spent):
    async def call() -> tuple[int, int, float]:
        server = Chatty()
        async with server.serving() as url:
            rig = rig_of(source, url)
            async with rig.running(3600):
                await server.until(lambda: bool(server.peers()))
                await asyncio.sleep(STABLE_S + 1)
                server.refuse_next(attempts + more, 503)
                begun_s = asyncio.get_running_loop().time()
                server.abort()
                await server.until(lambda: len(server.handshakes) == 3)
                second_s = asyncio.get_running_loop().time() - begun_s
                await server.until(lambda: bool(server.peers()))
                await rig.until(
                    lambda: len(rig.events(CallEventKind.OPENED)) + len(rig.events(CallEventKind.RECONNECT)) > 1
                )
        return len(rig.events(CallEventKind.RECONNECT_EXHAUSTED)), len(server.handshakes), second_s

    exhausted, handshakes, second_s = driven(call())
    assert (exhausted, handshakes) == (int(spent), 1 + attempts + more + 1)
    # two waits, drawn from up to the first one and up to twice that
    assert second_s <= 3 * first_delay_s + 0.1


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("more_s", [-0.5, 0, 0.5])
def test_closing_may_take_five_seconds_and_no_longer(source, more_s):
    async def call() -> float:
        server = Chatty(deaf_s=(1.0, 1.0 + CLOSE_S + more_s))
        async with server.serving() as url:
            rig = rig_of(source, url)
            async with rig.running(60):
                await server.until(lambda: bool(server.peers()))
                await asyncio.sleep(2)
                begun_s = asyncio.get_running_loop().time()
                rig.dialling.end("call-1", Ended(Reason.END))
                await rig.until(lambda: not rig.dialling._all())
                return asyncio.get_running_loop().time() - begun_s

    assert driven(call()) == pytest.approx(CLOSE_S + min(more_s, 0), abs=0.2)


SETTINGS = [MediaStreamsSettings, AppFoundrySettings, MediaWebSocketSettings, ConversationAudioSettings]


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize(
    ("name", "taken", "refused"),
    [
        ("attempts", (1, 1_000), (0, 1_001)),
        ("first_delay_s", (0.001, 60), (0, 60.1)),
        ("longest_delay_s", (0.001, 600), (0, 600.1)),
        ("start_spread_s", (0, 60), (-0.1, 60.1)),
        ("rest_s", (0.001, 86_400), (0, 86_400.1)),
        ("open_timeout_s", (0.001, 120), (0, 120.1)),
        ("ping_interval_s", (0, 600), (-0.1, 600.1)),
        ("pong_timeout_s", (0.001, 120), (0, 120.1)),
        ("close_timeout_s", (0.001, 60), (0, 60.1)),
        ("inactivity_s", (0, 3_600), (-0.1, 3_600.1)),
        ("stable_s", (0, 600), (-0.1, 600.1)),
    ],
)
def test_a_limit_of_a_connection_has_limits(kind, name, taken, refused):
    beside = {"first_delay_s": 0.001, "longest_delay_s": 600}
    for value in taken:
        assert getattr(kind(**{**beside, name: value}), name) == value
    for value in (*refused, float("nan")):
        with pytest.raises(ValidationError):
            kind(**{**beside, name: value})


@pytest.mark.parametrize(
    ("name", "below", "lowest", "highest", "above"),
    [("auth_timeout_s", 0, 0.001, 60, 60.1), ("subscribe_timeout_s", 0, 0.001, 120, 120.1)],
)
def test_a_wait_for_an_answer_has_limits_and_the_machine_keeps_it(name, below, lowest, highest, above):
    for value in (lowest, highest):
        own = MediaWebSocketSettings(**{name: value})
        call = Call("call-1", connection_id="media-1")
        machine = media_websocket.dialled(own, Place("mypurecloud.com", "us-east-1")).dial("1", [call]).new_protocol()
        machine.use_token("a token of some length")
        machine.connected(100.0)
        if name == "subscribe_timeout_s":
            machine.receive_text('{"type":"auth","result":"success"}', 100.0)
        assert machine.deadline_s() == pytest.approx(100.0 + value)
        assert machine.timeout(100.0 + 0.9 * value) == []
        assert machine.timeout(100.0 + value) != []
    for value in (below, above):
        with pytest.raises(ValidationError):
            MediaWebSocketSettings(**{name: value})
