"""The jobs of a worker: planned from records, started as their keys come free, done, or buried as dead letters."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Generic, TypeVar

from runtime import metrics
from runtime.deadletter import headers, reduced, remains
from runtime.errors import Fenced, InvalidRecord, UsageError
from runtime.forwarder_opening import Decoder
from runtime.forwarder_partition import Bury, Carry, Held, JobHands, Means
from runtime.forwarder_writer import Row
from runtime.forwarding import Forward, Letter, Received
from runtime.kafka import ConsumerRecord
from runtime.lanes import Ticket
from schemas.topics import dead_letters

W = TypeVar("W")


class Jobs(Generic[W]):
    """At most `limit` jobs at once. `fail` hears of an error that must end the process."""

    def __init__(  # noqa: PLR0913, PLR0917 - what jobs need from their worker
        self,
        means: Means,
        forward: Forward[W],
        decoder: Decoder,
        group: asyncio.TaskGroup,
        limit: int,
        fail: Callable[[Exception], None],
    ) -> None:
        self._means = means
        self._forward = forward
        self._decoder = decoder
        self._group = group
        self._limit = limit
        self._fail = fail
        self._in_flight = 0
        self._turn = 0
        self._held: Iterable[Held[W]] = ()

    def planned(self, raw: ConsumerRecord) -> list[tuple[bytes, Carry[W] | Bury]]:
        """Return the work of a record by key. What cannot be used is buried in its key's order."""
        received = None
        try:
            received = self._decoder.decode(raw)
            return [(job.key, Carry(raw, received, job)) for job in self._forward.plan(received)]
        except InvalidRecord as error:
            return [(raw.key or b"", Bury(raw, received, str(error)))]

    def hands(self, held: Held[W], received: Received, key: bytes) -> JobHands[W]:
        """Return hands for what is written of a record without a job."""

        async def refuse(_: Letter) -> None:
            message = "a letter is about a job"
            raise UsageError(message)

        return JobHands(self._means, held, received, key, refuse)

    def start(self, partitions: Iterable[Held[W]]) -> None:
        """Start what may start, the partitions in turn; whenever a job ends, the next ones of these start."""
        self._held = partitions
        waiting = [held for held in partitions if held.lanes is not None and not held.closing]
        while waiting and self._in_flight < self._limit:
            self._turn += 1
            held = waiting[self._turn % len(waiting)]
            ticket = held.lanes.start() if held.lanes is not None else None
            if ticket is None:
                waiting.remove(held)
                continue
            self._in_flight += 1
            task = self._group.create_task(self._do(held, ticket))
            held.jobs[task] = ticket
            task.add_done_callback(partial(self._after_job, held))
        metrics.FORWARD_IN_FLIGHT.set(self._in_flight)

    async def _do(self, held: Held[W], ticket: Ticket[Carry[W] | Bury]) -> None:
        """Do one job to its end. One that was fenced, or raised, leaves its record unfinished."""
        work, fenced = ticket.work, held.cut
        try:
            if isinstance(work, Carry):
                fenced = await self._carried_in_vain(held, work)
            else:
                await self._bury(held, work)
        except Exception as error:  # noqa: BLE001 - the loop raises it, after what is finished was committed
            if not (isinstance(error, Fenced) and held.cut):
                self._fail(error)
            return
        if not fenced and not held.cut and held.lanes is not None:
            held.lanes.done(ticket)

    async def _carried_in_vain(self, held: Held[W], work: Carry[W]) -> bool:
        """Carry a job; tell whether it was to stop meanwhile, whatever it made of that."""

        async def bury(letter: Letter) -> None:
            await self._bury(held, Bury(work.raw, work.received, letter.error, letter))

        hands = JobHands(self._means, held, work.received, work.job.key, bury)
        try:
            await self._forward.carry(work.job, hands)
        except InvalidRecord as error:
            await self._bury(held, Bury(work.raw, work.received, str(error)))
        except Fenced:
            if not hands.over:
                raise
        return hands.over

    def _after_job(self, held: Held[W], task: "asyncio.Task[None]") -> None:
        del held.jobs[task]
        self._in_flight -= 1
        if not task.cancelled():
            self.start(self._held)
        elif not held.cut:
            self._fail(UsageError("a job was cancelled by somebody else"))

    async def _bury(self, held: Held[W], work: Bury) -> None:
        """Write a dead letter; what even its topic refuses leaves length and digest."""
        raw, letter = work.raw, work.letter
        error_class = "InvalidRecord" if letter is None else letter.reason
        record = None if work.received is None else work.received.record
        value = remains(self._decoder.record_type, raw.value, record, self._means.store)
        about = headers(
            error=work.error,
            stage="decode" if work.received is None else "forward",
            topic=self._decoder.topic,
            partition=raw.partition,
            offset=raw.offset,
            group=self._forward.group,
            error_class=error_class,
            more=_told(letter),
        )
        topic = self._means.application.topic(dead_letters(self._forward.group).name)
        for kept in (value, reduced(value)):
            try:
                row = Row(topic, raw.partition, raw.key, kept, raw.timestamp, tuple(about))
                await self._means.writer.write([row], held.check)
                break
            except InvalidRecord as error:
                self._means.log.warning("a dead letter was refused", offset=raw.offset, error=str(error))
        metrics.FORWARD_DEAD_LETTERS.labels(reason=error_class).inc()


def _told(letter: Letter | None) -> dict[str, str]:
    """Return the headers that say why, how often and when something was tried for a record."""
    if letter is None:
        return {"dlt.reason": "undecodable"}
    told = {"dlt.reason": letter.reason, "dlt.attempts": str(letter.attempts)}
    if letter.first_attempt_ms >= 0:
        told["dlt.first_attempt_ms"] = str(letter.first_attempt_ms)
        told["dlt.last_attempt_ms"] = str(letter.last_attempt_ms)
    return told
