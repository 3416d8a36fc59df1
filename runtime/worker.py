"""The task host: a member of a consumer group that runs one task per assigned partition.

assign → fence → restore → run → revoke. Polling never stops, so that the member stays in its group; restores and
commits run beside it. One lock keeps a rebalance from taking a partition away in the middle of a step.
"""

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

from audio.frames import unknown_ids
from runtime import metrics
from runtime.checkpoint import Application, ChangelogReader, Step
from runtime.errors import ConfigError, Fenced, Unavailable
from runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerRecord,
    NoOffsetForPartitionError,
    RebalanceListener,
    TopicPartition,
    connect_with_retry,
    partition_counts,
    start_consumer,
    stop_quietly,
    translated,
)
from runtime.partition import PartitionHost, Surroundings
from runtime.processor import Processor
from runtime.service import Service
from runtime.tuning import ProcessorSettings, TaskHostSettings
from schemas.topics import dead_letters

S = TypeVar("S")
P = TypeVar("P", bound=ProcessorSettings)
_POLL_MS = 100
_STOP_POLL_S = 2.0
_ANSWER_S = 15.0
_REOPEN_CAP_S = 5.0


async def run_tasks(
    service: Service[P],
    processor: Processor[S],
    *,
    outputs: Iterable[str] = (),
    before_step: Step = lambda _: None,
) -> None:
    """Run a processor until the service stops, then commit, leave the group and return.

    `outputs` are the catalogue names of the topics it writes. Waits, not ready, while Kafka or a topic is absent.
    Raises `ConfigError` when the topics' partition counts differ or the log no longer holds the offset to go on from.
    """
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
        self._surroundings = Surroundings(
            processor=processor,
            application=self._application,
            kafka=settings.kafka,
            tuning=self._tuning,
            store=service.store,
            clock=service.clock,
            bounds=self._bounds,
            before_step=before_step,
        )
        self._hosts: dict[TopicPartition, PartitionHost[S]] = {}
        self._lock = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None
        self._reader: ChangelogReader | None = None
        self._group: asyncio.TaskGroup | None = None
        self._polled_at_s = service.clock.monotonic_s()
        metrics.TASK_POLL_AGE_SECONDS.set_function(lambda: service.clock.monotonic_s() - self._polled_at_s)

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """The group's consumer; only after `run` has connected."""
        return self._consumer

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Connect, poll until the service stops, then drain."""
        self._group = group
        if not await self._connect():
            return
        try:
            async with asyncio.timeout(None) as limit:
                watcher = group.create_task(self._limit_last_poll(limit))
                while not self._service.stopping.is_set():
                    await self._turn()
        except TimeoutError:
            if not self._service.stopping.is_set():
                raise
        finally:
            watcher.cancel()
            await self._drain()

    # --- connecting ---------------------------------------------------------------------------------------------

    async def _connect(self) -> bool:
        stopping = self._service.stopping

        def waiting(error: Unavailable) -> None:
            self._service.health.ready("kafka", ok=False, why=str(error))

        if await connect_with_retry(self._check_topics, stopping=stopping, on_wait=waiting) is None:
            return False
        self._reader = await connect_with_retry(self._open_reader, stopping=stopping, on_wait=waiting)
        if self._reader is None:
            return False
        self._consumer = await connect_with_retry(self._join, stopping=stopping, on_wait=waiting)
        self._service.health.ready("kafka", ok=self._consumer is not None)
        return self._consumer is not None

    async def _check_topics(self) -> bool:
        """Raise `Unavailable` while topics are missing, `ConfigError` when their partition counts differ."""
        names = [
            self._processor.input_topic,
            self._application.changelog_topic,
            self._application.topic(dead_letters(self._processor.group).name),
            *(self._application.topic(name) for name in self._outputs),
        ]
        counts = await partition_counts(self._service.settings.kafka, names, self._application.application_id)
        missing = sorted(set(names) - set(counts))
        if missing:
            message = f"topics are missing: {', '.join(missing)}; `callstream topics apply` creates them"
            raise Unavailable(message)
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            message = f"topics keyed by conversation must have the same partition count, but: {listed}"
            raise ConfigError([message])
        return True

    async def _open_reader(self) -> ChangelogReader:
        return await ChangelogReader.open(self._service.settings.kafka, self._application, self._service.store)

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
                releasing.create_task(host.release())

    # --- the loop -----------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        self._open_new()
        batches = await self._poll()
        self._polled_at_s = self._service.clock.monotonic_s()
        async with self._lock:
            for tp, records in batches.items():
                host = self._hosts.get(tp)
                if host is not None and host.task is not None:
                    await self._process(host, records)
                    await asyncio.sleep(0)
            self._commit_due()
        self._report()

    async def _poll(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        with translated():
            try:
                return dict(await self.consumer.getmany(timeout_ms=_POLL_MS, max_records=self._tuning.max_records))
            except NoOffsetForPartitionError:
                # the group never committed; every partition is seeked by its own state before it is resumed
                return {}

    async def _limit_last_poll(self, limit: asyncio.Timeout) -> None:
        """A poll ignores its timeout during a rebalance or an outage: end it soon after the service stops."""
        await self._service.stopping.wait()
        limit.reschedule(asyncio.get_running_loop().time() + _STOP_POLL_S)

    async def _process(self, host: PartitionHost[S], records: list[ConsumerRecord]) -> None:
        unknown = unknown_ids([record.value for record in records], self._service.store)
        if unknown:
            await self._service.registry.resolve(unknown, self._service.store)
        expected = host.position
        fresh = [record for record in records if record.offset >= expected]
        if fresh and not host.process(fresh):
            position = await host.rewind()
            if host.task is not None:
                self.consumer.seek(host.tp, position)
        if host.overfull and not host.held_back:
            host.held_back = True
            self.consumer.pause(host.tp)

    def _commit_due(self) -> None:
        interval_s = max(self._tuning.commit_interval_ms / 1000, len(self._hosts) / 32)
        for host in self._hosts.values():
            frozen = host.due(interval_s)
            if frozen is not None and self._group is not None:
                host.committing = self._group.create_task(host.commit(frozen))
                host.committing.add_done_callback(partial(self._after_commit, host))

    def _after_commit(self, host: PartitionHost[S], _: asyncio.Task[None]) -> None:
        host.committing = None
        if self._hosts.get(host.tp) is not host:
            return
        if host.failure is not None:
            self._open(host)
        elif host.held_back:
            host.held_back = False
            self.consumer.resume(host.tp)

    # --- opening and recovering ---------------------------------------------------------------------------------

    def _open_new(self) -> None:
        for host in self._hosts.values():
            if host.task is None and host.opening is None and host.failure is None and host.committing is None:
                self._open(host)

    def _open(self, host: PartitionHost[S]) -> None:
        if self._group is not None and host.opening is None and not self._service.stopping.is_set():
            host.opening = self._group.create_task(self._open_host(host))

    async def _open_host(self, host: PartitionHost[S]) -> None:
        """Open a partition; after a failure first see whether it is still ours. Retries while Kafka does not answer."""
        bound_s = 0.2
        try:
            while self._hosts.get(host.tp) is host and self._reader is not None:
                try:
                    if host.failure is not None and not await self._still_ours(host):
                        return
                    position = await host.open(self._reader)
                except (Unavailable, Fenced) as error:
                    host.failure = error
                    await asyncio.sleep(random.uniform(0, bound_s))  # noqa: S311 - jitter, no secret
                    bound_s = min(_REOPEN_CAP_S, bound_s * 2)
                    continue
                if self._hosts.get(host.tp) is host:
                    self.consumer.seek(host.tp, position)
                    self.consumer.resume(host.tp)
                    host.held_back = False
                    self._service.log.info("partition restored", partition=host.tp.partition, position=position)
                return
        finally:
            host.opening = None

    async def _still_ours(self, host: PartitionHost[S]) -> bool:
        """Pause a dropped partition; ask the group, by a commit, whether it is still assigned to us.

        The broker fences a producer whose transaction timed out just as a new owner does: only the group knows.
        """
        failure = host.failure
        fenced = isinstance(failure, Fenced)
        with suppress(Exception):
            self.consumer.pause(host.tp)
        if failure is not None and not isinstance(failure, Fenced | Unavailable):
            raise failure
        reason = "fenced" if fenced else "unavailable"
        metrics.TASK_RESTARTS.labels(reason=reason).inc()
        self._service.log.warning("a task was dropped", partition=host.tp.partition, cause=reason, error=str(failure))
        if not fenced:
            metrics.TASK_UNAVAILABLE.inc()
            return True
        metrics.TASK_FENCED.inc()
        try:
            with translated():
                async with asyncio.timeout(_ANSWER_S):
                    await self.consumer.commit({host.tp: host.committed_position})
        except Fenced:
            return False
        return True

    async def _bounds(self, tp: TopicPartition) -> tuple[int, int]:
        with translated():
            async with asyncio.timeout(_ANSWER_S):
                first = (await self.consumer.beginning_offsets([tp]))[tp]
                end = (await self.consumer.end_offsets([tp]))[tp]
        return first, end

    # --- ending and telling -------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        async with self._lock:
            await self._release_all()
        if self._consumer is not None:
            await stop_quietly(self._consumer)
        if self._reader is not None:
            await self._reader.close()

    def _report(self) -> None:
        open_hosts = [host for host in self._hosts.values() if host.task is not None]
        ready = len(open_hosts) == len(self._hosts)
        waiting = sorted(tp.partition for tp, host in self._hosts.items() if host.task is None)
        self._service.health.ready("tasks", ok=ready, why=f"partitions being restored: {waiting}")
        for host in open_hosts:
            lag = max(0, (self.consumer.highwater(host.tp) or 0) - host.position)
            metrics.TASK_LAG_RECORDS.labels(topic=host.tp.topic, partition=str(host.tp.partition)).set(lag)
