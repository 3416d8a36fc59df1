"""When an input may leave: not while the bot is down, not faster than the address may ask, not once it is too old."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from processors.cognigy.breaker import Breaker, Patience, RetryBudget
from processors.cognigy.events import Verdict
from processors.cognigy.logic import says_the_bot_is_down
from processors.cognigy.pace import Pace
from runtime.clock import Clock
from runtime.log import Logger
from runtime.metrics import COGNIGY_DOWN

_LONGEST_NAP_S = 0.25


class Gate:
    """What all inputs of a process pass before they leave. `pace` is any with `wait(longest_s) -> bool`."""

    def __init__(  # noqa: PLR0913 - what it needs from outside, each replaced in some test
        self,
        pace: Pace,
        clock: Clock,
        log: Logger,
        patience: Patience | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.retries = RetryBudget()
        self._pace = pace
        self._clock = clock
        self._log = log
        self._breaker = Breaker(patience)
        self._sleep = sleep
        self._draw = draw

    @property
    def rests(self) -> bool:
        """Whether the bot is left alone: there is no use in reading more inputs."""
        return self._breaker.rests(self._clock.monotonic_s())

    @property
    def outage(self) -> int | None:
        """The number of the outage there is now, None where the bot is up."""
        return self._breaker.outage if self._breaker.is_down else None

    async def passes(self, left_s: Callable[[], float]) -> bool:
        """Wait until an input may leave; False where it would be too old by then.

        Who passed must tell what came of it: `judged`, or `abandoned` where nothing did.
        """
        while (left := left_s()) > 0:
            if self._breaker.claim(self._clock.monotonic_s()):
                passed = False
                try:
                    passed = await self._pace.wait(left)
                finally:
                    # a probe that is cut off while it waits its turn must not keep its place for ever
                    if not passed:
                        self._breaker.abandoned()
                return passed
            await self._sleep(min(left, _LONGEST_NAP_S, self._breaker.wait_s(self._clock.monotonic_s())))
        return False

    def judged(self, verdict: Verdict) -> None:
        """Take note of what came of an input that had passed."""
        before = self._breaker.is_down
        if says_the_bot_is_down(verdict):
            self._breaker.failed(self._clock.monotonic_s(), self._draw())
        else:
            self._breaker.succeeded()
        if self._breaker.is_down != before:
            write = self._log.info if before else self._log.warning
            write(
                "the bot answers again" if before else "the bot cannot be had: inputs wait", cause=verdict.error_class
            )
        COGNIGY_DOWN.set(self._breaker.is_down)

    def abandoned(self) -> None:
        """Take note that nothing came of it."""
        self._breaker.abandoned()


class Progress:
    """How far the sending of one input has come."""

    def __init__(self) -> None:
        self.attempts = 0
        self.first_sent_at_s: float | None = None
        self.verdict: Verdict | None = None

    def settle(self, gate: Gate) -> None:
        """Tell the gate what came of the input that passed it."""
        verdict, self.verdict = self.verdict, None
        if verdict is None:
            gate.abandoned()
        else:
            gate.judged(verdict)
