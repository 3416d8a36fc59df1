"""Streams calls to whoever subscribes: each call has one clock, which no reconnect stops or rewinds."""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from simulators.media_streams import messages
from simulators.media_streams.report import InteractionReport
from simulators.media_streams.script import Drop, Plan
from simulators.websocket_server.server import Peer, Server, Spawn

PATH: Final = "/api/v2/media/streams"
POLICY_VIOLATION: Final = 1008


@dataclass(frozen=True, slots=True)
class Interaction:
    """A call to be streamed. It starts with its first subscription, or only with `begin` if that is False.

    not_available_times: so many subscriptions of it are answered with mediaNotAvailable first. backlog_ms: packets that
    were due while nobody was subscribed, and no longer ago than this, come at once to the next who is.
    """

    interaction_id: str
    plan: Plan
    starts_on_subscription: bool = True
    not_available_times: int = 0
    backlog_ms: int = 0


class MediaStreamsServer(Server):
    """The stand-in. A packet is sent when it is due; one that is due while nobody is subscribed is gone.

    The 51st interaction of a connection is refused, and it alone. speed: media seconds per second.
    subscription_timeout_s: until the first message has to be there.
    close_without_ping_s: a connection over which no ping came for so long is cut, which clients see as 1006.
    """

    def __init__(
        self,
        interactions: Iterable[Interaction],
        *,
        is_valid: Callable[[str], bool],
        speed: float = 1.0,
        subscription_timeout_s: float = 10.0,
        close_without_ping_s: float | None = None,
    ) -> None:
        """Prepare the calls; raises ValueError for a speed that is not positive."""
        super().__init__(is_valid=is_valid, no_ping_s=close_without_ping_s)
        if speed <= 0:
            message = "a live call has a positive speed"
            raise ValueError(message)
        self.subscriptions: list[str | bytes] = []
        """First messages and later ones, as they came."""
        self._interactions = {interaction.interaction_id: interaction for interaction in interactions}
        self.reports = {name: InteractionReport(entry.plan) for name, entry in self._interactions.items()}
        self._begun = {name: asyncio.Event() for name in self._interactions}
        self._started_s: dict[str, float] = {}
        self._asked: Counter[str] = Counter()
        self._streamed: Counter[str] = Counter()
        self._speed = speed
        self._subscription_timeout_s = subscription_timeout_s

    def begin(self, interaction_id: str) -> None:
        """Start a call's clock; one that runs stays as it is."""
        self._started_s.setdefault(interaction_id, asyncio.get_running_loop().time())
        self._begun[interaction_id].set()

    def as_json(self) -> dict[str, Any]:
        """Return what happened as plain values for JSON."""
        return self.seen_as_json() | {
            "subscriptions": [str(message) for message in self.subscriptions],
            "interactions": {name: report.as_json() for name, report in self.reports.items()},
        }

    # --- a connection

    def status_of(self, path: str) -> int:
        """Know one path."""
        return HTTPStatus.SWITCHING_PROTOCOLS if path == PATH else HTTPStatus.NOT_FOUND

    async def converse(self, peer: Peer, spawn: Spawn) -> None:
        """Expect a subscription in time; every further message is one too."""
        try:
            async with asyncio.timeout(self._subscription_timeout_s):
                message = await peer.recv()
        except TimeoutError:
            await peer.close(POLICY_VIOLATION, "no subscription")
            return
        while await self._subscribe(peer, message, spawn):
            message = await peer.recv()

    async def _subscribe(self, peer: Peer, message: str | bytes, spawn: Spawn) -> bool:
        self.subscriptions.append(message)
        self.note_change()
        try:
            wanted = messages.read_subscription(message)
        except messages.Refusal as refusal:
            await peer.send(refusal.answer())
            await peer.close(POLICY_VIOLATION, refusal.code)
            return False
        for interaction_id in wanted:
            if interaction_id in peer.tags:
                continue
            if not self._is_available(interaction_id):
                await peer.send(messages.media_not_available(interaction_id))
            elif len(peer.tags) >= messages.INTERACTIONS_MAX:
                await peer.send(messages.too_many(interaction_id))
            else:
                self._join(peer, interaction_id, spawn)
        return True

    def _is_available(self, interaction_id: str) -> bool:
        interaction = self._interactions.get(interaction_id)
        if interaction is None:
            return False
        self._asked[interaction_id] += 1
        return self._asked[interaction_id] > interaction.not_available_times

    def _join(self, peer: Peer, interaction_id: str, spawn: Spawn) -> None:
        peer.tags.add(interaction_id)
        self.reports[interaction_id].subscriptions += 1
        joined_ms = self._now_ms(interaction_id)
        if self._interactions[interaction_id].starts_on_subscription:
            self.begin(interaction_id)
        spawn(self._stream(peer, interaction_id, joined_ms))
        self.note_change()

    # --- a call

    async def _stream(self, peer: Peer, interaction_id: str, joined_ms: float) -> None:
        await self._begun[interaction_id].wait()
        report = self.reports[interaction_id]
        steps = report.plan.steps
        for at in range(self._first(interaction_id, joined_ms), len(steps)):
            at_ms, step = steps[at]
            await self._reach(interaction_id, at_ms)
            if not peer.is_open:
                return
            self._streamed[interaction_id] = max(self._streamed[interaction_id], at + 1)
            if isinstance(step, Drop):
                report.drops += 1
                peer.abort()
            else:
                await peer.send(messages.packet_text(interaction_id, step))
                report.sent.append(step)
            self.note_change()
        await self._reach(interaction_id, report.plan.duration_ms)
        report.ended = True
        await peer.send(messages.media_not_available(interaction_id))
        peer.tags.discard(interaction_id)
        self.note_change()

    def _first(self, interaction_id: str, joined_ms: float) -> int:
        """Return the step a subscriber begins with: now, or as far back as nobody listened and the backlog goes."""
        steps, backlog_ms = self.reports[interaction_id].plan.steps, self._interactions[interaction_id].backlog_ms
        live = bisect_left(steps, joined_ms, key=lambda step: step[0])
        kept = bisect_left(steps, joined_ms - backlog_ms, key=lambda step: step[0])
        return max(min(self._streamed[interaction_id], live), kept)

    async def _reach(self, interaction_id: str, at_ms: float) -> None:
        due_s = self._started_s[interaction_id] + at_ms / 1000 / self._speed
        await asyncio.sleep(max(due_s - asyncio.get_running_loop().time(), 0))

    def _now_ms(self, interaction_id: str) -> float:
        """How long the call has lasted; 0 if it has not begun."""
        started_s = self._started_s.get(interaction_id)
        return 0.0 if started_s is None else (asyncio.get_running_loop().time() - started_s) * 1000 * self._speed
