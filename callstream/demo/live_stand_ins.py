"""The platforms of the demo's calls without numbers: a server for each source, its settings, what it must have seen."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol
from uuid import uuid4

from callstream.demo.checks import Check
from callstream.demo.evidence import Evidence
from callstream.demo.live import Loss, live
from callstream.demo.source import DemoSource
from schemas.symbols import CallEventKind, Reason, Source
from simulators.appfoundry.script import Message, Timeline, error, intent, transcript
from simulators.appfoundry.server import AppFoundryServer
from simulators.conversation_audio.server import ConversationAudioServer, Framing, Heartbeat
from simulators.live_call.player import LivePlayer
from simulators.media_websocket.server import PATH, AuthFault, MediaWebSocketServer
from simulators.websocket_server.server import Server

IsValid = Callable[[str], bool]
Calls = Mapping[str, LivePlayer]
_APP_ID: Final = "demo"
_PING_S: Final = 2.0
_IDLE_S: Final = 10.0
_CONNECTED, _REFUSED = 101, 401
_SAID: Final = {CallEventKind.TRANSCRIPT: 1_000, CallEventKind.INTENT: 3_000, CallEventKind.PLATFORM_ERROR: 9_000}
"""What is said beside the audio, and when, in ms."""
_GUARD_S: Final = 0.5
"""So long after the platform first said that a call is not paused its words are withheld: less than to the first."""
_KEEPING: Final = {"FIRST_DELAY_S": "0.3", "START_SPREAD_S": "0", "REST_S": "0.5"}
"""How connections are kept up: fast, so that the demo is short."""


class LiveStandIn(Protocol):
    """One source's platform with its calls, by conversation id."""

    @property
    def source(self) -> Source:
        """Whose records the calls become."""

    @property
    def calls(self) -> Calls:
        """The calls."""

    @property
    def server(self) -> Server:
        """Where they are sent from."""

    def variables(self, url: str) -> dict[str, str]:
        """Return what ingest must be told to reach the server at a URL."""

    async def beside(self) -> None:
        """Do what belongs to the calls beside their audio, from their begin on."""

    def checks(self, evidence: Evidence) -> Iterator[tuple[str, Check]]:
        """Return what must hold beyond the calls themselves, each with the name of its call, or "all"."""


def stand_in_of(source: DemoSource, calls: int, is_valid: IsValid) -> LiveStandIn | None:
    """Return the platform of a source with that many calls; None where its calls have numbers or come by themselves."""
    kinds: dict[DemoSource, Callable[[int, IsValid], LiveStandIn]] = {
        DemoSource.MEDIA_WEBSOCKET: MediaWebSocket,
        DemoSource.CONVERSATION_AUDIO: ConversationAudio,
        DemoSource.APPFOUNDRY: AppFoundry,
    }
    make = kinds.get(source)
    return None if make is None else make(calls, is_valid)


class MediaWebSocket:
    """The token stands in a message. The first one that comes is not answered, and one call begins only after that."""

    source = Source.MEDIA_WEBSOCKET

    def __init__(self, calls: int, is_valid: IsValid) -> None:
        self.calls = _players(calls, Loss.CUT)
        self._connections = {f"connection-{number}": call for number, call in enumerate(self.calls, 1)}
        by_connection = {name: self.calls[call] for name, call in self._connections.items()}
        self.server = MediaWebSocketServer(by_connection, is_valid=is_valid)
        self.server.fail_auth_next(1, AuthFault.SILENT)

    def variables(self, url: str) -> dict[str, str]:
        """Return the settings of the source."""
        return _settings(
            "MEDIA_WEBSOCKET",
            URL=f"{url}{PATH}",
            CONNECTIONS=json.dumps(self._connections),
            USER_ID="demo",
            AUTH_TIMEOUT_S="1",
            CHANNELS="external",
        )

    async def beside(self) -> None:
        """Do nothing: there is audio only."""

    def checks(self, evidence: Evidence) -> Iterator[tuple[str, Check]]:
        """Every connection said who it is in a message; the one without an answer ended a session without audio."""
        said = self.server.authentications
        silent = [one for one in said if one.answer is None]
        each = len(said) == self.server.connections == 2 * len(self.calls) + 1
        fits = each and len(silent) == 1 and all(one.valid and one.user_id == "demo" for one in said)
        fits = fits and len(self.server.subscriptions) == 2 * len(self.calls) and not self.server.oddities
        found = f"{len(said)} tokens, {len(silent)} not answered, {len(self.server.subscriptions)} subscriptions"
        yield "all", Check("every connection authenticates and subscribes anew", fits, found)
        ended = [session for sessions in evidence.earlier.values() for session in sessions]
        alone = [(session.closed, session.frames) for session in ended] == [(Reason.BUDGET_SPENT.value, 0)]
        found = ", ".join(f"{session.closed.lower()} with {session.frames} frames" for session in ended) or "none"
        yield "all", Check("a token that is not answered ends a session, and the next one begins", alone, found)


class ConversationAudio:
    """Binary messages are pings and have to come back; the server closes with 1001 in the middle of each call."""

    source = Source.CONVERSATION_AUDIO

    def __init__(self, calls: int, is_valid: IsValid) -> None:
        self.calls = _players(calls, Loss.CLOSED)
        self.server = ConversationAudioServer(
            self.calls,
            is_valid=is_valid,
            heartbeat=Heartbeat.BINARY,
            framing=Framing.TEXT,
            ping_s=_PING_S,
            idle_s=_IDLE_S,
        )

    def variables(self, url: str) -> dict[str, str]:
        """Return the settings of the source."""
        return _settings(
            "CONVERSATION_AUDIO",
            URL=url + self.server.path("{conversation_id}"),
            CONVERSATIONS=json.dumps(list(self.calls)),
            AUTH="header",
            HEARTBEAT="binary",
            CHANNELS="external",
        )

    async def beside(self) -> None:
        """Do nothing: there is audio only."""

    def checks(self, evidence: Evidence) -> Iterator[tuple[str, Check]]:
        """Every ping came back as it was, and nothing was taken for audio or sent beside it."""
        del evidence
        pings = self.server.pings
        open_ends = 2 * len(self.calls)  # one may be under way at the end of each connection
        answered = [ping.answered_after_s for ping in pings if ping.answered_after_s is not None]
        fits = len(pings) - len(answered) <= open_ends and len(answered) >= 2 * len(self.calls)
        lost = [one for one in self.server.endings if one.reason == "no answer to a ping"]
        found = f"{len(answered)} of {len(pings)} pings, after {1000 * max(answered, default=-1):.0f} ms at most"
        ok = fits and not lost and not self.server.unexpected
        yield "all", Check("every binary ping is answered with its own bytes", ok, found)


class AppFoundry:
    """Audio beside transcripts, intents and errors; the token has expired when a connection is lost."""

    source = Source.APPFOUNDRY

    def __init__(self, calls: int, is_valid: IsValid) -> None:
        self.calls = _players(calls, Loss.CUT)
        self._sockets = {f"socket-{number}": call for number, call in enumerate(self.calls, 1)}
        self._said = {socket: _words(socket) for socket in self._sockets}
        by_socket = {socket: self.calls[call] for socket, call in self._sockets.items()}
        self.server = AppFoundryServer(_APP_ID, self._said, is_valid=is_valid, calls=by_socket)

    def variables(self, url: str) -> dict[str, str]:
        """Return the settings of the source."""
        own = _settings(
            "APPFOUNDRY",
            URL=f"{url}/v2/appfoundry/apps/{{app_id}}/websockets/{{websocket_id}}",
            APP_ID=_APP_ID,
            SOCKETS=json.dumps(self._sockets),
            CODEC="pcmu",
        )
        return {**own, "INGEST_RESUME_GUARD_S": f"{_GUARD_S:g}"}

    async def beside(self) -> None:
        """Let the tokens expire, and say the words of every call."""
        self.server.expire_tokens()
        async with asyncio.TaskGroup() as group:
            for socket in self._said:
                group.create_task(self.server.play(socket))

    def checks(self, evidence: Evidence) -> Iterator[tuple[str, Check]]:
        """The texts are events; the expired token was refused, and replaced."""
        for socket, conversation in self._sockets.items():
            events = evidence.events.get(conversation, [])
            told = [
                (event.kind, event.text or event.intent or event.message) for event in events if event.kind in _SAID
            ]
            wanted = [(kind, _text(kind, socket)) for kind in _SAID]
            found = f"{len(told)} of {len(wanted)}"
            yield conversation[:8], Check("every text, intent and error is an event", told == wanted, found)
        statuses = [one.status for one in self.server.handshakes]
        calls = len(self.calls)
        ok = statuses.count(_CONNECTED) == 2 * calls and 1 <= statuses.count(_REFUSED) <= calls
        found = f"{statuses.count(_CONNECTED)} connections, {statuses.count(_REFUSED)} times refused"
        yield "all", Check("an expired token is replaced by another", ok and len(statuses) <= 3 * calls, found)


def _players(calls: int, loss: Loss) -> Calls:
    return {str(uuid4()): LivePlayer(live(loss, number).plan(), starts_on_listener=False) for number in range(calls)}


def _settings(section: str, **own: str) -> dict[str, str]:
    return {f"INGEST_{section}_{name}": value for name, value in {**_KEEPING, **own}.items()}


def _words(socket: str) -> Timeline:
    """Return the words of a call, none of them near its lost connection."""
    made: dict[CallEventKind, Callable[[int, str], Message]] = {
        CallEventKind.TRANSCRIPT: transcript,
        CallEventKind.INTENT: intent,
        CallEventKind.PLATFORM_ERROR: error,
    }
    return Timeline(tuple(made[kind](at_ms, _text(kind, socket)) for kind, at_ms in _SAID.items()))


def _text(kind: CallEventKind, socket: str) -> str:
    return f"{kind.lower()} of {socket}"
