"""The Forwarder host: a member of a consumer group that carries each record's jobs, one at a time per key.

assign → take over → plan → carry → commit → revoke. Polling never stops, so that the member stays in its group; jobs,
take-overs and commits run beside it. What is committed is the offset up to which everything is finished, so a crash
repeats jobs and never loses one; what must not be repeated asks its turn first (`Hands.turn`, `Hands.announce`).
"""

import asyncio
import random
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from runtime import metrics
from runtime.asking import ask
from runtime.checkpoint import Application, Step
from runtime.errors import Fenced, Unavailable, UsageError
from runtime.forwarder_beside import Beside
from runtime.forwarder_commits import Committer, Offsets
from runtime.forwarder_holdings import Holdings
from runtime.forwarder_jobs import Jobs
from runtime.forwarder_opening import Decoder, TakeOver
from runtime.forwarder_partition import Held, Means
from runtime.forwarder_reader import LogReader
from runtime.forwarder_writer import Writer
from runtime.forwarding import Companion, Forward
from runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerRecord,
    RebalanceListener,
    TopicPartition,
    connect_with_retry,
    in_group,
    start_consumer,
    stop_quietly,
    translated,
)
from runtime.lanes import Lanes
from runtime.membership import poll
from runtime.restart_limit import RestartLimit
from runtime.service import Service
from runtime.topics_check import check_counts
from runtime.tuning import ForwarderTuning, ForwardingSettings
from runtime.turning import turn_until_stopped
from runtime.watchdog import stuck_beside_kafka
from schemas.records import Record
from schemas.topics import by_name, turns

W = TypeVar("W")
P = TypeVar("P", bound=ForwardingSettings)
_POLL_MS = 100
_STOP_POLL_S = 2.0
_LONGEST_SHARE_S = 4.0
_COMMIT_S = 3.0


async def run_forwarder(
    service: Service[P],
    forward: Forward[W],
    *,
    record_type: type[Record] | None = None,
    before_step: Step = lambda _: None,
    companion: Companion | None = None,
) -> None:
    """Run a forwarding component until the service stops, then let jobs under way end, commit and leave the group.

    `record_type` is what the input topic carries, where the catalogue does not say it; `before_step` is called with the
    name of each step of a turn (`JobHands.announce`); `companion` is what the component wants beside. Waits, not ready,
    while Kafka or a topic is absent. Raises `ConfigError` when the topics' partition counts differ or the log no longer
    holds the offset to go on from; after a drain `GroupLost`, `Stuck`, `TooManyRestarts`.
    """
    async with asyncio.TaskGroup() as group:
        worker = Forwarder(service, forward, record_type, before_step, group, companion)
        await worker.run()


class Forwarder(RebalanceListener, Generic[W]):  # type: ignore[misc]  # aiokafka ships no types
    """One member of the component's group."""

    def __init__(  # noqa: PLR0913, PLR0917 - as `run_forwarder` takes them
        self,
        service: Service[Any],
        forward: Forward[W],
        record_type: type[Record] | None,
        before_step: Step,
        group: asyncio.TaskGroup,
        companion: Companion | None = None,
    ) -> None:
        settings = service.settings
        self._service = service
        self._tuning: ForwarderTuning = settings.forwarder
        self._forward = forward
        self._group = group
        self._application = Application(forward.group, settings.kafka.topic_prefix)
        self._client_id = f"{self._application.application_id}-{self._tuning.group_instance_id or service.name}"
        limit = RestartLimit(self._tuning.max_restarts, self._tuning.restart_window_s, service.clock)
        self._held: Holdings[W] = Holdings(
            service, limit, self._fail, companion.gone if companion is not None else lambda _: None
        )
        self._companion = companion
        self._beside = _beside(service, companion, self._application, self._client_id, self._held)
        self._decoder = Decoder(service, forward.input_topic, record_type or _catalogued(forward.input_topic))
        self._writer = Writer(settings.kafka, self._client_id, self._on_answer)
        self._reader = LogReader(settings.kafka, f"{self._client_id}-take-over")
        self._committer = Committer(
            commit=self._send_commit,
            offsets=self._held.offsets,
            committed=self._held.committed,
            lost=self._held.lost,
            on_answer=self._on_answer,
            clock=service.clock,
            interval_s=self._tuning.commit_interval_ms / 1000,
        )
        means = Means(
            application=self._application,
            store=service.store,
            clock=service.clock,
            log=service.log,
            writer=self._writer,
            committer=self._committer,
            before_step=before_step,
            keeps_turns=forward.keeps_turns,
        )
        self._jobs = Jobs(means, forward, self._decoder, group, self._tuning.max_in_flight, self._fail)
        self._take_over = TakeOver(service, forward, self._application, self._decoder, self._reader, self._held.owns)
        self._consumer: AIOKafkaConsumer | None = None
        self._fatal: Exception | None = None
        self._polls = 0
        self._polled_at_s = service.clock.monotonic_s()
        # a drain leaves time for the last poll, for what will not end, for the commit and for leaving the group
        self._share_s = min(_LONGEST_SHARE_S, settings.service.drain_budget_s / 8)
        metrics.FORWARD_POLL_AGE_SECONDS.set_function(lambda: service.clock.monotonic_s() - self._polled_at_s)
        metrics.FORWARD_OLDEST_SECONDS.set_function(self._held.oldest_s)

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """The group's consumer; only after `run` has connected."""
        return self._consumer

    async def run(self) -> None:
        """Connect, poll until the service stops, then drain."""
        self._service.health.ready("partitions", ok=False, why="no partitions were assigned yet")
        running = [self._group.create_task(self._committer.run())]
        try:
            if await self._connect():
                if self._beside is not None:
                    running.append(self._group.create_task(self._beside.run()))
                last_s = min(_STOP_POLL_S, self._share_s)
                await turn_until_stopped(self._turn, self._service.stopping, last_s, self._watch(), self._group)
        finally:
            await self._drain()
            for task in running:
                task.cancel()
        self._raise_fatal()

    async def _watch(self) -> None:
        """End the work, by a drain, when it stands still without a reason. Jobs may wait for their peers."""
        settings = self._service.settings
        stuck = await stuck_beside_kafka(
            settings.service.stuck_after_s,
            lambda: {"polls": self._polls, **self._committer.pending()},
            settings.kafka,
            self._forward.input_topic,
            f"{self._client_id}-watchdog",
        )
        self._fail(stuck)
        self._service.stopping.set()

    # --- connecting ---------------------------------------------------------------------------------------------

    async def _connect(self) -> bool:
        stopping = self._service.stopping
        for step in (self._check_topics, self._join):
            if await connect_with_retry(step, stopping=stopping, on_wait=self._on_answer) is None:
                return False
        self._on_answer(None)
        return True

    async def _check_topics(self) -> bool:
        state = (turns(self._forward.group).name,) if self._forward.keeps_turns else ()
        read = (self._companion.topic,) if self._companion is not None and self._companion.topic else ()
        written = (*self._forward.outputs, *state, *read)
        kafka = self._service.settings.kafka
        return await check_counts(kafka, self._application, self._forward.input_topic, written)

    async def _join(self) -> AIOKafkaConsumer:
        consumer = await start_consumer(
            self._service.settings.kafka,
            client_id=self._client_id,
            group=self._application.application_id,
            listener=self,
            topics=[self._forward.input_topic],
            group_instance_id=self._tuning.group_instance_id,
            session_timeout_ms=self._tuning.session_timeout_ms,
            heartbeat_interval_ms=self._tuning.heartbeat_interval_ms,
        )
        self._consumer = consumer
        consumer.pause(*(held.tp for held in self._held))
        return consumer

    # --- group membership ---------------------------------------------------------------------------------------

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take an assignment: paused before anything is fetched, taken over by the next turn of the loop."""
        partitions = list(assigned)
        if self._consumer is not None:
            self._consumer.pause(*partitions)
        self._held.take([Held(tp) for tp in partitions])
        self._on_answer(None)
        self._service.log.info("partitions assigned", partitions=[tp.partition for tp in partitions])

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Give everything away: jobs under way get a grace, what is finished is committed."""
        await self._held.release(self._committer, self._tuning.revoke_grace_s, _COMMIT_S)
        partitions = [tp.partition for tp in revoked]
        if partitions:
            self._service.log.info("partitions revoked", partitions=partitions)

    # --- commits ------------------------------------------------------------------------------------------------

    async def _send_commit(self, offsets: Offsets) -> None:
        assignment = self._held.assignment
        try:
            self._check_membership()
            with translated():
                await self.consumer.commit(dict(offsets))
            # a membership that ended meanwhile may have ended before the commit was sent
            self._check_membership()
        except Fenced as error:
            if assignment == self._held.assignment:
                raise
            message = f"the commit was for an assignment that is over: {error}"
            raise Unavailable(message) from error

    def _check_membership(self) -> None:
        if not in_group(self.consumer):
            message = "the group has thrown this member out"
            raise Fenced(message)

    def _on_answer(self, error: Unavailable | None) -> None:
        if error is not None:
            metrics.FORWARD_UNAVAILABLE.inc()
            # where nothing is to be written, only a commit tells that Kafka answers again
            self._committer.ask()
        self._service.health.ready("kafka", ok=error is None, why=str(error or ""))

    # --- the loop -----------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        self._raise_fatal()
        self._open_new()
        try:
            polled = await poll(self.consumer, _POLL_MS, self._tuning.max_records)
        except Unavailable as error:
            self._on_answer(error)
            await asyncio.sleep(random.uniform(0, 1))  # noqa: S311 - jitter, no secret
            return
        self._polls += 1
        self._polled_at_s = self._service.clock.monotonic_s()
        for tp, records in polled.items():
            held = self._held.get(tp)
            if held is not None and held.lanes is not None and not held.closing:
                self._take(held, held.lanes, records)
        self._jobs.start(self._held)
        self._hold_back()
        self._report()

    def _open_new(self) -> None:
        for held in self._held:
            if held.lanes is None and held.opening is None and not held.closing:
                held.opening = self._group.create_task(self._open(held))

    async def _open(self, held: Held[W]) -> None:
        try:
            await self._take_over.open(held, self.consumer)
        except Exception as error:  # noqa: BLE001 - the loop raises it, after what is finished was committed
            self._fail(error)
        if held.cut:
            self._held.refused.add(held.tp)
        elif held.lanes is not None and self._companion is not None and self._held.owns(held):
            self._companion.took(held.tp.partition, partial(self._jobs.hands, held))

    def _take(self, held: Held[W], lanes: Lanes[Any], records: Sequence[ConsumerRecord]) -> None:
        missing = self._decoder.unknown(records, held.asked)
        if missing:
            self.consumer.pause(held.tp)
            self.consumer.seek(held.tp, lanes.position)
            if held.asking is None:
                held.asking = self._group.create_task(self._ask(held, missing))
            return
        now_s = self._service.clock.monotonic_s()
        fresh = [record for record in records if record.offset >= lanes.position]
        held.add([(raw, self._jobs.planned(raw)) for raw in fresh], now_s)
        metrics.FORWARD_RECORDS.labels(topic=held.tp.topic, partition=str(held.tp.partition)).inc(len(fresh))

    async def _ask(self, held: Held[W], missing: set[int]) -> None:
        try:
            await ask(self._service, missing, held.asked)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
            return
        held.asking = None
        if self._held.owns(held):
            held.paused = False
            self.consumer.resume(held.tp)

    def _hold_back(self) -> None:
        """Pause what is full and resume what is so no more. A pause throws prefetched records away: hysteresis."""
        closed = self._companion is not None and self._companion.holds_back
        for held, lanes in self._held.running():
            full = lanes.full or closed
            if held.asking is None and full != held.paused:
                held.paused = full
                (self.consumer.pause if held.paused else self.consumer.resume)(held.tp)

    # --- ending and telling -------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        self._fatal = self._fatal or error

    def _raise_fatal(self) -> None:
        if self._fatal is not None:
            raise self._fatal

    async def _drain(self) -> None:
        try:
            budget_s = self._service.settings.service.drain_budget_s
            grace_s = self._tuning.revoke_grace_s if self._fatal is not None else budget_s - 4 * self._share_s
            await self._held.release(self._committer, grace_s, self._share_s)
        finally:
            if self._consumer is not None:
                await stop_quietly(self._consumer, self._share_s)
            await self._writer.close(self._share_s / 2)
            await self._reader.close()

    def _report(self) -> None:
        self._held.report()
        for held, lanes in self._held.running():
            lag = max(0, (self.consumer.highwater(held.tp) or 0) - lanes.position)
            metrics.FORWARD_LAG_RECORDS.labels(topic=held.tp.topic, partition=str(held.tp.partition)).set(lag)


def _beside(
    service: Service[Any],
    companion: Companion | None,
    application: Application,
    client_id: str,
    held: Holdings[Any],
) -> Beside | None:
    """Return the reader of a component's other topic, None where it has none."""
    if companion is None or companion.topic is None:
        return None

    def partitions() -> set[int]:
        return {one.tp.partition for one, _ in held.running()}

    return Beside(service, companion, application.topic(companion.topic), f"{client_id}-beside", partitions)


def _catalogued(topic: str) -> type[Record]:
    """Return what a topic of the catalogue carries. Raises `UsageError` for one that is not there."""
    try:
        found = by_name(topic).record
    except KeyError:
        found = None
    if found is None:
        message = f"the catalogue does not say what {topic} carries"
        raise UsageError(message)
    return found
