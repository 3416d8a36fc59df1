"""Our client of one call behind the interface of `tests.data.defects.following`: a line with the real machine."""

from collections.abc import Callable
from dataclasses import replace

from ingest.connecting import Place
from ingest.dial import Dial, DialledSource
from ingest.line import Line
from ingest.pausing import PauseRules
from ingest.protocol import AudioReceived, Call, DialledProtocol, Effect
from ingest.sources.media_streams.config import MediaStreamsSettings
from ingest.sources.media_streams.source import dialled
from runtime.clock import SystemClock
from runtime.oauth import TokenSource
from runtime.supervision import Policy
from runtime.websocket import Dialer
from schemas.symbols import ClosedBy
from tests.data.defects.following import INACTIVITY_S
from tests.ingest.sources.media_streams.words import CALL
from tests.ingest.test_session import FakeOutlet, surroundings

POLICY = Policy(
    attempts=5,
    first_delay_s=0.02,
    longest_delay_s=0.02,
    open_timeout_s=5,
    ping_interval_s=None,
    close_timeout_s=1,
    inactivity_s=INACTIVITY_S,
)


def media_streams() -> DialledProtocol:
    """Return the machine of media streams for one call."""
    source = dialled(MediaStreamsSettings(), Place("mypurecloud.com", "us-east-1"))
    return source.dial("1", [Call(CALL)]).new_protocol()


class Watched:
    """A machine that keeps what it was told and what it asked for."""

    def __init__(self, machine: DialledProtocol, client: "OurLine") -> None:
        self._machine = machine
        self._client = client

    def __getattr__(self, name: str):
        return getattr(self._machine, name)

    def connected(self, now_s: float) -> list[Effect]:
        self._client.up = True
        return self._keep(self._machine.connected(now_s))

    def receive_text(self, text: str, now_s: float) -> list[Effect]:
        return self._keep(self._machine.receive_text(text, now_s))

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:
        return self._keep(self._machine.receive_binary(data, now_s))

    def disconnected(self, now_s: float, code: int, reason: str, closed_by: ClosedBy) -> list[Effect]:
        self._client.up = False
        self._client.ended.append((code, reason, closed_by.value))
        return self._keep(self._machine.disconnected(now_s, code, reason, closed_by))

    def _keep(self, effects: list[Effect]) -> list[Effect]:
        self._client.effects += effects
        return effects


class OurLine:
    """A line: dialler, connection, session and machine, as ingest runs them."""

    def __init__(
        self,
        url: str,
        machine: Callable[[], DialledProtocol] = media_streams,
        token: TokenSource | None = None,
    ) -> None:
        self.up = False
        self.ended: list[tuple[int, str, str]] = []
        self.effects: list[Effect] = []
        self.outlet = FakeOutlet()
        dial = Dial("media-streams", "1 of 1", url, POLICY, lambda: Watched(machine(), self), 3600)
        dialer = Dialer("media-streams", url, POLICY, SystemClock(), token=token)
        source = DialledSource("media-streams", 50, lambda *_: dial, (), lambda _: None)
        around = replace(surroundings(self.outlet), rules=PauseRules(publish_when_unknown=True))
        self._line = Line(source, "1", Call(CALL), around, make_dialer=lambda _: dialer, over=lambda _: None)

    async def run(self) -> None:
        await self._line.run()

    @property
    def received(self) -> list[int]:
        return received(self.effects)


def received(effects: list[Effect]) -> list[int]:
    """Return the numbers of the packets that were handed on."""
    return [effect.source_sequence for effect in effects if isinstance(effect, AudioReceived)]
