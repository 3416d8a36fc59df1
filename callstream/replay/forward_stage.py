"""A component of the Forwarder, run over fixed offsets: planned and carried one record after the other.

It begins without any turn behind it, and nothing of what it announces or concludes is stored.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from runtime.deadletter import headers, remains
from runtime.errors import InvalidRecord, UsageError
from runtime.forwarding import Forward, Letter, Received
from runtime.processor import InputRecord
from runtime.task import Output
from schemas.codec import SchemaStore
from schemas.records import Record, TurnEntry
from schemas.symbols import TurnState
from schemas.topics import by_name, dead_letters, topic_of


class ForwardStage:
    """See `Stage`. `before` hears each record before it is planned; `around` is entered for as long as it runs."""

    def __init__(
        self,
        forward: Forward[Any],
        store: SchemaStore,
        settings_hash: str,
        *,
        before: Callable[[InputRecord], None] = lambda _: None,
        around: AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        self.name = forward.group
        self.input_topic = forward.input_topic
        self.topics = (*map(by_name, forward.outputs), dead_letters(forward.group))
        self.settings_hash = settings_hash
        self._forward = forward
        self._store = store
        self._before = before
        self._around = nullcontext() if around is None else around
        self._entered = False

    async def begin(self, starts: Sequence[tuple[int, int]]) -> None:
        """Forget whatever is known about the partitions."""
        await self._around.__aenter__()
        self._entered = True
        for partition, _ in starts:
            self._forward.begin(partition)

    async def take(self, partition: int, records: Sequence[InputRecord], *, keep: bool) -> list[Output]:
        """Plan each record; carry its jobs where their outputs are wanted."""
        outputs: list[Output] = []
        for record in records:
            self._before(record)
            outputs += await self._one(partition, record, keep=keep)
        return outputs

    async def end(self, *, kept: bool) -> None:  # noqa: ARG002 - it writes nowhere but to Kafka
        """Leave what was entered."""
        if self._entered:
            self._entered = False
            await self._around.__aexit__(None, None, None)

    async def _one(self, partition: int, record: InputRecord, *, keep: bool) -> list[Output]:
        received = None
        try:
            received = self._received(partition, record)
            jobs = self._forward.plan(received)
        except InvalidRecord as error:
            return [self._dead_letter(partition, record, received, str(error))] if keep else []
        outputs: list[Output] = []
        for job in jobs if keep else ():
            await self._forward.carry(job, _Hands(received, job.key, self._store, outputs))
        return outputs

    def _received(self, partition: int, record: InputRecord) -> Received:
        topic = by_name(self.input_topic)
        if topic.record is None:
            message = f"{topic.name} carries no records"
            raise UsageError(message)
        decoded: Record = self._store.decode(record.value, topic.record)
        return Received(topic.name, partition, record.offset, record.timestamp, record.key, decoded)

    def _dead_letter(self, partition: int, record: InputRecord, received: Received | None, error: str) -> Output:
        """Return what the Forwarder would leave."""
        decoded = None if received is None else received.record
        value = remains(by_name(self.input_topic).record, record.value, decoded, self._store)
        about = headers(
            error=error,
            stage="decode" if received is None else "forward",
            topic=self.input_topic,
            partition=partition,
            offset=record.offset,
            group=self.name,
            error_class="InvalidRecord",
        )
        return Output(dead_letters(self.name).name, record.key, value, record.timestamp, tuple(about))


class _Hands:
    """See `runtime.forwarding.Hands`; what is written is collected, and no turn was ever begun."""

    def __init__(self, received: Received, key: bytes, store: SchemaStore, outputs: list[Output]) -> None:
        self.received = received
        self._key = key
        self._store = store
        self._outputs = outputs

    async def write(self, records: Sequence[Record]) -> None:
        """Keep records for their topics."""
        at_ms = self.received.timestamp_ms
        self._outputs += [
            Output(topic_of(type(record)).name, self._key, self._store.encode(record), at_ms) for record in records
        ]

    def turn(self, turn_id: str) -> TurnState | None:  # noqa: ARG002 - whichever it is
        """Return that nothing is known of a turn."""
        return None

    async def announce(self, entry: TurnEntry) -> None:
        """Clear a turn for sending."""

    async def conclude(self, entry: TurnEntry) -> None:
        """Forget the result of a turn."""

    async def bury(self, letter: Letter) -> None:
        """Leave no letter: a replay judges what is said, not what became of it."""
