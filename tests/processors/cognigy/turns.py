"""Utterances, a bot that answers what it is told, and the component around it, on manual time."""

import hashlib
import json
from collections import deque
from collections.abc import AsyncGenerator

from processors.cognigy.breaker import Patience
from processors.cognigy.events import BotEvent, BotInput, Ended
from processors.cognigy.forward import CognigyForward
from processors.cognigy.gate import Gate
from processors.cognigy.logic import Turn, turn_of
from processors.cognigy.messages import request_of
from processors.cognigy.replies import NoReply, Reply, judge
from processors.cognigy.rules import Rules
from runtime.clock import ManualClock
from runtime.forward_testing import ForwardDriver
from runtime.forwarding import Received
from runtime.log import get_logger
from schemas.records import BotTurn, Origin, Utterance
from schemas.symbols import BotTransport, Channel, UtteranceInput, UtteranceKind
from schemas.topics import BOT

NOW_S = 1_700_000_000.0
RULES = Rules(settings_hash="0123456789abcdef")


def utterance(text: str | None = "hello", *, counter: int = 0, conversation: str = "conversation", **more) -> Utterance:
    fields = {
        "kind": UtteranceKind.TEXT,
        "conversation_id": conversation,
        "session_id": f"session of {conversation}",
        "organisation": "organisation",
        "queue": "sales",
        "agent": "agent 7",
        "channel": Channel.EXTERNAL,
        "utterance_id": hashlib.sha256(f"{conversation}/{counter}".encode()).hexdigest(),
        "input": UtteranceInput.PLATFORM,
        "text": text,
        "language": "en-US",
        "event_counter": counter,
        "occurred_at_us": round(NOW_S * 1e6),
        "origin": Origin(topic="calls.events", partition=0, offset=counter, index=0),
        **more,
    }
    return Utterance(**fields)


def received(record=None, *, offset: int = 7) -> Received:
    return Received("calls.utterances", 3, offset, round(NOW_S * 1000), b"conversation", record or utterance())


def turn(**more) -> Turn:
    record = received(utterance(**more))
    return turn_of(record, record.record)


def body(*entries, **more) -> bytes:
    stack = [
        {"text": None, "data": None, "traceId": "trace", "disableSensitiveLogging": False, "source": "bot", **entry}
        for entry in entries
    ]
    text = "".join(entry["text"] or "" for entry in stack)
    content = {"text": text, "data": {}, "outputStack": stack, "userId": "u", "sessionId": "s", **more}
    return json.dumps(content).encode()


def said(*texts: str) -> Reply:
    return Reply(200, body(*({"text": text} for text in texts)))


YES = said("Yes.")


class FakeBot:
    """Answers with what stands in `replies`, then always the same; `takes_s` passes on the clock meanwhile."""

    transport = BotTransport.REST

    def __init__(self, clock: ManualClock) -> None:
        self.replies: deque[Reply | NoReply] = deque()
        self.takes_s = 0.0
        self.asked: list[dict] = []
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.before_answer: list = []
        self._clock = clock

    def open(self, session, unasked) -> None:
        self.opened.append(session)

    def close(self, session) -> None:
        self.closed.append(session)

    def size_bytes(self, said: BotInput) -> int:
        return len(request_of(said))

    async def send(self, session: str, said: BotInput) -> AsyncGenerator[tuple[BotEvent, ...], None]:
        self.asked.append(json.loads(request_of(said)))
        self._clock.advance(self.takes_s)
        for act in self.before_answer:
            await act()
        verdict, outputs = judge(self.replies.popleft() if self.replies else YES, RULES)
        yield (*outputs, Ended(verdict))


class FakePace:
    """Lets inputs leave after `takes_s`, where that is short enough."""

    def __init__(self, clock: ManualClock) -> None:
        self.takes_s = 0.0
        self._clock = clock

    async def wait(self, longest_s: float) -> bool:
        if longest_s <= 0 or self.takes_s > longest_s:
            self._clock.advance(max(0.0, longest_s))
            return False
        self._clock.advance(self.takes_s)
        return True


class Desk:
    """The component on its driver, with its bot and its time."""

    def __init__(self, rules: Rules = RULES, patience: Patience | None = None) -> None:
        self.clock = ManualClock(NOW_S)
        self.bot = FakeBot(self.clock)
        self.pace = FakePace(self.clock)
        self.slept: list[float] = []
        log = get_logger("cognigy")
        self.gate = Gate(self.pace, self.clock, log, patience, sleep=self._sleep, draw=lambda: 1.0)
        self.forward = CognigyForward(
            self.bot,
            rules,
            self.gate,
            self.clock,
            log,
            worker="worker",
            sleep=self._sleep,
            draw=lambda: 1.0,
        )
        self.driver = ForwardDriver(self.forward, clock=self.clock)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    async def carried(self, *utterances: Utterance) -> list[BotTurn]:
        """Send utterances and return all records written so far."""
        for one in utterances:
            self.driver.send(one, key=one.conversation_id)
        await self.driver.run()
        return self.driver.records(BOT.name)

    @property
    def texts(self) -> list[str]:
        return [request["text"] for request in self.bot.asked]
