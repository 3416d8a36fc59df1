"""The component on the Forwarder: which records become turns, and how a turn is carried to the bot and back."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Literal

from processors.cognigy.calls import Call, Calls
from processors.cognigy.client import BotClient
from processors.cognigy.course import Course
from processors.cognigy.events import BotEvent, BotInput, Ended, Outcome, Verdict
from processors.cognigy.gate import Gate, Progress
from processors.cognigy.logic import (
    NOT_STORED,
    TOO_LARGE,
    Boundary,
    End,
    Step,
    Turn,
    Work,
    end_of,
    expired,
    first_step,
    is_input,
    left_behind,
    utterance_of,
    wait_s,
    works_of,
)
from processors.cognigy.report import boundary
from processors.cognigy.rules import Rules
from runtime.clock import Clock
from runtime.errors import InvalidRecord, UsageError
from runtime.forwarding import Hands, Job, Received
from runtime.log import Logger
from runtime.metrics import COGNIGY_ATTEMPTS, COGNIGY_RESPONSE_SECONDS
from schemas.symbols import TurnState
from schemas.topics import BOT, UTTERANCES

LOOKBACK_MS = 40 * 60_000
"""What is known of a call is learnt again from so much of the log; of a call that is older, less is told to the bot."""

Unasked = Callable[[Call, Sequence[BotEvent], BotInput | None], None]


class CognigyForward:
    """`runtime.forwarding.Forward` of turns. `worker` names this process on the turns topic.

    `beside` runs what marks slow turns, and lives as long as this; without it nothing does.
    """

    group: str = "cognigy"
    first_start: Literal["earliest", "latest"] = "latest"
    keeps_turns: bool = True
    lookback_ms: int = LOOKBACK_MS

    def __init__(  # noqa: PLR0913 - what it needs from outside, each replaced in some test
        self,
        client: BotClient,
        rules: Rules,
        gate: Gate,
        clock: Clock,
        log: Logger,
        *,
        worker: str = "",
        beside: asyncio.TaskGroup | None = None,
        unasked: Unasked = lambda _call, _events, _said: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.input_topic: str = UTTERANCES.name
        self.outputs: tuple[str, ...] = (BOT.name,)
        self.calls = Calls()
        self.beside = beside
        self._client = client
        self._rules = rules
        self._gate = gate
        self._clock = clock
        self._log = log
        self._worker = worker
        self._unasked = unasked
        self._sleep = sleep
        self._draw = draw

    def begin(self, partition: int) -> None:
        """Forget the calls of a partition: its records tell of them again."""
        self.calls.begin(partition)

    def plan(self, received: Received) -> list[Job[Work]]:
        """See `Forward`."""
        utterance = utterance_of(received)
        call = self.calls.take(received, utterance, is_input=is_input(utterance, self._rules))
        key = utterance.conversation_id.encode()
        return [Job(key, work) for work in works_of(received, utterance, call, self._rules)]

    async def carry(self, job: Job[Work], hands: Hands) -> None:
        """Take a turn to its end, or a call over its boundary: nothing is left to do for it once this returns."""
        if isinstance(job.work, Boundary):
            await self._cross(job.work, hands)
            return
        turn = job.work
        step = first_step(hands.turn(turn.id), self._age_s(turn), self._rules, superseded=turn.superseded)
        if step is Step.NOTHING:
            return
        retaken = step in {Step.RESEND, Step.END_AMBIGUOUS}
        course = Course(
            turn, hands, self._rules, self._client.transport, self._clock, worker=self._worker, retaken=retaken
        )
        if step is Step.END_AMBIGUOUS:
            end: End = left_behind()
        elif step is Step.END_STALE:
            await self._tell_outage(course)
            end = expired(retaken=False)
        elif step is Step.END_SUPERSEDED:
            end = expired(retaken=False, state=TurnState.SUPERSEDED)
        else:
            await self._send(course)
            return
        await self._close(course, (), end)

    async def _cross(self, at: Boundary, hands: Hands) -> None:
        if at.opens:
            self.open(at.call)
        elif at.call.over:
            self._client.close(at.call.conversation_id)
        if at.utterance.utterance_id:
            await hands.write([boundary(at, self._rules, self._client.transport, self._clock.wall_s())])

    def open(self, call: Call) -> None:
        """Let the bot be reached for a call."""
        self._client.open(call.conversation_id, lambda events, said: self._unasked(call, events, said))

    # --- one input ----------------------------------------------------------------------------------------------

    async def _send(self, course: Course) -> None:
        turn = course.turn
        said = BotInput(turn.id, turn.utterance, self._about(turn))
        if self._client.size_bytes(said) > self._rules.longest_request_bytes:
            await self._close(course, (), end_of(TOO_LARGE, retaken=course.retaken))
            return
        async with self._watched(course) as progress:
            events, end = await self._attempts(course, said, progress)
        await self._close(course, events, end)

    async def _attempts(self, course: Course, said: BotInput, progress: Progress) -> tuple[Sequence[BotEvent], End]:
        """Send an input until something came of it; return what came last, and how the turn ends."""
        turn, retaken = course.turn, course.retaken
        end = expired(retaken=retaken)
        while await self._passes(course):
            try:
                if self._superseded(turn, progress):
                    return (), expired(retaken=retaken, state=TurnState.SUPERSEDED)
                try:
                    await course.announce(progress.attempts + 1)
                except InvalidRecord:
                    return (), end_of(NOT_STORED, retaken=retaken, attempts=progress.attempts)
                # storing the intent may have taken long
                if self._left_s(turn) <= 0:
                    return (), end
                progress.attempts += 1
                events, end = await self._attempt(course, said, progress)
            finally:
                progress.settle(self._gate)
            wait = wait_s(end, self._age_s(turn), self._draw(), self._rules)
            if wait is None or not self._gate.retries.take():
                return events, end
            await self._sleep(wait)
        return (), end

    def _superseded(self, turn: Turn, progress: Progress) -> bool:
        return self._rules.on_newer_input == "supersede" and turn.superseded and not progress.attempts

    async def _passes(self, course: Course) -> bool:
        """Wait until the input may leave."""
        await self._tell_outage(course)
        return await self._gate.passes(lambda: self._left_s(course.turn))

    async def _tell_outage(self, course: Course) -> None:
        """Tell a call, once an outage, that the bot cannot be had."""
        call, outage = course.turn.call, self._gate.outage
        if call is not None and outage is not None and call.outage != outage:
            call.outage = outage
            await course.tell_unavailable()

    async def _attempt(self, course: Course, said: BotInput, progress: Progress) -> tuple[Sequence[BotEvent], End]:
        """Send an input once. Return what came last, and how its turn ends if that was the last attempt."""
        turn, call = course.turn, course.turn.call
        if call is not None and not call.over:
            self.open(call)
        sent_at_s, started_s = self._clock.wall_s(), self._clock.monotonic_s()
        progress.first_sent_at_s = progress.first_sent_at_s or sent_at_s
        if progress.attempts == 1:
            self._gate.retries.sent()
        said = BotInput(said.turn_id, said.utterance, said.about, self._left_s(turn))
        first_s: float | None = None
        events: tuple[BotEvent, ...] = ()
        async with aclosing(self._client.send(turn.utterance.conversation_id, said)) as coming:
            async for events in coming:
                first_s = self._clock.monotonic_s() - started_s if first_s is None else first_s
                if isinstance(events[-1], Ended):
                    break
                await course.take(events, _standing(progress, sent_at_s, first_s, retaken=course.retaken))
        if not (events and isinstance(events[-1], Ended)):
            message = "a transport ended without a verdict"
            raise UsageError(message)
        verdict = events[-1].verdict
        progress.verdict = verdict
        self._note(verdict, call, first_s or 0.0)
        end = end_of(
            verdict,
            retaken=course.retaken,
            attempts=progress.attempts,
            sent_at_s=sent_at_s,
            waited_s=first_s,
            first_sent_at_s=progress.first_sent_at_s,
        )
        return events, end

    @staticmethod
    def _note(verdict: Verdict, call: Call | None, waited_s: float) -> None:
        """Count an attempt; what was not provably unsent has told the bot of the call."""
        COGNIGY_ATTEMPTS.labels(verdict.outcome.value).inc()
        if verdict.outcome is Outcome.UNSENT:
            return
        if verdict.error_class != "no_answer":
            COGNIGY_RESPONSE_SECONDS.observe(waited_s)
        if call is not None:
            call.told = True

    def _about(self, turn: Turn) -> dict[str, object] | None:
        """Return what the bot is told of the call with this input: once, and where it was asked for."""
        call = turn.call
        if call is None or call.told or self._rules.metadata == "never" or not call.about:
            return None
        return dict(call.about)

    @asynccontextmanager
    async def _watched(self, course: Course) -> AsyncIterator[Progress]:
        """Mark the turn as slow when it takes long."""
        progress = Progress()
        if self.beside is None:
            yield progress
            return

        beside, marking = self.beside, list[asyncio.Task[None]]()

        def mark() -> None:
            marking.append(beside.create_task(course.mark_slow(progress.attempts)))

        # hardly any turn is slow: a timer costs less than a task that waits
        timer = asyncio.get_running_loop().call_later(self._rules.slow_after_s, mark)
        try:
            yield progress
        finally:
            timer.cancel()
            for task in marking:
                task.cancel()
                await asyncio.wait([task])

    async def _close(self, course: Course, events: Sequence[BotEvent], end: End) -> None:
        await course.close(events, end)
        if end.state is not TurnState.ANSWERED:
            self._tell(course.turn, end)

    def _tell(self, turn: Turn, end: End) -> None:
        verdict = end.verdict
        cause = "the caller spoke again" if end.state is TurnState.SUPERSEDED else "older than an input may be"
        self._log.warning(
            "a turn was not answered",
            conversation=turn.utterance.conversation_id,
            turn=turn.id,
            outcome=end.state,
            cause=(verdict.error_class if verdict else None) or cause,
            status=verdict.code if verdict else -1,
            attempt=end.attempts,
        )

    def _age_s(self, turn: Turn) -> float:
        return turn.age_s(self._clock.wall_s())

    def _left_s(self, turn: Turn) -> float:
        return self._rules.max_input_age_s - self._age_s(turn)


def _standing(progress: Progress, sent_at_s: float, waited_s: float, *, retaken: bool) -> End:
    """Return how a turn stands whose answer has begun and goes on."""
    state = TurnState.SENDING
    return End(state, None, progress.attempts, sent_at_s, waited_s, retaken, first_sent_at_s=progress.first_sent_at_s)
