import asyncio
import base64
import contextlib
import hashlib
import json

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from simulators.media_streams.script import Drop, Plan, Restart, Script, Stop
from simulators.media_streams.server import PATH, Interaction, MediaStreamsServer

SPEED = 20.0


def plan(packets: int = 50, **imperfections) -> Plan:
    audio = b"".join(number.to_bytes(2, "big") * 80 for number in range(packets))
    return Script(audio=audio, **imperfections).plan()


def serving(*interactions: Interaction, **settings) -> MediaStreamsServer:
    return MediaStreamsServer(interactions, is_valid=lambda token: token == "good", **{"speed": SPEED} | settings)


@contextlib.asynccontextmanager
async def dialled(server: MediaStreamsServer, *ids: str, **settings):
    settings = {"additional_headers": {"Authorization": "Bearer good"}, "proxy": None, "ping_interval": None} | settings
    async with connect(server.url + PATH, **settings) as client:
        if ids:
            await client.send(subscription(*ids))
        yield client


def subscription(*ids: str) -> str:
    wanted = [{"interactionId": name, "mediaType": "voice", "codecPreferences": ["opus", "pcmu"]} for name in ids]
    return json.dumps({"interactions": wanted})


async def messages_until_told_of_the_end(client: ClientConnection, calls: int = 1) -> list[dict]:
    messages = []
    while sum("status" in message for message in messages) < calls:
        messages.append(json.loads(await client.recv()))
    return messages


async def rest(client: ClientConnection) -> list[dict]:
    """Everything up to the end of the connection."""
    messages = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            messages.append(json.loads(await client.recv()))
    return messages


def numbers(messages: list[dict], name: str = "c-1") -> list[int]:
    return [
        message["sequenceNumber"]
        for message in messages
        if message["interactionId"] == name and "sequenceNumber" in message
    ]


async def test_a_subscriber_gets_exactly_the_packets_of_the_script_and_is_told_of_the_end():
    planned = plan(100, loss_ratio=0.1, reordered=5, duplicates=5, first_sequence_number=2**32 - 10)
    server = serving(Interaction("c-1", planned))
    async with server.serving(), dialled(server, "c-1") as client:
        *packets, last = await messages_until_told_of_the_end(client)
    assert (last["status"], last["code"], last["interactionId"]) == (400, "mediaNotAvailable", "c-1")
    assert numbers(packets) == [packet.sequence_number for packet in planned.packets]
    assert [packet["timestamp"] for packet in packets] == [packet.timestamp for packet in planned.packets]
    digest = hashlib.sha256(b"".join(base64.b64decode(packet["payload"]) for packet in packets))
    report = server.reports["c-1"]
    assert report.sha256 == digest.hexdigest()
    assert report.sequence_numbers == numbers(packets)
    assert report.truth() == planned.truth()
    assert report.ended
    assert server.subscriptions == [subscription("c-1")]


async def test_no_packet_comes_before_it_is_due():
    planned = plan(100, actions=(Stop(400, 200), Stop(800, 9999)))
    server = serving(Interaction("c-1", planned))
    loop = asyncio.get_running_loop()
    arrivals = []
    async with server.serving():
        begun_s = loop.time()
        async with dialled(server, "c-1") as client:
            for packet in planned.packets:
                assert json.loads(await client.recv())["sequenceNumber"] == packet.sequence_number
                arrivals.append((loop.time() - begun_s) * SPEED * 1000)
            assert json.loads(await client.recv())["code"] == "mediaNotAvailable"
            assert (loop.time() - begun_s) * SPEED * 1000 >= planned.duration_ms
    assert all(at_ms >= packet.send_at_ms for at_ms, packet in zip(arrivals, planned.packets, strict=True))


async def test_calls_on_one_connection_keep_to_their_own_clocks():
    server = serving(Interaction("c-1", plan(30)), Interaction("c-2", plan(20, first_sequence_number=1000)))
    async with server.serving(), dialled(server, "c-1", "c-2") as client:
        messages = await messages_until_told_of_the_end(client, calls=2)
    assert numbers(messages, "c-1") == list(range(30))
    assert numbers(messages, "c-2") == list(range(1000, 1020))


async def test_a_call_goes_on_while_nobody_listens_and_does_not_come_back():
    server = serving(Interaction("c-1", plan(1500, actions=(Drop(1000),))))
    report = server.reports["c-1"]
    async with server.serving():
        async with dialled(server, "c-1") as client:
            before = numbers(await rest(client))
        await asyncio.sleep(1 / SPEED)
        async with dialled(server, "c-1") as client:
            after = numbers([json.loads(await client.recv()) for _ in range(20)])
    assert before == list(range(50))
    assert after == list(range(after[0], after[0] + 20))
    assert after[0] >= 100
    assert report.truth().lost_spans == ((50 * 160, after[0] * 160),)
    assert report.truth().lost == after[0] - 50
    assert (report.drops, report.subscriptions, server.connections) == (1, 2, 2)


async def test_a_call_that_was_begun_is_joined_in_the_middle_and_one_that_was_not_is_waited_for():
    server = serving(
        Interaction("c-1", plan(1500), starts_on_subscription=False),
        Interaction("c-2", plan(3), starts_on_subscription=False),
    )
    async with server.serving():
        server.begin("c-1")
        await asyncio.sleep(1 / SPEED)
        async with dialled(server, "c-1", "c-2") as client:
            first = json.loads(await client.recv())
            assert numbers([first])[0] >= 50
            assert server.reports["c-2"].sent == []
            server.begin("c-2")
            messages = await messages_until_told_of_the_end(client)
    assert numbers(messages, "c-2") == [0, 1, 2]
    assert messages[-1]["interactionId"] == "c-2"
    assert numbers([first, *messages]) == list(range(first["sequenceNumber"], numbers(messages)[-1] + 1))


async def test_who_asks_twice_gets_every_packet_once():
    server = serving(Interaction("c-1", plan(100)))
    async with server.serving(), dialled(server, "c-1", "c-1") as client:
        await client.send(subscription("c-1"))
        messages = await messages_until_told_of_the_end(client)
    assert numbers(messages) == list(range(100))
    assert server.reports["c-1"].subscriptions == 1


async def test_numbers_restart_where_the_script_says():
    server = serving(Interaction("c-1", plan(10, actions=(Restart(100, 500, 0),))))
    async with server.serving(), dialled(server, "c-1") as client:
        messages = await messages_until_told_of_the_end(client)
    assert numbers(messages) == [0, 1, 2, 3, 4, 500, 501, 502, 503, 504]


async def test_unknown_and_ended_interactions_are_not_available_and_the_others_go_on():
    server = serving(Interaction("c-1", plan(2)), Interaction("c-2", plan(20)))
    async with server.serving(), dialled(server, "c-9", "c-1") as client:
        messages = await messages_until_told_of_the_end(client, calls=2)
        assert [m["interactionId"] for m in messages if "status" in m] == ["c-9", "c-1"]
        await client.send(subscription("c-1", "c-2"))
        messages = await messages_until_told_of_the_end(client, calls=2)
        assert numbers(messages, "c-1") == []
        assert numbers(messages, "c-2") == list(range(20))


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ("{", "badRequest"),
        (b"\x00", "badRequest"),
    ],
)
async def test_a_first_message_that_is_no_subscription_ends_the_connection(first, code):
    server = serving(Interaction("c-1", plan()))
    async with server.serving(), dialled(server) as client:
        await client.send(first)
        answer = json.loads(await client.recv())
        with pytest.raises(ConnectionClosed) as end:
            await client.recv()
    assert (answer["status"], answer["code"]) == (400, code)
    assert end.value.rcvd == Close(1008, code)
    assert server.reports["c-1"].sent == []


async def test_the_fifty_first_interaction_is_refused_and_it_alone():
    ids = [f"c-{number}" for number in range(52)]
    server = serving(*(Interaction(name, plan(1), starts_on_subscription=False) for name in ids))
    async with server.serving(), dialled(server, *ids[:30]) as client:
        await client.send(subscription(*ids[30:51]))
        refused = json.loads(await client.recv())
        assert (refused["code"], refused["interactionId"]) == ("tooManyInteractions", "c-50")
        for name in ids:
            server.begin(name)
        messages = await messages_until_told_of_the_end(client, calls=50)
        assert {m["interactionId"] for m in messages if "payload" in m} == set(ids[:50])
        await client.send(subscription("c-51"))
        assert json.loads(await client.recv())["interactionId"] == "c-51"
    assert server.reports["c-50"].subscriptions == 0


async def test_an_interaction_can_become_available_late():
    server = serving(Interaction("c-1", plan(3), not_available_times=2))
    async with server.serving(), dialled(server, "c-1") as client:
        for _ in range(2):
            assert json.loads(await client.recv())["code"] == "mediaNotAvailable"
            await client.send(subscription("c-1"))
        assert numbers(await messages_until_told_of_the_end(client)) == [0, 1, 2]


async def test_what_was_kept_while_nobody_listened_comes_at_once_and_no_more_than_that():
    server = serving(Interaction("c-1", plan(1500, actions=(Drop(1000),)), backlog_ms=600))
    report = server.reports["c-1"]
    async with server.serving():
        async with dialled(server, "c-1") as client:
            assert numbers(await rest(client)) == list(range(50))
        await asyncio.sleep(2 / SPEED)
        async with dialled(server, "c-1") as client:
            after = numbers([json.loads(await client.recv())])
            joined_ms = server._now_ms("c-1")
            after += numbers([json.loads(await client.recv()) for _ in range(40)])
    assert after == list(range(after[0], after[0] + 41))
    assert after[0] * 20 >= 3000 - 600
    assert after[0] * 20 <= joined_ms - 600 + 20
    assert report.truth().lost_spans == ((50 * 160, after[0] * 160),)


async def test_a_short_absence_with_a_backlog_loses_nothing():
    server = serving(Interaction("c-1", plan(100, actions=(Drop(1000),)), backlog_ms=60_000))
    report = server.reports["c-1"]
    async with server.serving():
        for _ in range(2):
            async with dialled(server, "c-1") as client:
                await rest(client) if not report.drops else await messages_until_told_of_the_end(client)
    assert report.sequence_numbers == list(range(100))


async def test_a_subscription_has_to_come_in_time():
    server = serving(Interaction("c-1", plan()), subscription_timeout_s=0.02)
    async with server.serving(), dialled(server) as client:
        with pytest.raises(ConnectionClosed) as end:
            await client.recv()
    assert end.value.rcvd == Close(1008, "no subscription")


async def test_a_connection_without_pings_is_cut():
    server = serving(Interaction("c-1", plan(1), starts_on_subscription=False), close_without_ping_s=0.05)
    async with server.serving(), dialled(server, "c-1") as client:
        with pytest.raises(ConnectionClosed) as end:
            await client.recv()
    assert end.value.rcvd is None


async def test_a_wrong_path_is_not_found():
    server = serving()
    async with server.serving() as url:
        with pytest.raises(InvalidStatus) as refusal:
            await connect(url + "/other", additional_headers={"Authorization": "Bearer good"}, proxy=None)
    assert refusal.value.response.status_code == 404


async def test_hooks_find_the_connection_of_an_interaction():
    server = serving(
        Interaction("c-1", plan(1), starts_on_subscription=False),
        Interaction("c-2", plan(1), starts_on_subscription=False),
    )
    async with server.serving(), dialled(server, "c-1") as one, dialled(server, "c-2") as two:
        await server.until(lambda: len(server.subscriptions) == 2)
        await server.inject("[]", "c-2")
        server.abort("c-1")
        assert await two.recv() == "[]"
        assert await rest(one) == []
        assert [peer.tags for peer in server.peers()] == [{"c-2"}]


async def test_the_report_is_json_and_holds_no_token():
    server = serving(Interaction("c-1", plan(3)))
    async with server.serving(), dialled(server, "c-1") as client:
        await messages_until_told_of_the_end(client)
    text = json.dumps(server.as_json())
    assert json.loads(text)["interactions"]["c-1"]["sequence_numbers"] == [0, 1, 2]
    assert json.loads(text)["handshakes"] == [{"authorized": True, "status": 101}]
    assert "good" not in text


def test_a_call_cannot_stand_still():
    with pytest.raises(ValueError, match="speed"):
        serving(speed=0.0)
