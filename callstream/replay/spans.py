"""Fixes what is replayed before anything is: offsets of each partition, and how far back reading must begin."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from callstream.replay.log_reader import LogReader, Stretch
from callstream.replay.look_back import LookBack, Window, sighting
from callstream.replay.span import Span, Wanted
from runtime.errors import ConfigError
from runtime.kafka import ConsumerRecord, TopicPartition
from schemas.codec import SchemaStore
from schemas.topics import AUDIO, EVENTS

_STATEFUL = frozenset({AUDIO.name, EVENTS.name})
"""Inputs whose components know the sessions; to the others each record is new."""


async def spans(reader: LogReader, topic: str, partitions: int, wanted: Wanted, store: SchemaStore) -> list[Span]:
    """Return the stretch of each partition that has one, with where to begin reading.

    Raises `ConfigError` for offsets the log does not hold, `Unavailable`.
    """
    numbers = range(partitions) if wanted.partitions is None else sorted(wanted.partitions)
    _check_numbers(topic, partitions, wanted)
    tps = [TopicPartition(topic, number) for number in numbers]
    bounds = await reader.bounds(tps)
    stretches = await _stretches(reader, bounds, wanted)
    firsts = await reader.first_records({tp: stretch for tp, stretch in stretches.items() if stretch[0] < stretch[1]})
    found = [
        Span(topic, tp.partition, stretches[tp][0], stretches[tp][0], stretches[tp][1], firsts[tp].timestamp)
        for tp in tps
        if tp in firsts
    ]
    if topic not in _STATEFUL:
        return found
    return await _warmed(reader, found, {tp.partition: bound[0] for tp, bound in bounds.items()}, store)


def _check_numbers(topic: str, partitions: int, wanted: Wanted) -> None:
    mistakes = [
        f"{topic}/{number}: there are {partitions} partitions, from 0"
        for number, _ in (*wanted.firsts, *wanted.ends)
        if number >= partitions
    ]
    if mistakes:
        raise ConfigError(mistakes)


async def _stretches(
    reader: LogReader, bounds: Mapping[TopicPartition, Stretch], wanted: Wanted
) -> dict[TopicPartition, Stretch]:
    """Return offsets from and to of each partition."""
    if wanted.firsts:
        return _by_offsets(bounds, dict(wanted.firsts), dict(wanted.ends))
    begins = {tp: first for tp, (first, _) in bounds.items()}
    ends = {tp: end for tp, (_, end) in bounds.items()}
    if wanted.from_ms is not None:
        found = await reader.offsets(dict.fromkeys(bounds, wanted.from_ms))
        begins = {tp: found.get(tp, ends[tp]) for tp in bounds}
    if wanted.to_ms is not None:
        found = await reader.offsets(dict.fromkeys(bounds, wanted.to_ms))
        ends = {tp: min(end, found.get(tp, end)) for tp, end in ends.items()}
    return {tp: (begins[tp], ends[tp]) for tp in bounds}


def _by_offsets(
    bounds: Mapping[TopicPartition, Stretch], firsts: Mapping[int, int], ends: Mapping[int, int]
) -> dict[TopicPartition, Stretch]:
    found, mistakes = {}, []
    for tp, (begin, log_end) in bounds.items():
        first, end = firsts[tp.partition], ends.get(tp.partition, log_end)
        if not begin <= first <= end <= log_end:
            mistakes.append(f"{tp.topic}/{tp.partition}: {first} to {end} is no part of {begin} to {log_end}")
        found[tp] = (first, end)
    if mistakes:
        raise ConfigError(mistakes)
    return found


async def _warmed(
    reader: LogReader, found: Sequence[Span], begins: Mapping[int, int], store: SchemaStore
) -> list[Span]:
    """Return the spans with the offset from which reading gives the live state at their first record."""
    if not found:
        return []
    topic = found[0].topic
    looks = {span.partition: LookBack(span.first_ms) for span in found}
    lows = {span.partition: span.first for span in found}
    open_ones = {span.partition for span in found if span.first > begins[span.partition]}
    while open_ones:
        starts = await reader.offsets({TopicPartition(topic, number): looks[number].start_ms for number in open_ones})
        stretches = {tp: (max(start, begins[tp.partition]), lows[tp.partition]) for tp, start in starts.items()}
        windows = await _windows(reader, stretches, store)
        for tp, (low, _) in stretches.items():
            looks[tp.partition].earlier(windows[tp])
            lows[tp.partition] = low
            if low <= begins[tp.partition] or looks[tp.partition].enough:
                open_ones.discard(tp.partition)
    margins = await reader.offsets({TopicPartition(topic, number): look.margin_ms for number, look in looks.items()})
    return [
        replace(
            span,
            warm=max(begins[span.partition], min(lows[span.partition], margins[TopicPartition(topic, span.partition)])),
        )
        for span in found
    ]


async def _windows(
    reader: LogReader, stretches: Mapping[TopicPartition, Stretch], store: SchemaStore
) -> dict[TopicPartition, Window]:
    windows = {tp: Window() for tp in stretches}

    async def take(tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        sessions = sighting(tp.topic, [record.value for record in records], store)
        windows[tp].add([record.timestamp for record in records], sessions)

    await reader.read(stretches, take)
    return windows
