"""Media streams over real sockets, without a broker: calls come and go. With one: test_dialled_sources.py."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from audio.frames import decode
from ingest.config import IngestSettings
from ingest.dialling import Dialling
from ingest.pausing import PauseRules
from ingest.protocol import Call, Ended
from ingest.sequencer import Encoding
from ingest.session import Surroundings
from ingest.sources.media_streams import source
from ingest.sources.media_streams.config import MediaStreamsSettings
from runtime.clock import SystemClock
from runtime.log import get_logger
from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, Codec, Reason
from simulators.media_streams.messages import packet_text
from simulators.media_streams.script import PACKET_SAMPLES, Packet, Script
from simulators.media_streams.server import PATH, Interaction, MediaStreamsServer
from tests.ingest.test_session import FakeOutlet

STORE = SchemaStore()
FRAME = b"\x55" * PACKET_SAMPLES
GONE = Ended(Reason.END)
IDS = tuple(f"call-{number:02}" for number in range(60))


class Tokens:
    """One token that never expires."""

    async def get(self) -> str:
        return "token"

    def invalidate(self, token: str) -> None:
        raise AssertionError(token)


class Rig:
    """Ingest's dialling of one source, and the stand-in it dials; what would be written is kept."""

    def __init__(self, *interactions: Interaction, **own: object) -> None:
        known = interactions or [silent(each) for each in IDS]
        self.server = MediaStreamsServer(
            known, is_valid=bool, close_without_ping_s=own.pop("close_without_ping_s", None)
        )
        self.outlet = FakeOutlet()
        self._own = {"first_delay_s": 0.02, "longest_delay_s": 0.05, "start_spread_s": 0, "close_timeout_s": 1, **own}
        self._numbers: defaultdict[str, int] = defaultdict(int)

    @asynccontextmanager
    async def running(self, *calls: Call | str) -> AsyncIterator["Rig"]:
        """Follow calls; drain at the end, within twice the close timeout and some time for a slow machine."""
        async with self.server.serving() as url:
            settings = IngestSettings(media_streams=MediaStreamsSettings(url=f"{url}{PATH}", **self._own))
            rules = PauseRules(publish_when_unknown=True, resume_guard_s=0)
            around = Surroundings(self.outlet, SystemClock(), get_logger("ingest"), Encoding(STORE), rules=rules)
            found = source.dialled(settings.media_streams, settings.place)
            self.dialling = Dialling([found], around, Tokens())
            async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
                running = tasks.create_task(self.dialling.run())
                self.follow(*calls)
                yield self
                self.dialling.drain()
                async with asyncio.timeout(2 * settings.media_streams.close_timeout_s + 10):
                    await running

    def follow(self, *calls: Call | str) -> None:
        for each in calls:
            assert self.dialling.follow(source.NAME, each if isinstance(each, Call) else Call(each)) is None

    def unfollow(self, *ids: str) -> None:
        for each in ids:
            self.dialling.unfollow(source.NAME, each, GONE)

    async def subscribed(self, *ids: str) -> None:
        await self.server.until(lambda: all(self.server.peers(each) for each in ids))

    async def speak(self, key: str) -> int:
        """Send the next packet of a call; return over how many connections."""
        number = self._numbers[key]
        self._numbers[key] += 1
        place = number * PACKET_SAMPLES
        return await self.server.inject(packet_text(key, Packet(0, number, place, FRAME, place, number, 0)), key)

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0.005)

    def asked(self) -> list[list[str]]:
        """The interactions of each subscription, in the order in which they came."""
        return [
            [each["interactionId"] for each in json.loads(text)["interactions"]] for text in self.server.subscriptions
        ]

    def events(self, *kinds: CallEventKind) -> list[tuple[str, CallEventKind]]:
        found = [STORE.decode(r.value, CallEvent) for r in self.outlet.records if r.topic == topics.EVENTS.name]
        return [(event.conversation_id, event.kind) for event in found if event.kind in kinds]

    def heard(self) -> set[str]:
        """The calls of which audio was taken."""
        heard = set()
        for record in self.outlet.records:
            if record.topic == topics.AUDIO.name and len(decode([record.value], STORE).payload(0)) == PACKET_SAMPLES:
                heard.add(record.key.decode())
        return heard


def silent(interaction_id: str, **changes: int) -> Interaction:
    """A call that says nothing by itself."""
    return Interaction(interaction_id, Script(audio=FRAME).plan(), starts_on_subscription=False, **changes)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"callstream_{name}", {"source": source.NAME, **labels}) or 0.0


@pytest.mark.parametrize(("calls", "shares"), [(49, [49]), (50, [50]), (51, [50, 1])])
async def test_fifty_calls_share_a_socket_and_the_next_one_gets_another(calls, shares):
    rig, ids = Rig(), IDS[:calls]
    async with rig.running(*ids):
        await rig.subscribed(*ids)
        assert [len(peer.tags) for peer in rig.server.peers()] == shares
        for each in ids:
            assert await rig.speak(each) == 1
        await rig.until(lambda: rig.heard() == set(ids))
        assert metric("ingest_connections_owned") == len(shares)
    assert metric("ingest_connections_owned") == 0
    assert [kind for _, kind in rig.events(CallEventKind.OPENED, CallEventKind.CLOSED)].count(
        CallEventKind.CLOSED
    ) == calls
    assert sorted(map(len, rig.asked())) == sorted(shares)


async def test_a_call_that_comes_is_asked_for_alone_on_the_live_socket_and_with_all_on_the_next():
    async with Rig().running("call-00") as rig:
        await rig.subscribed("call-00")
        rig.follow("call-01", "call-01")
        await rig.subscribed("call-00", "call-01")
        assert rig.asked() == [["call-00"], ["call-01"]]
        rig.server.abort()
        await rig.server.until(lambda: len(rig.server.subscriptions) == 3)
        await rig.subscribed("call-00", "call-01")
        assert rig.asked()[2:] == [["call-00", "call-01"]]
        assert rig.server.connections == 2
    assert len(rig.events(CallEventKind.OPENED)) == 2
    assert len(rig.events(CallEventKind.RECONNECT)) == 2


async def test_a_call_that_goes_is_closed_at_once_and_what_still_comes_of_it_is_counted():
    async with Rig().running("call-00", "call-01") as rig:
        await rig.subscribed("call-00", "call-01")
        strays = metric("ingest_observations_total", what="audio_outside_session")
        rig.unfollow("call-00")
        assert rig.events(CallEventKind.CLOSED) == [("call-00", CallEventKind.CLOSED)]
        await rig.speak("call-00")
        await rig.speak("call-01")
        await rig.until(rig.heard)
        assert rig.heard() == {"call-01"}
        assert metric("ingest_observations_total", what="audio_outside_session") == strays + 1
        assert rig.server.connections == 1


async def test_the_last_call_that_goes_closes_the_socket():
    async with Rig().running("call-00") as rig:
        await rig.subscribed("call-00")
        (peer,) = rig.server.peers()
        rig.unfollow("call-00")
        await peer.wait_closed()
        await rig.until(lambda: metric("ingest_connections_owned") == 0)
        assert peer.close_code == 1000
        rig.follow("call-00")
        await rig.subscribed("call-00")
    assert len(rig.events(CallEventKind.OPENED)) == 2


@pytest.mark.parametrize(("refusals", "heard"), [(2, True), (3, False), (4, False)])
async def test_media_that_is_not_available_is_asked_for_again_until_the_last_try(refusals, heard):
    rig = Rig(
        silent("call-00", not_available_times=refusals),
        silent("call-01"),
        retry_not_available_s=0.02,
        not_available_tries=3,
    )
    async with rig.running("call-00", "call-01"):
        await rig.subscribed("call-01")
        if heard:
            await rig.subscribed("call-00")
            await rig.speak("call-00")
            await rig.until(rig.heard)
        else:
            await rig.until(lambda: (source.NAME, "call-00") not in rig.dialling.followed)
            assert rig.events(CallEventKind.NOT_AVAILABLE) == [("call-00", CallEventKind.NOT_AVAILABLE)]
        assert [asked for asked in rig.asked() if "call-00" in asked][1:] == [["call-00"]] * 2
        assert rig.server.connections == 1


async def test_one_bad_call_blocks_none_of_the_other_49():
    ids = [*IDS[:17], "nobody knows it", *IDS[17:49]]
    rig = Rig(retry_not_available_s=0.02, not_available_tries=3)
    async with rig.running(*ids):
        await rig.subscribed(*IDS[:49])
        for each in IDS[:49]:
            await rig.speak(each)
        await rig.until(lambda: len(rig.dialling.followed) == 49)
        await rig.until(lambda: rig.heard() == set(IDS[:49]))
        assert rig.events(CallEventKind.NOT_AVAILABLE) == [("nobody knows it", CallEventKind.NOT_AVAILABLE)]
        assert rig.server.connections == 1


async def test_opus_is_stored_announced_and_named_as_not_analysed(capfd):
    async with Rig(codec_preferences=("opus", "pcmu")).running("call-00", Call("call-01", codecs=("pcmu",))) as rig:
        await rig.subscribed("call-00", "call-01")
        for each in ("call-00", "call-00", "call-01"):
            await rig.speak(each)
        await rig.until(lambda: rig.heard() == {"call-00", "call-01"})
    values = defaultdict(list)
    for record in rig.outlet.records:
        values[record.topic, record.key].append(record.value)
    opus, pcmu = (decode(values[topics.AUDIO.name, key], STORE) for key in (b"call-00", b"call-01"))
    # the session's beginning and its audio
    assert set(opus.codec[:3]) == {Codec.OPUS.code}
    assert set(pcmu.codec[:2]) == {Codec.PCMU.code}
    assert opus.payload(1) == FRAME
    assert capfd.readouterr().err.count("stored as it comes, but not analysed") == 1


@pytest.mark.parametrize(("ping_interval_s", "cut"), [(0.2, False), (0.8, True), (0, True)])
async def test_a_peer_that_wants_pings_keeps_the_socket_of_silent_calls_where_they_come_in_time(ping_interval_s, cut):
    rig = Rig(close_without_ping_s=0.6, ping_interval_s=ping_interval_s)
    async with rig.running("call-00"):
        await rig.subscribed("call-00")
        (first,) = rig.server.peers()
        await rig.until(lambda: not first.is_open or first.pings >= 5)
        assert first.is_open is not cut
    assert len(rig.events(CallEventKind.OPENED)) == 1


async def test_a_drain_waits_no_longer_than_twice_the_close_timeout_for_peers_that_read_nothing():
    rig = Rig(close_timeout_s=0.2)
    async with rig.running(*IDS[:51]):
        await rig.subscribed(*IDS[:51])
        rig.server.stop_reading()
    assert len(rig.events(CallEventKind.CLOSED)) == 51
    assert metric("ingest_connections_owned") == metric("ingest_connections_open") == 0


async def test_whatever_comes_and_goes_each_call_has_one_session_at_a_time_and_no_line_is_left():
    draw = random.Random(6)
    rig = Rig(interactions_per_socket=4, attempts=1000)
    wanted: set[str] = set()
    async with rig.running():
        for _ in range(300):
            each = draw.choice(IDS[:12])
            if draw.random() < 0.5:
                rig.follow(each)
                wanted.add(each)
            else:
                rig.unfollow(each)
                wanted.discard(each)
            if draw.random() < 0.05:
                rig.server.abort()
            if draw.random() < 0.3:
                await asyncio.sleep(draw.random() * 0.02)
            if wanted and draw.random() < 0.5:
                await rig.speak(draw.choice(sorted(wanted)))
            assert {key for _, key in rig.dialling.followed} == wanted
        await rig.subscribed(*wanted)
        assert all(len(peer.tags) <= 4 for peer in rig.server.peers())
        # each is asked for on one socket by whom it is followed; what was left may still be subscribed elsewhere
        for each in wanted:
            await rig.speak(each)
        await rig.until(lambda: wanted <= rig.heard())
        rig.unfollow(*wanted)
        await rig.until(lambda: metric("ingest_connections_owned") == 0)
        await rig.server.until(lambda: not rig.server.peers())
    by_call = defaultdict(list)
    for key, kind in rig.events(CallEventKind.OPENED, CallEventKind.CLOSED):
        by_call[key].append(kind)
    assert by_call
    for kinds in by_call.values():
        assert kinds == [CallEventKind.OPENED, CallEventKind.CLOSED] * (len(kinds) // 2)
