"""For any split, delay and interleaving of recorded sessions what stands on the topics is the same, and drift is 0."""

import asyncio
import json
import random
import socket
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.protocol import Observation, Observed, SendText
from ingest.sources.audiohook.protocol import AudioHookProtocol, Limits
from runtime.supervision import ConnectionLost
from schemas.symbols import ClosedBy
from tests.fuzz import corpus, wire
from tests.fuzz.story import told
from tests.ingest.test_server import serving
from tests.ingest.test_session import FakeOutlet, Pipe, session

RECORDINGS = {recording.name: recording for recording in corpus.recordings()}
WHOLE = [recording for recording in RECORDINGS.values() if recording.name != "dropped"]
IDLE_S = Limits().idle_s
MANY = settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)


def machine(recording: corpus.Recording) -> AudioHookProtocol:
    ids = (recording.organization_id, recording.session_id, recording.correlation_id)
    return AudioHookProtocol(*ids, Limits())


async def reference(recording: corpus.Recording) -> tuple[list, list]:
    """Return what a session stores that hears one whole message after the other."""
    outlet = FakeOutlet()
    pipe = Pipe(*recording.messages, ConnectionLost(1006, "", ClosedBy.NETWORK))
    await session(pipe, outlet, machine(recording)).run()
    return told(outlet.records)


def replay(recording: corpus.Recording, delays_s: list[float]) -> tuple[list, int]:
    heard, now_s, effects = machine(recording), 50.0, []
    effects += heard.connected(now_s)
    for number, message in enumerate(recording.messages):
        now_s += delays_s[number % len(delays_s)]
        effects += heard.timeout(now_s)
        hear = heard.receive_text if isinstance(message, str) else heard.receive_binary
        effects += hear(message, now_s)
    effects += heard.disconnected(now_s, 1006, "", ClosedBy.NETWORK)
    return effects, heard.drift_samples


@pytest.mark.parametrize("recording", RECORDINGS.values(), ids=list(RECORDINGS))
@MANY
@given(data=st.data())
def test_no_delay_within_the_limits_changes_an_effect(recording, data):
    # a client pings, and its audio alone keeps no session: so the whole recording takes less than the limit
    longest_s = IDLE_S / (len(recording.messages) + 1)
    delays_s = data.draw(st.lists(st.floats(0, longest_s), min_size=1, max_size=8))
    effects, drift_samples = replay(recording, delays_s)
    assert effects == replay(recording, [0.0])[0]
    assert drift_samples == 0
    assert [each for each in effects if isinstance(each, Observed) and each.what is Observation.DRIFT_SAMPLES] == []


def cut(recording: corpus.Recording, chance: random.Random) -> list[bytes]:
    """Return a session as the bytes of its socket, in pieces that are sent one by one."""
    stream = bytearray()
    for message in recording.messages:
        size = len(message)
        cuts = [chance.randrange(size) for _ in range(chance.choice((0, 0, 1, 5)))]
        between = chance.choice((b"", wire.frame(wire.PING, b"x"), wire.frame(wire.PONG, b"")))
        stream += wire.message(message, chance.randbytes(4), cuts, between)
    pieces = []
    while stream:
        size = chance.choice((1, 2, 7, 100, 1500, 9000, len(stream)))
        pieces.append(bytes(stream[:size]))
        del stream[:size]
    return pieces


async def send(port: int, recording: corpus.Recording, chance: random.Random) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ids = (recording.session_id, recording.organization_id, recording.correlation_id)
    writer.write(wire.request(*ids))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    for piece in cut(recording, chance):
        writer.write(piece)
        if chance.random() < 0.5:
            await asyncio.sleep(chance.choice((0, 0, 0.001)))
    # the server's answer to the last message, or as much as there is
    writer.write(wire.frame(wire.CLOSE, b"\x03\xe8"))
    while await reader.read(65_536):
        pass
    writer.close()


async def calls(keys, seed: int, chosen: list[corpus.Recording]) -> dict:
    chance, outlet = random.Random(seed), FakeOutlet()
    async with serving(outlet, keys) as server, asyncio.TaskGroup() as tasks:
        for recording in chosen:
            tasks.create_task(send(server.port, recording, random.Random(chance.random())))
    return told(outlet.records)


def test_no_split_and_no_interleaving_on_the_socket_changes_a_record(tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({wire.KEY: ""}))
    wanted: dict = {}
    for recording in WHOLE:
        wanted |= asyncio.run(reference(recording))
    assert len(wanted) == len(WHOLE) - 1, "all but the probe leave a trace"

    @settings(MANY, max_examples=40)
    @given(seed=st.integers(0, 2**32), chosen=st.permutations(WHOLE))
    def check(seed, chosen):
        assert asyncio.run(calls(keys, seed, chosen)) == wanted

    check()


def test_what_arrived_before_a_lost_connection_is_stored_like_everything_else(tmp_path):
    recording = RECORDINGS["dropped"]
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({wire.KEY: ""}))
    ((frames, _),) = asyncio.run(reference(recording)).values()
    ((found, _),) = asyncio.run(calls(keys, 1, [recording])).values()
    assert found[:-1] == frames[:-1]
    assert [frame[0] for frame in found[-1:]] == ["CLOSED"]


def test_the_story_tells_a_missing_sample_from_none():
    recording = RECORDINGS["plain"]
    first = next(number for number, message in enumerate(recording.messages) if isinstance(message, bytes))
    shorter = [*recording.messages]
    shorter[first] = shorter[first][:-2]
    lossy = replace(recording, messages=tuple(shorter))
    assert replay(lossy, [0.0])[1] == 1
    assert asyncio.run(reference(lossy)) != asyncio.run(reference(recording))
    assert any(isinstance(effect, SendText) for effect in replay(lossy, [0.0])[0])
