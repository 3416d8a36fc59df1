"""Which calls this process follows: its part of the wishes on calls.subscriptions, shared with the other processes.

Nothing else of ingest waits for it: without the topic, or while Kafka does not answer, calls that call us are taken.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from ingest.config import IngestSettings
from ingest.dial import DialledSource
from ingest.follower import Follower, Follows, Means
from ingest.letters import Letters
from ingest.predecessors import Tail, looks_of
from ingest.publishing import Publisher, SubscriptionsTopic
from ingest.session import Surroundings
from ingest.wishes import of_calls
from runtime.errors import ConfigError, InvalidRecord, Unavailable
from runtime.group_table import GroupTable, TableOptions
from runtime.kafka import connect_with_retry, partition_counts
from runtime.metrics import INGEST_FOLLOW_MEMBER, INGEST_FOLLOW_PARTITIONS
from runtime.service import Service

_TURN_S = 0.5
_LEAVE_S = 4.0
_ANSWER_S = 10.0


class Following:
    """The wishes of one process: published, shared, followed."""

    def __init__(
        self,
        service: Service[IngestSettings],
        dialling: Follows,
        surroundings: Surroundings,
        sources: Sequence[DialledSource],
    ) -> None:
        settings = service.settings
        self._service = service
        self._own = settings.follow
        self._dialling = dialling
        self._lineage = surroundings.lineage
        self._name = f"{settings.kafka.topic_prefix}{service.name}"
        self._topic = SubscriptionsTopic(settings.kafka, service.registry, service.store, self._name)
        listed = of_calls({source.name: source.listed for source in sources})
        self._publisher = Publisher(self._topic, listed, service.clock, service.log)
        self._letters = Letters(settings.kafka, service.name, service.log)
        self._follower: Follower | None = None
        self._leaving = asyncio.Event()
        self._why: str | None = None

    async def run(self) -> None:
        """Publish and follow until told to leave. Ends soon after that, also where Kafka does not answer."""
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(self._work())
            await asyncio.wait({work, tasks.create_task(self._leaving.wait())}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({work}, timeout=_LEAVE_S)
            work.cancel()

    def leave(self) -> None:
        """Change nothing any more, and let the other processes take over at once: the sessions here end by a drain."""
        if self._follower is not None:
            self._follower.hold()
        self._leaving.set()

    async def _work(self) -> None:
        partitions = await connect_with_retry(
            self._partitions, stopping=self._leaving, on_wait=lambda error: self._report(False, str(error)), cut=False
        )
        if partitions is None:
            return
        follower = self._follower = Follower(self._means(), partitions)
        options = TableOptions(self._topic.topic, self._name, self._own.session_timeout_ms)
        table = GroupTable(self._service.settings.kafka, options, follower, self._report)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publisher.run(self._own.file, self._leaving))
            turning = tasks.create_task(self._turn(follower, table))
            await table.run(self._leaving)
            turning.cancel()
        INGEST_FOLLOW_MEMBER.set(0)
        await self._letters.flush()

    async def _partitions(self) -> int:
        try:
            async with asyncio.timeout(_ANSWER_S):
                counts = await partition_counts(self._service.settings.kafka, [self._topic.topic], self._name)
        except (ConfigError, InvalidRecord, TimeoutError) as error:
            raise Unavailable(str(error) or "Kafka does not answer", retry_after_s=_ANSWER_S) from error
        if not counts:
            message = f"topic is missing: {self._topic.topic}; `callstream topics apply` creates it"
            raise Unavailable(message)
        return counts[self._topic.topic]

    def _means(self) -> Means:
        service = self._service
        looks = looks_of(self._own.session_timeout_ms / 1000, service.settings.tick_interval_s)
        tail = Tail(service.settings.kafka, service.registry, service.store, service.clock, self._name, looks=looks)
        return Means(
            dialling=self._dialling,
            lineage=self._lineage,
            store=service.store,
            clock=service.clock,
            log=service.log,
            resolve=lambda ids: service.registry.resolve(ids, service.store),
            predecessors=tail.predecessors,
            refused=self._letters.put,
        )

    async def _turn(self, follower: Follower, table: GroupTable) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TURN_S):
                    await self._leaving.wait()
            if self._leaving.is_set():
                return
            await follower.turn()
            INGEST_FOLLOW_PARTITIONS.set(len(table.partitions))
            await self._letters.flush()

    def _report(self, member: bool, why: str) -> None:
        """Say once whether wishes are followed, and why not: those that are followed already go on."""
        INGEST_FOLLOW_MEMBER.set(int(member))
        if why == self._why:
            return
        self._why = why
        if member:
            self._service.log.info("subscriptions are followed", group=self._name)
        else:
            self._service.log.warning("subscriptions are not followed now", error=why, group=self._name)
