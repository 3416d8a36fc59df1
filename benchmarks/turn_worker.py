"""cognigy with the times of each turn: `python -m benchmarks.turn_worker SAMPLES` writes them as JSON when it ends.

A turn's times are epoch seconds: `said` its record was made, `planned` it was taken up, `intent` and `send` around the
round trip that clears it for sending, `out` its request leaves, `back` its answer is there, `stored` its records are.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from processors.cognigy.companion import CognigyCompanion
from processors.cognigy.config import CognigySettings, rules
from processors.cognigy.forward import CognigyForward
from processors.cognigy.gate import Gate
from processors.cognigy.logic import Turn, Work
from processors.cognigy.pace import Pace
from processors.cognigy.replies import NoReply, Reply
from processors.cognigy.rest import RestClient, http_client, rest_client
from runtime.clock import SystemClock
from runtime.forwarder import run_forwarder
from runtime.forwarding import Hands, Job, Letter, Received
from runtime.service import Service, main
from schemas.records import Record, TurnEntry, Utterance
from schemas.symbols import TurnState

_clock = SystemClock()
_times: ContextVar[dict[str, float] | None] = ContextVar("times", default=None)
_samples: list[dict[str, float]] = []


def note(name: str) -> None:
    """Keep the time of a step of the turn under way."""
    times = _times.get()
    if times is not None:
        times.setdefault(name, _clock.wall_s())


class TimedHands:
    """Hands that note when the records of the answer were stored."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    @property
    def received(self) -> Received:
        """See `Hands`."""
        return self._hands.received

    async def write(self, records: Sequence[Record]) -> None:
        """See `Hands`."""
        await self._hands.write(records)
        note("stored")

    def turn(self, turn_id: str) -> TurnState | None:
        """See `Hands`."""
        return self._hands.turn(turn_id)

    async def announce(self, entry: TurnEntry) -> None:
        """See `Hands`."""
        await self._hands.announce(entry)

    async def conclude(self, entry: TurnEntry) -> None:
        """See `Hands`."""
        await self._hands.conclude(entry)

    async def bury(self, letter: Letter) -> None:
        """See `Hands`."""
        await self._hands.bury(letter)


class TimedForward(CognigyForward):
    """The component, noting the times of each turn."""

    async def carry(self, job: Job[Work], hands: Hands) -> None:
        """See `Forward`."""
        if not isinstance(job.work, Turn):
            await super().carry(job, hands)
            return
        times = {"said": job.work.utterance.occurred_at_us / 1e6}
        _times.set(times)
        note("planned")
        await super().carry(job, TimedHands(hands))
        _samples.append(times)


class TimedClient(RestClient):
    """The transport, noting when a request leaves and its answer is there."""

    async def ask(self, body: bytes) -> Reply | NoReply:
        """See `RestClient`."""
        note("out")
        reply = await super().ask(body)
        note("back")
        return reply


async def start(service: Service[CognigySettings], samples: Path) -> None:
    """Carry inputs until told to stop; then write the times."""
    settings, clock, log = service.settings, service.clock, service.log
    async with http_client(settings, clock, settings.forwarder.max_in_flight) as http, asyncio.TaskGroup() as group:
        client: Any = rest_client(settings, http, clock)
        client.__class__ = TimedClient
        gate = Gate(Pace(*settings.pace), clock, log, settings.patience)
        forward = TimedForward(client, rules(settings), gate, clock, log, worker="bench", beside=group)
        companion = CognigyCompanion(forward, client, gate)
        await run_forwarder(service, forward, record_type=Utterance, before_step=note, companion=companion)
    samples.write_text(json.dumps(_samples))  # noqa: ASYNC240 - nothing else goes on any more


if __name__ == "__main__":
    path = Path(sys.argv.pop())
    main("cognigy", CognigySettings, lambda service: start(service, path))
