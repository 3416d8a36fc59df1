"""Reads what live processing and a replay wrote for the same stretch, and says whether it is the same."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from callstream.replay.compare import Comparison, Difference, Row, Scope, first_of
from callstream.replay.log_reader import CLIENT_ID, LogReader, Stretch
from callstream.replay.span import Span
from callstream.replay.stage import Stage
from runtime.config import KafkaSettings
from runtime.errors import Unavailable
from runtime.kafka import ConsumerRecord, TopicPartition, admin_client, partition_counts
from schemas.codec import SchemaStore
from schemas.topics import Topic

_CLOCK_STEPS_MS = 600_000
"""How far a broker's clock may have stepped back between two records of a partition."""
_CAUGHT_UP_WITHIN_S = 20.0
_ASK_AGAIN_S = 0.25


@dataclass(slots=True)
class Report:
    """What a comparison found, for a person."""

    equal: bool = True
    lines: list[str] = field(default_factory=list)


async def compared(  # noqa: PLR0913, PLR0917 - both sides, and what of them is compared
    reader: LogReader,
    live: KafkaSettings,
    replay: KafkaSettings,
    store: SchemaStore,
    stage: Stage,
    spans: Sequence[Span],
    until_ms: Mapping[int, int],
    opened: frozenset[str],
    wanted: Callable[[bytes | None], bool],
) -> Report:
    """Compare a component's outputs. `until_ms` is the highest timestamp read of each input partition.

    Raises `Unavailable` where live processing has not come to the end of the stretch, or Kafka does not answer.
    """
    await caught_up(live, stage.name, spans)
    scope = Scope({span.partition: (span.first, span.end) for span in spans}, opened, wanted)
    comparison = Comparison(scope, store)
    sides = _Sides(reader, live.topic_prefix, replay.topic_prefix, comparison)
    differences: list[Difference] = []
    theirs, ours = set[str](), set[str]()
    for topic in stage.topics:
        await _there(live, topic)
        rows, held_from = await sides.live(topic, spans, until_ms)
        found, hashes = comparison.topic(topic, rows, await sides.replayed(topic, spans), held_from)
        differences += found
        theirs |= hashes[0]
        ours |= hashes[1]
    return _report(stage.name, comparison, differences, (theirs, ours or {stage.settings_hash}))


async def caught_up(live: KafkaSettings, group: str, spans: Sequence[Span]) -> None:
    """Wait until live processing has come to the end of the stretch. Raises `Unavailable` when it does not soon."""
    group_id = f"{live.topic_prefix}{group}"
    ends = {TopicPartition(span.topic, span.partition): span.end for span in spans}
    behind: dict[TopicPartition, int] = {}
    try:
        async with asyncio.timeout(_CAUGHT_UP_WITHIN_S), admin_client(live, CLIENT_ID) as admin:
            while ends:
                stored = await admin.list_consumer_group_offsets(group_id)
                at = {tp: place.offset for tp, place in stored.items()}
                behind = {tp: at.get(tp, 0) for tp, end in ends.items() if at.get(tp, 0) < end}
                if not behind:
                    return
                await asyncio.sleep(_ASK_AGAIN_S)
    except TimeoutError:
        pass
    for tp, offset in sorted(behind.items()):
        message = (
            f"nothing was compared: {group_id} stands at {tp.topic}/{tp.partition}/{offset}, "
            f"before the end of the stretch at {ends[tp]}"
        )
        raise Unavailable(message)


async def _there(live: KafkaSettings, topic: Topic) -> None:
    name = f"{live.topic_prefix}{topic.name}"
    if name not in await partition_counts(live, [name], CLIENT_ID):
        message = f"{name}: is missing, so there is nothing to compare with"
        raise Unavailable(message)


class _Sides:
    def __init__(self, reader: LogReader, live: str, replay: str, comparison: Comparison) -> None:
        self._reader = reader
        self._live = live
        self._replay = replay
        self._comparison = comparison

    async def replayed(self, topic: Topic, spans: Sequence[Span]) -> list[Row]:
        """Return everything the replay wrote to a topic."""
        tps = [TopicPartition(f"{self._replay}{topic.name}", span.partition) for span in spans]
        return await self._rows(await self._reader.bounds(tps))

    async def live(
        self, topic: Topic, spans: Sequence[Span], until_ms: Mapping[int, int]
    ) -> tuple[list[Row], dict[int, int]]:
        """Return what live processing wrote about then, and before which input its records are gone by partition."""
        name = f"{self._live}{topic.name}"
        times = {TopicPartition(name, span.partition): max(0, span.first_ms - _CLOCK_STEPS_MS) for span in spans}
        starts = await self._reader.offsets(times)
        stops = await self._reader.offsets(
            {tp: until_ms.get(tp.partition, 0) + _CLOCK_STEPS_MS for tp in times if tp in starts}
        )
        bounds = await self._reader.bounds(list(times))
        rows = await self._rows({tp: (start, stops.get(tp, bounds[tp][1])) for tp, start in starts.items()})
        held_from = {}
        for tp, (begin, end) in bounds.items():
            if begin > 0 and starts.get(tp, end) == begin:
                held_from[tp.partition] = self._first_held(topic, rows, tp.partition)
        return rows, held_from

    def _first_held(self, topic: Topic, rows: Sequence[Row], partition: int) -> int:
        """Return the offset behind the first input of which outputs are still there, however many of them are."""
        for row in rows:
            known = self._comparison.known(topic, row)
            if row.partition == partition and known is not None:
                return known.place.offset + 1
        return 2**63

    async def _rows(self, stretches: Mapping[TopicPartition, Stretch]) -> list[Row]:
        rows: list[Row] = []

        async def take(tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
            rows.extend(
                Row(tp.partition, record.offset, record.key, record.timestamp, record.value, tuple(record.headers))
                for record in records
            )

        await self._reader.read(stretches, take)
        return rows


def _report(
    name: str, comparison: Comparison, differences: Sequence[Difference], hashes: tuple[set[str], set[str]]
) -> Report:
    report = Report(equal=not differences)
    theirs, ours = hashes
    if theirs and theirs != ours:
        report.lines.append(f"{name}: settings differ: live {_listed(theirs)}, replayed {_listed(ours)}")
        report.equal = False
    first = first_of(differences)
    if first is not None:
        report.lines.append(f"{name}: {first} ({len(differences)} of {comparison.compared} differ)")
    sessions = len(comparison.scope.opened)
    if report.equal:
        report.lines.append(f"{name}: equal: {comparison.compared} outputs of {sessions} sessions, byte for byte")
    if comparison.left_out:
        report.lines.append(f"{name}: {comparison.left_out} not compared: the live ones are no longer in the log")
    if comparison.unreadable:
        report.lines.append(f"{name}: {comparison.unreadable} records on the output topics cannot be read")
    return report


def _listed(hashes: set[str]) -> str:
    return " and ".join(sorted(hashes))
