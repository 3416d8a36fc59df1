"""B7, B16, F7: answers, the wait for them, and what is said of them. The defects: tests/data/defects/README.md."""

import asyncio
import base64
import json

import pytest
from pydantic import SecretStr

from ingest.media import Media
from ingest.protocol import AudioReceived, Call, GiveUp, SendText
from ingest.single_call import Description
from ingest.sources.conversation_audio.protocol import ConversationAudioProtocol
from ingest.sources.conversation_audio.protocol import Rules as AudioRules
from ingest.sources.media_websocket.protocol import SCOPE, MediaWebSocketProtocol, Rules
from runtime.clock import SystemClock
from runtime.http import HttpClient
from runtime.oauth import TokenSource
from schemas.symbols import Source
from simulators.oauth.server import OAuthServer
from tests.data.defects import exchanges
from tests.ingest.defect_peer import Peer
from tests.ingest.following_lines import OurLine
from tests.ingest.showing import eventually, running, shows
from tests.ingest.sources.media_streams.words import packet
from tests.runtime.websocket_peers import accept, raw_server

CALL = Call("call", connection_id="connection-7")
FRAMES = [bytes([number]) * 100 for number in range(1, 4)]
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class OurHeard:
    def __init__(self, url, *, binary_pings):
        description = Description(Source.CONVERSATION_AUDIO, "conversation-audio", Media())
        self._line = OurLine(url, lambda: ConversationAudioProtocol(CALL, description, AudioRules(binary_pings)))

    async def run(self):
        await self._line.run()

    @property
    def audio(self):
        return [effect.payload for effect in self._line.effects if isinstance(effect, AudioReceived)]


class Wire:
    """Sends frames, and keeps those that come, as (opcode, payload), until a close."""

    def __init__(self, *frames):
        self.frames = frames
        self.got = []

    async def talk(self, reader, writer):
        await accept(reader, writer)
        for opcode, payload in self.frames:
            writer.write(bytes([0x80 | opcode, len(payload)]) + payload)
        while True:
            first, length = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            payload = await reader.readexactly(length & 0x7F)
            if first & 0x0F == CLOSE:
                writer.close()
                return
            self.got.append((first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))))


async def wire(make, sent, *, binary_pings, answers):
    """Return the audio and the answers of a client to these frames, once there are so many answers."""
    wire = Wire(*sent)
    async with raw_server(wire.talk) as url:
        client = make(url, binary_pings=binary_pings)
        async with running(client.run()):
            await eventually(lambda: len(wire.got) >= answers and len(client.audio) >= len(FRAMES))
            return client.audio, wire.got[:]


@shows(OurHeard, exchanges.Heard, B7=exchanges.EveryBinaryIsAPing)
async def test_binary_messages_are_audio_and_control_pings_get_their_pong(make):
    sent = [(BINARY, FRAMES[0]), (PING, b"there?"), (BINARY, FRAMES[1]), (BINARY, FRAMES[2])]
    audio, got = await wire(make, sent, binary_pings=False, answers=1)
    assert (audio, got) == (FRAMES, [(PONG, b"there?")])


@shows(OurHeard, exchanges.Heard, B7=exchanges.EveryBinaryIsAPing)
async def test_where_binary_messages_are_pings_they_are_sent_back_once_and_text_is_audio(make):
    texts = [(TEXT, base64.b64encode(frame[:60])) for frame in FRAMES]
    sent = [texts[0], (BINARY, b"beat 1"), texts[1], texts[2], (BINARY, b"beat 2")]
    audio, got = await wire(make, sent, binary_pings=True, answers=2)
    assert (audio, got) == ([frame[:60] for frame in FRAMES], [(BINARY, b"beat 1"), (BINARY, b"beat 2")])


def our_machine():
    return MediaWebSocketProtocol(CALL, Description(Source.MEDIA_WEBSOCKET, "media-websocket", Media()), Rules())


def authenticating(make, now_s=100.0):
    """Return a machine that has said who it is."""
    machine = make()
    machine.use_token("the-token")
    said = [json.loads(effect.text) for effect in machine.connected(now_s) if isinstance(effect, SendText)]
    assert [(message["type"], message["token"]) for message in said] == [("auth", "the-token")]
    return machine


@shows(our_machine, B16=exchanges.WaitsForTheAnswer)
def test_a_token_that_is_refused_without_a_word_is_noticed(make):
    machine = authenticating(make)
    deadline_s = machine.deadline_s()
    assert deadline_s is not None
    (refusal,) = [effect for effect in machine.timeout(deadline_s) if isinstance(effect, GiveUp)]
    assert refusal.token_refused
    assert SCOPE in refusal.message


@shows(our_machine, B16=exchanges.WaitsForTheAnswer)
def test_a_token_that_is_refused_is_no_secret_in_the_message(make):
    machine = authenticating(make)
    answer = {"type": "auth", "result": "failure", "message": "the-token has no scope"}
    (refusal,) = [
        effect for effect in machine.receive_text(json.dumps(answer), 101.0) if isinstance(effect, GiveUp)
    ] or [None]
    assert refusal is not None
    assert "the-token" not in refusal.message
    assert "has no scope" in refusal.message


SECRET = "s3cret-of-the-client"
WORDS = "my card number is 4111"


class OurTalk:
    def __init__(self, url, token):
        self._line = OurLine(url, token=token.__self__)

    async def run(self):
        await self._line.run()

    @property
    def count(self):
        return len(self._line.received)

    @property
    def written(self):
        return [record.value for record in self._line.outlet.records]


@pytest.fixture
async def source():
    oauth = OAuthServer({"client": SECRET})
    async with oauth.serving() as url, HttpClient("oauth", timeout_s=5) as http:
        yield TokenSource(http, url, "client", SecretStr(SECRET), SystemClock())


async def talks(peer, connection):
    """Send a packet, what is none, and a reason to close, which repeats the token; nobody else should hear of them."""
    await connection.send(packet(0, payload=WORDS.encode()))
    await connection.send(json.dumps({"transcript": WORDS}))
    await connection.send("{" + WORDS)
    await connection.send(json.dumps({"status": 401, "code": "bad", "message": f"{peer.bearers[-1]} is not good"}))
    await connection.send(WORDS.encode())
    await asyncio.sleep(0.01)
    await connection.close(4001, f"{peer.bearers[-1]}: {WORDS}")


@shows(OurTalk, F7=exchanges.PrintsWhatItHas)
async def test_tokens_words_and_audio_stand_in_no_output(make, source, capfd):
    async with Peer(talks, (401, 101, 101, *[503] * 50)).serving() as peer:
        client = make(peer.url, source.get)
        async with running(client.run()):
            await eventually(lambda: client.count > 1 and len(peer.bearers) > 3)
    said = "".join(capfd.readouterr())
    assert "4001" in said
    said += repr(client) + repr(source)
    payload = base64.b64encode(WORDS.encode()).decode()
    assert [secret for secret in {SECRET, WORDS, payload, *peer.bearers} if secret in said] == []
    for told in (f": {WORDS}", "is not good"):
        assert any(told.encode() in value for value in client.written)
    assert not any(token.encode() in value for value in client.written for token in peer.bearers)
