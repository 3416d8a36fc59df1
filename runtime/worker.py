"""The task host: a member of a consumer group that runs one task per assigned partition.

assign → fence → restore → run → revoke. Polling never stops, so that the member stays in its group; restores and
commits run beside it. One lock keeps a rebalance from taking a partition away in the middle of a step.
"""

import asyncio
import random
from collections.abc import Iterable
from functools import partial
from typing import Any, Generic, TypeVar

from audio.frames import unknown_ids
from runtime import metrics
from runtime.asking import ask
from runtime.checkpoint import Application, ChangelogReader, Step
from runtime.errors import Unavailable
from runtime.garbage import collect_seldom
from runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerRecord,
    RebalanceListener,
    TopicPartition,
    connect_with_retry,
    start_consumer,
    stop_quietly,
)
from runtime.membership import poll
from runtime.opening import GroupLog, Opener
from runtime.partition import PartitionHost, Surroundings
from runtime.processor import Processor
from runtime.restart_limit import RestartLimit
from runtime.service import Service
from runtime.task_health import TaskHealth
from runtime.topics_check import check_topics
from runtime.tuning import ProcessorSettings, TaskHostSettings
from runtime.turning import turn_until_stopped
from runtime.unended import Unended
from runtime.watchdog import stuck_beside_kafka
from schemas.topics import changelog, dead_letters

S = TypeVar("S")
P = TypeVar("P", bound=ProcessorSettings)
_POLL_MS = 100
_STOP_POLL_S = 2.0
_RELEASE_S = 8.0
_LEAVE_S = 4.0


async def run_tasks(
    service: Service[P],
    processor: Processor[S],
    *,
    outputs: Iterable[str] = (),
    before_step: Step = lambda _: None,
) -> None:
    """Run a processor until the service stops, then commit, leave the group and return.

    `outputs` are the catalogue names of the topics it writes. Waits, not ready, while Kafka or a topic is absent.
    Raises `ConfigError` when the topics' partition counts differ, when a state cannot be read, when the log does not
    hold what it stands for, and when most of a partition is bad; after a drain `GroupLost`, `Stuck`, `TooManyRestarts`.
    """
    collect_seldom()
    worker = Worker(service, processor, tuple(outputs), before_step)
    async with asyncio.TaskGroup() as group:
        await worker.run(group)


class Worker(RebalanceListener, Generic[S]):  # type: ignore[misc]  # aiokafka ships no types
    """One member of the processor's group."""

    def __init__(
        self, service: Service[Any], processor: Processor[S], outputs: tuple[str, ...], before_step: Step
    ) -> None:
        settings = service.settings
        self._service = service
        self._tuning: TaskHostSettings = settings.task_host
        self._processor = processor
        self._outputs = outputs
        self._application = Application(processor.group, settings.kafka.topic_prefix)
        written = [*outputs, dead_letters(processor.group).name, changelog(processor.group).name]
        self._unended = Unended(
            settings.kafka,
            f"{self._application.application_id}-unended",
            [self._application.topic(name) for name in written],
            service.log,
        )
        self._surroundings = Surroundings(
            processor=processor,
            application=self._application,
            kafka=settings.kafka,
            tuning=self._tuning,
            store=service.store,
            clock=service.clock,
            input_log=GroupLog(lambda: self.consumer),
            before_step=before_step,
            unended=self._unended,
        )
        self._hosts: dict[TopicPartition, PartitionHost[S]] = {}
        self._lock = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None
        self._reader = ChangelogReader(settings.kafka, self._application, service.store)
        self._opener: Opener[S] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._fatal: Exception | None = None
        # a drain leaves time for the end of a rebalance, for the commits and for leaving the group
        self._release_s = min(_RELEASE_S, settings.service.drain_budget_s / 4)
        self._health = TaskHealth(service)

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """The group's consumer; only after `run` has connected."""
        return self._consumer

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Connect, poll until the service stops, then drain."""
        self._group = group
        self._service.health.ready("tasks", ok=False, why="no partitions were assigned yet")
        try:
            if await self._connect():
                stopping = self._service.stopping
                await turn_until_stopped(self._turn, stopping, _STOP_POLL_S, self._watch(), group)
        finally:
            await self._drain()
        self._raise_fatal()

    async def _watch(self) -> None:
        """End the work, by a drain, when it stands still without a reason."""
        settings = self._service.settings
        stuck = await stuck_beside_kafka(
            # a commit may take as long as its deadline, and then begin anew
            max(settings.service.stuck_after_s, 2 * self._tuning.commit_deadline_s),
            lambda: self._health.pending(self._hosts),
            settings.kafka,
            self._processor.input_topic,
            f"{self._application.application_id}-watchdog",
        )
        self._fatal = self._fatal or stuck
        self._service.stopping.set()

    # --- connecting ---------------------------------------------------------------------------------------------

    async def _connect(self) -> bool:
        stopping = self._service.stopping

        def waiting(error: Unavailable) -> None:
            self._service.health.ready("kafka", ok=False, why=str(error))

        if await connect_with_retry(self._check_topics, stopping=stopping, on_wait=waiting) is None:
            return False
        if await connect_with_retry(self._join, stopping=stopping, on_wait=waiting) is None:
            return False
        self._service.health.ready("kafka", ok=True)
        return True

    async def _check_topics(self) -> bool:
        kafka = self._service.settings.kafka
        return await check_topics(kafka, self._application, self._processor.input_topic, self._outputs)

    async def _join(self) -> AIOKafkaConsumer:
        instance = self._tuning.group_instance_id
        consumer = await start_consumer(
            self._service.settings.kafka,
            client_id=f"{self._application.application_id}-{instance or self._service.name}",
            group=self._application.application_id,
            listener=self,
            topics=[self._processor.input_topic],
            group_instance_id=instance,
            session_timeout_ms=self._tuning.session_timeout_ms,
            heartbeat_interval_ms=self._tuning.heartbeat_interval_ms,
        )
        self._consumer = consumer
        limit = RestartLimit(self._tuning.max_restarts, self._tuning.restart_window_s, self._service.clock)
        self._opener = Opener(consumer, self._reader, self._owns, self._service.log, limit)
        for tp in self._hosts:
            consumer.pause(tp)
        return consumer

    # --- group membership ---------------------------------------------------------------------------------------

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take partitions over: paused before anything is fetched, opened by the next turn of the loop."""
        partitions = list(assigned)
        if self._consumer is not None:
            self._consumer.pause(*partitions)
        for tp in partitions:
            self._hosts[tp] = PartitionHost(self._surroundings, tp)
        metrics.TASK_PARTITIONS.set(len(self._hosts))
        self._service.log.info("partitions assigned", partitions=[tp.partition for tp in partitions])

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Give partitions away: the step in progress ends, what is done is committed."""
        async with self._lock:
            await self._release_all()
        partitions = [tp.partition for tp in revoked]
        if partitions:
            self._service.log.info("partitions revoked", partitions=partitions)

    async def _release_all(self) -> None:
        hosts, self._hosts = self._hosts, {}
        metrics.TASK_PARTITIONS.set(0)
        async with asyncio.TaskGroup() as releasing:
            for host in hosts.values():
                releasing.create_task(host.release(self._release_s))
        # an error raised in a callback of the group would be swallowed there: the loop raises it
        self._fatal = self._fatal or next((host.fatal for host in hosts.values() if host.fatal is not None), None)

    def _raise_fatal(self) -> None:
        if self._fatal is not None:
            raise self._fatal

    def _owns(self, host: PartitionHost[S]) -> bool:
        return self._hosts.get(host.tp) is host

    # --- the loop -----------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        self._raise_fatal()
        self._open_new()
        batches = await self._poll()
        # Whoever replaces a task also seeks, and reads again what was polled for the task before: while one partition
        # is worked on, the next one's task may be dropped and restored.
        polled = [(host, host.task, batches[tp]) for tp, host in self._hosts.items() if tp in batches]
        async with self._lock:
            for host, task, records in polled:
                if task is not None and host.task is task and self._owns(host):
                    await self._process(host, records)
                    await asyncio.sleep(0)
            self._commit_due()
        self._health.report(self._hosts, {tp: self.consumer.highwater(tp) for tp in self._hosts})

    async def _poll(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        """Return what is there; nothing, after a wait, while Kafka does not answer. Raises `GroupLost`."""
        try:
            found = await poll(self.consumer, _POLL_MS, self._tuning.max_records)
        except Unavailable as error:
            self._service.health.ready("kafka", ok=False, why=str(error))
            await asyncio.sleep(random.uniform(0, 1))  # noqa: S311 - jitter, no secret
            return {}
        self._service.health.ready("kafka", ok=True)
        self._health.polled()
        return found

    async def _process(self, host: PartitionHost[S], records: list[ConsumerRecord]) -> None:
        if self._service.registry.configured:
            unknown = unknown_ids([record.value for record in records], self._service.store) - host.asked
            if unknown:
                self._ask_first(host, unknown)
                return
        position = host.position
        fresh = records if records[0].offset >= position else [each for each in records if each.offset >= position]
        if fresh and not host.process(fresh):
            position = await host.rewind()
            if host.task is not None:
                self.consumer.seek(host.tp, position)
        if host.overfull and not host.held_back:
            host.held_back = True
            self.consumer.pause(host.tp)

    def _ask_first(self, host: PartitionHost[S], unknown: set[int]) -> None:
        """Pause a partition and read the poll again once the registry has said what its schema ids mean."""
        self.consumer.pause(host.tp)
        self.consumer.seek(host.tp, host.position)
        if host.asking is None and self._group is not None:
            host.asking = self._group.create_task(self._ask(host, unknown))

    async def _ask(self, host: PartitionHost[S], unknown: set[int]) -> None:
        await ask(self._service, unknown, host.asked)
        host.asking = None
        if self._owns(host) and host.task is not None:
            host.held_back = False
            self.consumer.resume(host.tp)

    def _commit_due(self) -> None:
        interval_s = max(self._tuning.commit_interval_ms / 1000, len(self._hosts) / 32)
        for host in self._hosts.values():
            frozen = host.due(interval_s)
            if frozen is not None and self._group is not None:
                host.committing = self._group.create_task(host.commit(frozen))
                host.committing.add_done_callback(partial(self._after_commit, host))

    def _after_commit(self, host: PartitionHost[S], _: asyncio.Task[None]) -> None:
        host.commit_ended()
        if not self._owns(host):
            return
        if host.held_back and host.task is not None and host.asking is None:
            host.held_back = False
            self.consumer.resume(host.tp)

    # --- opening ------------------------------------------------------------------------------------------------

    def _open_new(self) -> None:
        """Open what was just assigned, and anew what failed."""
        for host in self._hosts.values():
            if host.task is None and host.opening is None and host.committing is None and not host.refused:
                self._open(host)

    def _open(self, host: PartitionHost[S]) -> None:
        if self._group is not None and self._opener is not None and not self._service.stopping.is_set():
            host.opening = self._group.create_task(self._opener.open(host))
            host.opening.add_done_callback(partial(self._after_opening, host))

    @staticmethod
    def _after_opening(host: PartitionHost[S], _: asyncio.Task[None]) -> None:
        host.opening = None

    # --- ending and telling -------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        try:
            async with self._lock:
                await self._release_all()
        finally:
            if self._consumer is not None:
                await stop_quietly(self._consumer, _LEAVE_S)
            await self._reader.close()
            await self._unended.close()
