"""A component for tests of the Forwarder: each text is a turn whose bytes leave to a file, and an answer follows."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from runtime.errors import Fenced, InvalidRecord
from runtime.forwarding import Hands, Job, Received
from schemas.records import BotTurn, Origin, Record, TurnEntry, Utterance
from schemas.symbols import TurnState, UtteranceKind

TOO_LARGE = 1_200_000
Act = Callable[[str], Awaitable[None]]


async def nothing(_: str) -> None:
    """Do nothing with a text that was sent."""


def utterance(text: str, conversation: str = "c") -> Utterance:
    """A text of a caller; `utterance_id` is the text, so that each is its own turn."""
    return Utterance(
        kind=UtteranceKind.TEXT,
        conversation_id=conversation,
        session_id="s",
        utterance_id=text,
        text=text,
        origin=Origin(topic="calls.events", partition=0, offset=0, index=0),
    )


class Talking:
    """Sends each text once and answers it; a turn found begun is AMBIGUOUS. Bytes leave to the file `sent`."""

    group = "cognigy"
    outputs: tuple[str, ...] = ("calls.bot",)
    first_start = "earliest"
    keeps_turns = True

    def __init__(self, input_topic: str, sent: Path, after_send: Act = nothing, lookback_ms: int = 0) -> None:
        self.input_topic = input_topic
        self.lookback_ms = lookback_ms
        self.planned: list[tuple[int, str]] = []
        self.begun: list[int] = []
        self.sent = sent
        self._after_send = after_send

    def begin(self, partition: int) -> None:
        """Forget a partition."""
        self.begun.append(partition)

    def plan(self, received: Received) -> list[Job[Utterance]]:
        """One job for a text; the text "bad" is refused, "nothing" asks for nothing."""
        record = received.record
        assert isinstance(record, Utterance)
        text = record.text or ""
        self.planned.append((received.partition, text))
        if text == "bad":
            raise InvalidRecord(text)
        return [] if text == "nothing" else [Job(record.conversation_id.encode(), record)]

    async def carry(self, job: Job[Utterance], hands: Hands) -> None:
        """Send one text."""
        turn_id = job.work.utterance_id
        known = hands.turn(turn_id)
        if known is None:
            try:
                await hands.announce(self._entry(hands, turn_id, TurnState.SENDING))
            except Fenced:
                self._tell(self.sent.with_suffix(".fenced"), turn_id)
                raise
            self._tell(self.sent, turn_id)
            await self._after_send(turn_id)
        state = TurnState.AMBIGUOUS if known is TurnState.SENDING else known or TurnState.ANSWERED
        await hands.write(self._answers(job, hands, turn_id, state))
        await hands.conclude(self._entry(hands, turn_id, state))

    @staticmethod
    def _tell(file: Path, turn_id: str) -> None:
        with file.open("a", encoding="utf-8") as opened:
            opened.write(f"{turn_id}\n")

    @staticmethod
    def _entry(hands: Hands, turn_id: str, state: TurnState) -> TurnEntry:
        return TurnEntry(turn_id=turn_id, state=state, origin=hands.received.origin(0))

    @staticmethod
    def _answers(job: Job[Utterance], hands: Hands, turn_id: str, state: TurnState) -> Sequence[Record]:
        return [
            BotTurn(
                conversation_id=job.work.conversation_id,
                session_id="s",
                turn_id=turn_id,
                state=state,
                text="x" * TOO_LARGE if job.work.text == "large" else None,
                origin=hands.received.origin(0),
            )
        ]


async def until(condition: Callable[[], bool], deadline_s: float = 60) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.02)
