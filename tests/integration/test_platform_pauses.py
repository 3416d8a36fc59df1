"""Calls we follow while the platform is asked about them, over real sockets and a real broker."""

from contextlib import asynccontextmanager

import pytest

from ingest.platform_settings import PlatformSettings
from schemas.symbols import CallEventKind, FrameKind, Source
from simulators.http_server.server import Fault
from simulators.media_streams.script import PACKET_SAMPLES
from simulators.platform.conversation import Conversation
from simulators.platform.server import PATH, PlatformServer
from tests.integration import test_dialled_sources as dialled
from tests.integration.test_dialled_sources import CALL, SECRET_AUDIO, SPOKEN, Peers
from tests.integration.test_ingest import ingest

pytestmark = pytest.mark.kafka

base, topic = dialled.base, dialled.topic


@asynccontextmanager
async def asking(base, **settings):
    """Stand-ins of the platform and of media streams, and the settings of an ingest that follows the call there."""
    async with Peers().serving() as peers:
        platform = PlatformServer(peers.oauth.is_valid)
        async with platform.serving() as url:
            own = PlatformSettings(url=f"{url}{PATH}/{{conversation_id}}", interval_s=0.1, per_minute=6_000, **settings)
            found = dialled.dialling(base, peers, publish=False).model_copy(update={"platform": own})
            yield peers, platform, found


async def test_a_pause_that_the_platform_tells_withholds_the_audio(base, topic):
    async with asking(base) as (peers, platform, settings):
        platform.add(Conversation(CALL))
        async with ingest(settings):
            await peers.media.until(lambda: bool(peers.media.peers(CALL)))
            await answers(platform, 3)
            await peers.speak(0, SPOKEN[:PACKET_SAMPLES])
            await topic.until(lambda found: len(found.payloads()) == 1)
            platform.add(Conversation(CALL, pauses=((0, 3600),)))
            await answers(platform, 3)
            for number in range(1, 4):
                await peers.speak(number, SECRET_AUDIO)
            await topic.until(lambda found: ("PAUSED", "SECURE_PAUSE") in found.marks())
            platform.add(Conversation(CALL))
            await answers(platform, 3)
            await peers.speak(4, SPOKEN[:PACKET_SAMPLES])
            await topic.until(lambda found: len(found.payloads()) == 2)
        assert platform.leaks == 0
    found = await topic.rest()
    assert found.column("source_sequence") == [0, 4]
    assert found.marks() == [
        ("OPENED", "UNKNOWN"),
        ("PAUSED", "SECURE_PAUSE"),
        ("RESUMED", "SECURE_PAUSE"),
        ("CLOSED", "DRAIN"),
    ]
    assert found.place(FrameKind.RESUMED) == [(PACKET_SAMPLES, 3 * PACKET_SAMPLES)]
    assert not any(SECRET_AUDIO in value for value in found.values)


async def test_an_answer_that_has_grown_too_old_publishes_nothing(base, topic):
    async with asking(base, stale_s=0.3) as (peers, platform, settings):
        platform.add(Conversation(CALL))
        async with ingest(settings):
            await peers.media.until(lambda: bool(peers.media.peers(CALL)))
            await answers(platform, 3)
            await peers.speak(0, SPOKEN[:PACKET_SAMPLES])
            await topic.until(lambda found: len(found.payloads()) == 1)
            platform.fail(CALL, *[Fault(status=500)] * 10_000)
            await answers(platform, 10)
            await peers.speak(1, SECRET_AUDIO)
            await topic.until(lambda found: ("PAUSED", "OTHER") in found.marks())
    assert not any(SECRET_AUDIO in value for value in (await topic.rest()).values)


@pytest.mark.parametrize("ended", [False, True])
async def test_a_call_the_platform_has_no_media_of_is_unfollowed_and_said_to_be_so(base, topic, ended):
    async with asking(base, window_s=0) as (peers, platform, settings):
        platform.add(Conversation(CALL))
        async with ingest(settings):
            await peers.media.until(lambda: bool(peers.media.peers(CALL)))
            await answers(platform, 1)
            if ended:
                platform.add(Conversation(CALL, ends_after_s=0))
            else:
                platform.remove(CALL)
            found = await topic.until(lambda found: found.of(CallEventKind.CLOSED, Source.MEDIA_STREAMS))
            asked = platform.counts()[CALL]
        assert platform.counts()[CALL] == asked
    assert found.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "END" if ended else "OTHER")]
    (said,) = found.of(CallEventKind.NOT_AVAILABLE, Source.MEDIA_STREAMS)
    assert said.conversation_id == CALL


async def answers(platform: PlatformServer, number: int) -> None:
    """Wait until so many more questions about the call were answered."""
    wanted = platform.counts()[CALL] + number
    await dialled.until(lambda: platform.counts()[CALL] >= wanted)
