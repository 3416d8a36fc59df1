"""The bridge as a transport: a link for each call, opened with it and closed after its last input."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from processors.cognigy.bridge.audio import Piece, linear
from processors.cognigy.bridge.config import BridgeSettings
from processors.cognigy.bridge.link import Link
from processors.cognigy.bridge.messages import CODECS, Reading, audio_chunk, user_input
from processors.cognigy.bridge.protocol import Limits
from processors.cognigy.client import Unasked
from processors.cognigy.events import BotEvent, BotInput, Ended, Outcome, Verdict
from runtime.clock import Clock
from runtime.log import Logger
from runtime.oauth import TokenSource
from runtime.pace import Pace
from runtime.supervision import Claim
from runtime.websocket import Dialer
from schemas.symbols import BotTransport

SCOPE = "appfoundry:agent:connect"
"""What the OAuth client has to be allowed."""

Dial = Callable[[str], Dialer]
"""A conversation's id → what dials its socket."""


class BridgeClient:
    """See `BotClient`. `group` runs the links, and must not end before `stop`."""

    transport = BotTransport.BRIDGE

    def __init__(  # noqa: PLR0913 - what its links need
        self,
        settings: BridgeSettings,
        dial: Dial,
        group: asyncio.TaskGroup,
        clock: Clock,
        log: Logger,
        *,
        answer_s: float,
    ) -> None:
        self._settings = settings
        self._dial = dial
        self._group = group
        self._clock = clock
        self._log = log
        self._limits = Limits(answer_s=answer_s, quiet_s=settings.quiet_s)
        self._reading = Reading(
            codec=CODECS[settings.codec],
            sample_rate_hz=settings.sample_rate_hz,
            payload_fields=settings.payload_fields,
            end_types=settings.end_types,
            turn_field=settings.turn_field,
        )
        self._links: dict[str, tuple[Link, asyncio.Task[None]]] = {}

    @property
    def sessions(self) -> int:
        """How many calls have a link."""
        return len(self._links)

    def open(self, session: str, unasked: Unasked) -> None:
        """See `BotClient`."""
        if session in self._links:
            return
        link = Link(
            self._dial(session),
            self._reading,
            self._limits,
            unasked,
            self._clock,
            self._log,
            rest_s=self._settings.rest_s,
            max_age_s=self._settings.audio_max_age_ms / 1000,
        )
        self._links[session] = link, self._group.create_task(link.run())

    def size_bytes(self, said: BotInput) -> int:
        """See `BotClient`."""
        return len(user_input(said).encode())

    async def send(self, session: str, said: BotInput) -> AsyncGenerator[tuple[BotEvent, ...], None]:
        """See `BotClient`."""
        found = self._links.get(session)
        if found is None:
            yield (Ended(Verdict(Outcome.UNSENT, "unreachable", "the call has no connection any more")),)
            return
        async with aclosing(found[0].send(said)) as coming:
            async for events in coming:
                yield events

    def speak(self, session: str, piece: Piece) -> None:
        """Send a piece of the caller's voice, where the call has a link."""
        found = self._links.get(session)
        if found is None:
            return
        sent = linear(piece) if self._settings.audio_encoding == "l16" else piece
        chunk = audio_chunk(session, sent.payload, sent.codec, sent.sample_rate_hz, sent.position_samples)
        found[0].offer(chunk, piece.captured_at_us)

    def close(self, session: str) -> None:
        """See `BotClient`."""
        found = self._links.pop(session, None)
        if found is not None:
            found[1].cancel()

    def stop(self) -> None:
        """Close all links."""
        for session in list(self._links):
            self.close(session)


def dialling(settings: BridgeSettings, clock: Clock, token: TokenSource | None, pace: Pace) -> Dial:
    """Return what makes the dialler of a call's socket. It raises `ConfigError` for a URL that is none."""

    def dial(conversation_id: str) -> Dialer:
        claim = Claim(scope=SCOPE, subject="the socket of a call", client="COGNIGY_BRIDGE_CLIENT_ID")
        return Dialer(
            "bridge", settings.address(conversation_id), settings.policy, clock, token=token, pace=pace, claim=claim
        )

    return dial
