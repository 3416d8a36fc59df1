"""Plays a call to whoever listens: one clock, which no reconnect stops or rewinds."""

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from typing import Protocol

from simulators.live_call.report import LiveReport
from simulators.live_call.script import Chunk, Close, Cut, Plan, Say, Step

Encode = Callable[[bytes], str | bytes]
"""Payload of a chunk → its message."""


class Listener(Protocol):
    """A connection, as far as a call needs it."""

    @property
    def is_open(self) -> bool:
        """False once it has ended."""

    def send(self, message: str | bytes, /) -> Awaitable[None]:
        """Send a message."""

    def close(self, code: int, reason: str, /) -> Awaitable[None]:
        """Close it."""

    def abort(self) -> None:
        """Cut it."""


class LivePlayer:
    """One call. It starts with its first listener, or only with `begin` if `starts_on_listener` is False.

    speed: media seconds per second; raises ValueError for one that is not positive. note: called whenever something
    happened.
    """

    def __init__(self, plan: Plan, *, speed: float = 1.0, starts_on_listener: bool = True) -> None:
        """Prepare; nothing runs yet."""
        if speed <= 0:
            message = "a live call has a positive speed"
            raise ValueError(message)
        self.report = LiveReport(plan)
        self.note: Callable[[], None] = lambda: None
        self._plan = plan
        self._speed = speed
        self._starts_on_listener = starts_on_listener
        self._started_s: float | None = None
        self._begun = asyncio.Event()
        self._played = 0

    def begin(self) -> None:
        """Start the clock; one that runs stays as it is."""
        if self._started_s is None:
            self._started_s = asyncio.get_running_loop().time()
            self._begun.set()

    async def play(self, listener: Listener, encode: Encode) -> None:
        """Send what is due from now on, and what has waited; returns when the call is over or the listener gone."""
        self.report.listeners += 1
        joined_ms = self._now_ms()
        if self._starts_on_listener:
            self.begin()
        self.note()
        await self._begun.wait()
        steps = self._plan.steps
        for at in range(self._first(joined_ms), len(steps)):
            at_ms, step = steps[at]
            await self._reach(at_ms)
            if not listener.is_open:
                return
            if not isinstance(step, Chunk):
                self._played = max(self._played, at + 1)  # it is not done a second time to the next listener
            await self._do(step, listener, encode)
            self._played = max(self._played, at + 1)
        await self._reach(self._plan.duration_ms)
        self.report.ended = True
        self.note()

    def _first(self, joined_ms: float) -> int:
        """Where a listener begins: now, or as far back as nobody listened and the backlog goes."""
        steps = self._plan.steps
        live = bisect_left(steps, joined_ms, key=lambda step: step[0])
        kept = bisect_left(steps, joined_ms - self._plan.backlog_ms, key=lambda step: step[0])
        return max(min(self._played, live), kept)

    async def _do(self, step: Step, listener: Listener, encode: Encode) -> None:
        if isinstance(step, Chunk):
            await listener.send(encode(step.payload))
            self.report.sent.append(step)
        elif isinstance(step, Say):
            await listener.send(step.content)
            self.report.said.append(step.content)
        elif isinstance(step, Cut):
            self.report.cuts += 1
            listener.abort()
        elif isinstance(step, Close):
            self.report.closes += 1
            await listener.close(step.code, step.reason)
        self.note()

    async def _reach(self, at_ms: float) -> None:
        loop = asyncio.get_running_loop()
        due_s = (self._started_s or 0.0) + at_ms / 1000 / self._speed
        await asyncio.sleep(max(due_s - loop.time(), 0))

    def _now_ms(self) -> float:
        """How long the call has lasted; 0 if it has not begun."""
        if self._started_s is None:
            return 0.0
        return (asyncio.get_running_loop().time() - self._started_s) * 1000 * self._speed
