"""The component on the Forwarder: which records become turns, and how a turn is carried to the bot and back."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Literal

from processors.cognigy.client import BotClient
from processors.cognigy.logic import (
    TOO_LARGE,
    End,
    NoReply,
    Step,
    Turn,
    end_of,
    expired,
    first_step,
    judge,
    left_behind,
    turn_of,
    wait_s,
)
from processors.cognigy.messages import request
from processors.cognigy.pace import Pace
from processors.cognigy.report import entry, marks, records
from processors.cognigy.rules import Rules
from runtime.clock import Clock
from runtime.forwarding import Hands, Job, Received
from runtime.log import Logger
from runtime.metrics import COGNIGY_ATTEMPTS, COGNIGY_MARKED, COGNIGY_RESPONSE_SECONDS, COGNIGY_TURNS
from schemas.symbols import TurnState
from schemas.topics import BOT, UTTERANCES

Sleep = Callable[[float], Awaitable[None]]


class CognigyForward:
    """`runtime.forwarding.Forward` of turns. `worker` names this process on the turns topic."""

    group: str = "cognigy"
    input_topic: str = UTTERANCES.name
    outputs: tuple[str, ...] = (BOT.name,)
    first_start: Literal["earliest", "latest"] = "latest"
    keeps_turns: bool = True
    lookback_ms: int = 0

    def __init__(  # noqa: PLR0913 - what it needs from outside, each replaced in some test
        self,
        client: BotClient,
        rules: Rules,
        pace: Pace,
        clock: Clock,
        log: Logger,
        *,
        worker: str = "",
        sleep: Sleep = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._rules = rules
        self._pace = pace
        self._clock = clock
        self._log = log
        self._worker = worker
        self._sleep = sleep
        self._draw = draw

    def begin(self, partition: int) -> None:
        """Nothing is known about a partition but what its records and turns say."""

    def plan(self, received: Received) -> list[Job[Turn]]:
        """See `Forward`."""
        turn = turn_of(received, self._rules)
        return [] if turn is None else [Job(turn.utterance.conversation_id.encode(), turn)]

    async def carry(self, job: Job[Turn], hands: Hands) -> None:
        """Take a turn to its end: nothing is left to do for it once this returns."""
        turn = job.work
        step = first_step(hands.turn(turn.id), self._age_s(turn), self._rules)
        if step is Step.NOTHING:
            return
        if step is Step.END_AMBIGUOUS:
            end = left_behind()
        elif step is Step.END_STALE:
            end = expired(retaken=False)
        else:
            end = await self._send(turn, hands, retaken=step is Step.RESEND)
        now_s = self._clock.wall_s()
        written = records(turn, end, now_s, self._rules)
        await hands.write(written)
        await hands.conclude(entry(turn, end.state, end.attempts, self._worker, now_s))
        COGNIGY_TURNS.labels(end.state).inc()
        for mark in marks(written):
            COGNIGY_MARKED.labels(mark).inc()
        self._tell(turn, end)

    async def _send(self, turn: Turn, hands: Hands, *, retaken: bool) -> End:
        body = request(turn.utterance)
        if len(body) > self._rules.longest_request_bytes:
            return end_of(TOO_LARGE, retaken=retaken)
        attempt = 0
        end = expired(retaken=retaken)
        while await self._pace.wait(self._left_s(turn)):
            attempt += 1
            now_s = self._clock.wall_s()
            await hands.announce(entry(turn, TurnState.SENDING, attempt, self._worker, now_s))
            # storing the intent may have taken long
            if self._left_s(turn) <= 0:
                return end
            end = await self._attempt(body, attempt, retaken=retaken)
            wait = wait_s(end, self._age_s(turn), self._draw(), self._rules)
            if wait is None:
                return end
            await self._sleep(wait)
        return end

    async def _attempt(self, body: bytes, attempt: int, *, retaken: bool) -> End:
        """Send an input once, and return how its turn ends if that was the last attempt."""
        sent_at_s, started_s = self._clock.wall_s(), self._clock.monotonic_s()
        reply = await self._client.send(body)
        waited_s = self._clock.monotonic_s() - started_s
        verdict = judge(reply, self._rules)
        COGNIGY_ATTEMPTS.labels(verdict.outcome.value).inc()
        if not isinstance(reply, NoReply):
            COGNIGY_RESPONSE_SECONDS.observe(waited_s)
        return end_of(verdict, retaken=retaken, attempts=attempt, sent_at_s=sent_at_s, waited_s=waited_s)

    def _tell(self, turn: Turn, end: End) -> None:
        if end.state is TurnState.ANSWERED:
            return
        verdict = end.verdict
        self._log.warning(
            "a turn was not answered",
            conversation=turn.utterance.conversation_id,
            turn=turn.id,
            outcome=end.state,
            cause=(verdict.error_class if verdict else None) or "older than an input may be",
            status=verdict.code if verdict else -1,
            attempt=end.attempts,
        )

    def _age_s(self, turn: Turn) -> float:
        return turn.age_s(self._clock.wall_s())

    def _left_s(self, turn: Turn) -> float:
        return self._rules.max_input_age_s - self._age_s(turn)
