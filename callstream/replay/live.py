"""Reads what live processing and a replay wrote for the same stretch, and says whether it is the same."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from callstream.replay.compare import Comparison, Row, Scope, first_of
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


@dataclass(frozen=True, slots=True)
class Stretches:
    """What was replayed of one input: the spans, the highest timestamp of each partition, the sessions that opened."""

    spans: Sequence[Span]
    until_ms: Mapping[int, int]
    opened: frozenset[str]


async def compared(  # noqa: PLR0913, PLR0917 - both sides, and what of them is compared
    reader: LogReader,
    live: KafkaSettings,
    replay: KafkaSettings,
    store: SchemaStore,
    stage: Stage,
    stretches: Stretches,
    wanted: Callable[[bytes | None], bool],
) -> Report:
    """Compare a component's outputs.

    Raises `Unavailable` where live processing has not come to the end of the stretch, or Kafka does not answer.
    """
    await caught_up(live, stage.name, stretches.spans)
    await _there(live, stage.topics)
    by_partition = {span.partition: (span.first, span.end) for span in stretches.spans}
    scope = Scope(by_partition, stretches.opened, wanted)
    found = []
    for topic in stage.topics:
        comparison = Comparison(topic, scope, store)
        names = (f"{live.topic_prefix}{topic.name}", f"{replay.topic_prefix}{topic.name}")
        await _read(reader, names, stretches, comparison)
        found.append(comparison)
    return _report(stage, found, len(stretches.opened))


async def caught_up(live: KafkaSettings, group: str, spans: Sequence[Span]) -> None:
    """Wait until live processing has come to the end of the stretch. Raises `Unavailable` when it does not soon."""
    group_id = f"{live.topic_prefix}{group}"
    ends = {TopicPartition(span.topic, span.partition): span.end for span in spans}
    behind = dict.fromkeys(ends, 0)
    silent: Unavailable | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(_CAUGHT_UP_WITHIN_S):
            while behind:
                try:
                    at = await _committed(live, group_id)
                    behind = {tp: at.get(tp, 0) for tp, end in ends.items() if at.get(tp, 0) < end}
                    silent = None
                except Unavailable as error:
                    silent = error
                if behind:
                    await asyncio.sleep(_ASK_AGAIN_S)
    if silent is not None:
        raise silent
    for tp, offset in sorted(behind.items()):
        message = (
            f"nothing was compared: {group_id} stands at {tp.topic}/{tp.partition}/{offset}, "
            f"before the end of the stretch at {ends[tp]}"
        )
        raise Unavailable(message)


async def _committed(live: KafkaSettings, group_id: str) -> dict[TopicPartition, int]:
    """Return the offsets a group has committed; they tell lag, and stand never ahead of what is stored."""
    async with admin_client(live, CLIENT_ID) as admin:
        stored = await admin.list_consumer_group_offsets(group_id)
    return {tp: place.offset for tp, place in stored.items()}


async def _there(live: KafkaSettings, topics: Sequence[Topic]) -> None:
    names = [f"{live.topic_prefix}{topic.name}" for topic in topics]
    missing = sorted(set(names) - set(await partition_counts(live, names, CLIENT_ID)))
    if missing:
        message = f"nothing to compare with: {', '.join(missing)} are missing"
        raise Unavailable(message)


async def _read(reader: LogReader, names: tuple[str, str], stretches: Stretches, comparison: Comparison) -> None:
    """Read what live processing wrote about then, and all the replay did, partition by partition and both abreast."""
    live, replay = names
    for span in stretches.spans:
        theirs, ours = TopicPartition(live, span.partition), TopicPartition(replay, span.partition)
        bounds = await reader.bounds([theirs, ours])
        about_then = await _about_then(reader, theirs, span, stretches.until_ms, bounds[theirs])
        whole = bounds[theirs][0] == 0 or about_then[0] > bounds[theirs][0]
        take = _Take(comparison, theirs, whole=whole)
        await reader.read({theirs: about_then, ours: bounds[ours]}, take.records)
        if not take.whole:
            comparison.begins_at(span.partition, None)


async def _about_then(
    reader: LogReader, tp: TopicPartition, span: Span, until_ms: Mapping[int, int], bounds: Stretch
) -> Stretch:
    """Return the offsets of the outputs whose timestamps, those of their inputs, lie in the stretch or near it."""
    first_ms = max(0, span.first_ms - _CLOCK_STEPS_MS)
    last_ms = until_ms.get(span.partition, span.first_ms) + _CLOCK_STEPS_MS
    starts, stops = await reader.offsets({tp: first_ms}), await reader.offsets({tp: last_ms})
    end = bounds[1]
    return max(bounds[0], starts.get(tp, end)), min(end, stops.get(tp, end))


class _Take:
    """Hands records to a comparison; the first live one too, where nothing lies before it any more."""

    def __init__(self, comparison: Comparison, live: TopicPartition, *, whole: bool) -> None:
        self._comparison = comparison
        self._live = live
        self.whole = whole

    async def records(self, tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        """Take consecutive records of one side."""
        for record in records:
            row = Row(tp.partition, record.key, record.timestamp, record.value, tuple(record.headers))
            if tp != self._live:
                self._comparison.replayed(row)
                continue
            if not self.whole:
                self.whole = True
                self._comparison.begins_at(tp.partition, row)
            self._comparison.live(row)


def _report(stage: Stage, found: Sequence[Comparison], sessions: int) -> Report:
    name, compared_rows = stage.name, sum(one.compared for one in found)
    differences = [difference for one in found for difference in one.differences()]
    theirs, ours = (set[str]().union(*(one.hashes[side] for one in found)) for side in (0, 1))
    report = Report(equal=not differences)
    if theirs and theirs != (ours or {stage.settings_hash}):
        report.lines.append(f"{name}: settings differ: live {_listed(theirs)}, replayed {stage.settings_hash}")
        report.equal = False
    apart = sum(one.but_for_settings for one in found)
    if apart:
        report.lines.append(f"{name}: {apart} outputs differ in their settings hash alone")
        report.equal = False
    first = first_of(differences)
    if first is not None:
        report.lines.append(f"{name}: {first} (first of {len(differences)}; {compared_rows} are equal)")
    if report.equal:
        report.lines.append(f"{name}: equal: {compared_rows} outputs of {sessions} sessions, byte for byte")
    left_out, unreadable = sum(one.left_out for one in found), sum(one.unreadable for one in found)
    if left_out:
        report.lines.append(f"{name}: {left_out} not compared: the live ones are no longer in the log")
    if unreadable:
        report.lines.append(f"{name}: {unreadable} records on the output topics cannot be read")
    return report


def _listed(hashes: set[str]) -> str:
    return " and ".join(sorted(hashes))
