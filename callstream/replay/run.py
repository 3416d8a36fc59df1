"""One replay from its first question to its last topic: stretches, topics, stages, comparison, and nothing left behind.

1. refuse   a name that is in use, a component that must not be replayed
2. fix      offsets from, to and how far back, of every input partition
3. audit    who replays what; nothing is done where that cannot be stored
4. create   the topics
5. read     each input once, for all components that take it; outputs written as they come
6. compare  where asked for
7. remove   topics and whatever stages made, unless they are kept; also after an error or an interruption
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from audio.frames import SESSION_BYTES
from callstream.audited import Deed, audited
from callstream.replay import topics
from callstream.replay.components import Around, stage
from callstream.replay.live import Stretches, compared
from callstream.replay.log_reader import LogReader, log_reader
from callstream.replay.look_back import Sighting, sighting
from callstream.replay.output_writer import OutputWriter, output_writer
from callstream.replay.progress import Telling
from callstream.replay.span import Span, Wanted
from callstream.replay.spans import spans
from callstream.replay.stage import Stage
from runtime.config import KafkaSettings, RegistrySettings, load
from runtime.errors import ConfigError
from runtime.kafka import ConsumerRecord, TopicPartition
from runtime.registry import Registry
from schemas.codec import SchemaStore
from schemas.symbols import AuditAction
from schemas.topics import Topic

KIND = "replay"
"""What the audit events are about."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator asked for. `name` names the replay, `conversation` the only one whose outputs are kept."""

    components: tuple[str, ...]
    name: str
    wanted: Wanted = field(default_factory=Wanted)
    conversation: str | None = None
    compare: bool = False
    keep: bool = False

    @property
    def prefix(self) -> str:
        """What stands before every topic it writes."""
        return f"replay.{self.name}."

    def keeps(self, key: bytes | None) -> bool:
        """Return whether outputs with this key are kept."""
        return self.conversation is None or key == self.conversation.encode()

    @property
    def details(self) -> dict[str, str]:
        """What the audit log is told."""
        asked = {"components": " ".join(self.components), "range": str(self.wanted)}
        return asked if self.conversation is None else {**asked, "conversation": self.conversation}


@dataclass(slots=True)
class Result:
    """What came of it. `equal` is None where nothing was compared."""

    records: int = 0
    outputs: Counter[str] = field(default_factory=Counter)
    equal: bool | None = None


async def replay(kafka: KafkaSettings, registry: RegistrySettings, order: Order, tell: Telling) -> Result:
    """Do one replay beside what runs under the settings' own prefix.

    Raises `ConfigError` for what an operator must change, `Unavailable`, and whatever a component cannot survive.
    """
    target = load(KafkaSettings, "", changes={"TOPIC_PREFIX": order.prefix})
    await _refuse_a_name_in_use(target, order)
    store, client = SchemaStore(), Registry(registry)
    try:
        await client.prepare(store)
        around = Around(order.prefix, store, order.keeps)
        stages = [stage(name, around) for name in order.components]
        inputs = sorted({one.input_topic for one in stages})
        _check_inputs(inputs, order)
        count = await topics.input_partitions(kafka, inputs)
        async with log_reader(kafka, client, store) as reader, audited(kafka, registry, _deed(order)) as more:
            run = _Run(kafka, target, order, reader, store, tell)
            result = await run.run(stages, inputs, count)
            more.update(_outcome(result))
    finally:
        await client.close()
    return result


class _Run:
    def __init__(  # noqa: PLR0913, PLR0917 - what it reads, writes and tells
        self,
        kafka: KafkaSettings,
        target: KafkaSettings,
        order: Order,
        reader: LogReader,
        store: SchemaStore,
        tell: Telling,
    ) -> None:
        self._kafka = kafka
        self._target = target
        self._order = order
        self._reader = reader
        self._store = store
        self._tell = tell
        self._opened: dict[str, _Opened] = defaultdict(_Opened)
        self._until_ms: dict[TopicPartition, int] = {}
        self._result = Result()
        self._kept = False

    async def run(self, stages: Sequence[Stage], inputs: Sequence[str], count: int) -> Result:
        """Fix the stretches and replay them."""
        self._tell.say(f"{self._order.prefix}: looking for the beginnings of calls")
        found = {topic: await spans(self._reader, topic, count, self._order.wanted, self._store) for topic in inputs}
        for topic, of_topic in found.items():
            self._tell.say(_summary(topic, of_topic))
        written = list({topic.name: topic for one in stages for topic in one.topics}.values())
        async with self._topics(written, count), self._begun(stages, found):
            async with output_writer(self._target) as writer:
                for topic in inputs:
                    await self._input(topic, found[topic], [one for one in stages if one.input_topic == topic], writer)
                self._result.outputs = writer.written
            # a comparison that cannot be made costs nobody the outputs
            self._kept = self._order.keep
            if self._order.compare:
                await self._compare(stages, found)
        return self._result

    @asynccontextmanager
    async def _topics(self, written: Sequence[Topic], count: int) -> AsyncIterator[None]:
        names = await topics.create(self._target, written, count)
        try:
            yield
        finally:
            if not self._kept:
                await topics.remove(self._target, names)

    @asynccontextmanager
    async def _begun(self, stages: Sequence[Stage], found: Mapping[str, Sequence[Span]]) -> AsyncIterator[None]:
        async def end(one: Stage) -> None:
            await one.end(kept=self._kept)

        async with AsyncExitStack() as ends:
            for one in stages:
                ends.push_async_callback(end, one)
                await one.begin([(span.partition, span.warm) for span in found[one.input_topic]])
            yield

    async def _input(self, topic: str, found: Sequence[Span], stages: Sequence[Stage], writer: OutputWriter) -> None:
        by_partition = {span.partition: span for span in found}
        opened = self._opened[topic]

        async def take(tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
            span = by_partition[tp.partition]
            for part in _parts(records, span.first):
                keep = part[0].offset >= span.first
                opened.note(sighting(topic, [record.value for record in part], self._store), inside=keep)
                for one in stages:
                    outputs = await one.take(tp.partition, part, keep=keep)
                    await writer.write(tp.partition, [output for output in outputs if self._order.keeps(output.key)])
                self._result.records += len(part) if keep else 0
            last_ms = max(record.timestamp for record in records)
            self._until_ms[tp] = max(last_ms, self._until_ms.get(tp, -1))
            self._tell.advance(len(records))

        self._tell.begin(f"replaying {topic}", sum(span.end - span.warm for span in found))
        await self._reader.read({TopicPartition(topic, span.partition): (span.warm, span.end) for span in found}, take)
        if opened.without_beginning:
            self._tell.say(f"{topic}: {opened.without_beginning} calls began before the log does and are partial")

    async def _compare(self, stages: Sequence[Stage], found: Mapping[str, Sequence[Span]]) -> None:
        equal = True
        for one in stages:
            topic = one.input_topic
            until_ms = {tp.partition: ms for tp, ms in self._until_ms.items() if tp.topic == topic}
            stretches = Stretches(found[topic], until_ms, self._opened[topic].of_the_stretch)
            report = await compared(
                self._reader, self._kafka, self._target, self._store, one, stretches, self._order.keeps
            )
            for line in report.lines:
                self._tell.say(line)
            equal = equal and report.equal
        self._result.equal = equal


@dataclass(slots=True)
class _Opened:
    """The sessions by where their records stand: `inside` the stretch or `before`; `begun` there, or anywhere."""

    inside: set[bytes] = field(default_factory=set)
    before: set[bytes] = field(default_factory=set)
    begun_inside: set[bytes] = field(default_factory=set)
    begun: set[bytes] = field(default_factory=set)

    def note(self, sessions: Sighting, *, inside: bool) -> None:
        """Take consecutive records' sessions in."""
        self.begun |= sessions.begun
        if inside:
            self.inside |= sessions.seen
            self.begun_inside |= sessions.begun
        else:
            self.before |= sessions.seen

    @property
    def of_the_stretch(self) -> frozenset[str]:
        """Those whose first record stands inside and of which there is none before, as outputs name them."""
        return frozenset(_text(session) for session in self.begun_inside - self.before)

    @property
    def without_beginning(self) -> int:
        """How many have records inside, but no first one anywhere."""
        return len(self.inside - self.begun)


def _text(session: bytes) -> str:
    return str(UUID(bytes=session)) if len(session) == SESSION_BYTES else session.decode()


async def _refuse_a_name_in_use(target: KafkaSettings, order: Order) -> None:
    there = await topics.existing(target)
    if there:
        message = (
            f"{order.name}: there is a replay of that name ({len(there)} topics, first {there[0]}); "
            f"`callstream replay --remove --name {order.name}` removes it"
        )
        raise ConfigError([message])


def _check_inputs(inputs: Sequence[str], order: Order) -> None:
    if order.wanted.firsts and len(inputs) > 1:
        message = f"--from-offset: offsets are of one topic, but these components read {' and '.join(inputs)}"
        raise ConfigError([message])


def _deed(order: Order) -> Deed:
    return Deed(AuditAction.REPLAY, KIND, order.name, order.details)


def _outcome(result: Result) -> dict[str, str]:
    told = {"records": str(result.records), "outputs": str(result.outputs.total())}
    return told if result.equal is None else {**told, "compared": "equal" if result.equal else "different"}


def _parts(records: Sequence[ConsumerRecord], first: int) -> list[Sequence[ConsumerRecord]]:
    """Return records cut where outputs begin to count."""
    before = [record for record in records if record.offset < first]
    return [part for part in (before, records[len(before) :]) if part]


def _summary(topic: str, found: Sequence[Span]) -> str:
    inside = sum(span.end - span.first for span in found)
    before = sum(span.first - span.warm for span in found)
    return f"{topic}: {inside} records in {len(found)} partitions, {before} before them to learn from"
