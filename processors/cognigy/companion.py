"""What the component asks of its host beside its records: to wait out outages, and to hear what bots say unasked."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from processors.cognigy.calls import Call
from processors.cognigy.client import BotClient
from processors.cognigy.events import BotEvent, BotInput
from processors.cognigy.forward import CognigyForward
from processors.cognigy.gate import Gate
from processors.cognigy.report import BotRecord, Unprompted
from processors.cognigy.rules import Rules
from runtime.clock import Clock
from runtime.errors import Fenced, InvalidRecord
from runtime.forwarding import Hands, Received
from runtime.metrics import COGNIGY_UNASKED
from schemas.symbols import BotTransport

HandsOf = Callable[[Received, bytes], Hands]
Listen = Callable[[int, Sequence[bytes | None], Sequence[bytes | None]], None]
_MOST_WAITING = 5_000


class Beside:
    """Writes what bots say beside the inputs under way, each call's in its order. `run` is its task."""

    def __init__(self, rules: Rules, transport: BotTransport, clock: Clock) -> None:
        self._rules = rules
        self._transport = transport
        self._clock = clock
        self._hands: dict[int, HandsOf] = {}
        self._numbers: dict[Call, Unprompted] = {}
        self._waiting: list[tuple[Call, list[BotRecord]]] = []
        self._some = asyncio.Event()

    def took(self, partition: int, hands: HandsOf) -> None:
        """A partition is ours from now on."""
        self._hands[partition] = hands

    def gone(self, partition: int) -> None:
        """A partition is not ours any more."""
        self._hands.pop(partition, None)
        self._numbers = {call: rows for call, rows in self._numbers.items() if call.received.partition != partition}

    def over(self, call: Call) -> None:
        """A call is over."""
        self._numbers.pop(call, None)

    def put(self, call: Call, events: Sequence[BotEvent], said: BotInput | None) -> None:
        """Take what a bot said; it is dropped where too much waits."""
        if len(self._waiting) >= _MOST_WAITING:
            COGNIGY_UNASKED.labels("dropped").inc(len(events))
            return
        rows = self._numbers.setdefault(call, Unprompted(call, self._rules, self._transport))
        if call.over:
            self.over(call)
        self._waiting.append((call, rows.of(events, said, self._clock.wall_s())))
        self._some.set()

    async def run(self) -> None:
        """Write until cancelled: the calls side by side, what is one call's together."""
        while True:
            await self._some.wait()
            self._some.clear()
            waiting, self._waiting = self._waiting, []
            by_call: dict[Call, list[BotRecord]] = defaultdict(list)
            for call, rows in waiting:
                by_call[call] += rows
            async with asyncio.TaskGroup() as writing:
                for call, rows in by_call.items():
                    writing.create_task(self._write(call, rows))

    async def _write(self, call: Call, rows: Sequence[BotRecord]) -> None:
        hands_of = self._hands.get(call.received.partition)
        outcome = "written"
        try:
            if hands_of is None:
                outcome = "dropped"
            else:
                await hands_of(call.received, call.conversation_id.encode()).write(rows)
        except (Fenced, InvalidRecord):
            outcome = "dropped"
        COGNIGY_UNASKED.labels(outcome).inc(len(rows))


class CognigyCompanion:
    """See `runtime.forwarding.Companion`. `listen` takes the records of `topic`."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it brings together
        self,
        forward: CognigyForward,
        client: BotClient,
        gate: Gate,
        beside: Beside | None = None,
        topic: str | None = None,
        listen: Listen = lambda _partition, _values, _keys: None,
    ) -> None:
        self.topic = topic
        self._forward = forward
        self._client = client
        self._gate = gate
        self._beside = beside
        self._listen = listen

    @property
    def holds_back(self) -> bool:
        """See `Companion`: while the bot is down and left alone, inputs wait where they are."""
        return self._gate.rests

    def took(self, partition: int, hands: HandsOf) -> None:
        """See `Companion`: the calls that are open in the partition are ours."""
        if self._beside is None:
            return
        self._beside.took(partition, hands)
        for call in self._forward.calls.of(partition):
            self._forward.open(call)

    def heard(self, partition: int, values: Sequence[bytes | None], keys: Sequence[bytes | None]) -> None:
        """See `Companion`."""
        self._listen(partition, values, keys)

    def gone(self, partition: int) -> None:
        """See `Companion`: the bot's sessions of the partition are somebody else's now."""
        if self._beside is not None:
            self._beside.gone(partition)
        for call in self._forward.calls.begin(partition):
            self._client.close(call.conversation_id)
