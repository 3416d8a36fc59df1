"""The state ↔ canonical bytes: equal states give equal bytes, whatever slots and rows they use.

The columns are packed as columns. The objects of a session are an Avro record of their numbers, made again only when
they changed. Sessions are in the order of the table, streams by channel and SSRC.
"""

import dataclasses
import io
import struct
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final

import numpy as np
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from audio.session import SessionTable
from processors.loss import state as columns
from processors.loss.bursts import Bursts
from processors.loss.delays import Spread
from processors.loss.numbering import Numbering
from processors.loss.packing import pack, unpack
from processors.loss.session import Counts, Session
from processors.loss.state import LossState
from processors.loss.streams import Counted, Gap, Measures, Stream
from processors.loss.trend import Measured, Trend
from runtime.errors import StateCorrupted

_HEAD: Final = struct.Struct("<III")


def _names(kind: type[Any], *left_out: str) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if field.name not in left_out)


_SESSION: Final = _names(
    Session,
    *("head", "last_us", "audio_ms", "codec"),
    *("watch", "window", "total", "trend", "arrivals", "window_gaps", "gaps", "streams", "told"),
)
_WATCH: Final = ("threshold_us", "since_us", "position_samples", "worst_us", "lowest_us")
_WINDOW: Final = _names(Counts, "frames", "payload_bytes", "audio")
_TOTAL: Final = _names(Counts)
_STREAM: Final = ("fed", "run", "least_us", "start", "loss_alarm", "mos_alarm")
_NUMBERING: Final = _names(Numbering, "bits", "highest", "suspect", "due", "unique", "missing")
_MEASURES: Final = ("extent", "extent_us", "longest_run")
_SPREAD: Final = _names(Spread, "bins")

_LONGS: Final = {"type": "array", "items": "long"}
_LISTS: Final = {"type": "array", "items": _LONGS}
_BLOB: Final = parse_schema({"type": "record", "name": "Loss", "fields": [{"name": "lists", "type": _LISTS}]})


def snapshot(state: LossState) -> bytes:
    """Return canonical bytes."""
    state.fit()
    table = state.table.snapshot()
    order = state.table.in_order()
    known = [slot for slot in order if slot in state.known]
    keys = [[[], *map(list, sorted(state.known[slot].streams))] for slot in known]
    rows = [part.row for slot in known for part in state.known[slot].parts()]
    held = state.sessions[known].copy()
    held[:, columns.ROW] = 0
    bins = state.bins[rows]
    at = np.nonzero(bins)
    counts = np.stack((*at, bins[at]), axis=1).astype(np.int64)
    if len(counts):
        counts[1:, 0] = np.diff(counts[:, 0])
    blobs = [_packed(state, slot) for slot in known]
    places = np.array([place for place, slot in enumerate(order) if slot in state.known], np.int64)
    parts = np.array([len(one) for one in keys], np.int64)
    names = np.array([key for one in keys for key in one[1:]], np.int64).reshape(-1, 2)
    sizes = np.array([len(blob) for blob in blobs], np.int64)
    index = np.stack((places, parts, sizes), axis=1)
    packed = [pack(index), pack(names), pack(held), pack(state.streams[rows]), pack(counts)]
    return b"".join((_HEAD.pack(len(table), len(order), state.window_s), table, *packed, *blobs))


def restore(content: bytes, window_s: int) -> LossState:
    """Return the state a snapshot was taken of. Raises `StateCorrupted` when it cannot be read."""
    try:
        return _restored(content, window_s)
    except Exception as error:  # damaged bytes make the readers raise many kinds
        message = f"the loss state cannot be read: {type(error).__name__}"
        raise StateCorrupted(message) from error


def _restored(content: bytes, window_s: int) -> LossState:
    length, count, former_window_s = _HEAD.unpack_from(content)
    state = LossState(window_s, SessionTable.restore(content[_HEAD.size : _HEAD.size + length]))
    state.fit()
    order = state.table.in_order()
    _check(len(order) == count)
    rest = memoryview(content)[_HEAD.size + length :]
    index, rest = unpack(rest)
    names, rest = unpack(rest)
    held, rest = unpack(rest)
    streams, rest = unpack(rest)
    counts, rest = unpack(rest)
    rows: list[int] = []
    keys = iter(names.tolist())
    for (place, parts, size), columns_of in zip(index.tolist(), held, strict=True):
        slot = order[place]
        session = _session(rest[:size], [tuple(next(keys)) for _ in range(parts - 1)])
        rest = rest[size:]
        state.add(slot, session)
        if session.told:
            state.returning[slot] = state.table.ids[slot]
        for key, stream in session.streams.items():
            state.place(slot, key, stream)
        rows.extend(part.row for part in session.parts())
        state.sessions[slot] = columns_of
        state.sessions[slot, columns.ROW] = session.arrivals.row
    _check(not len(rest) and next(keys, None) is None and len(rows) == len(streams))
    state.streams[rows] = streams
    if len(counts):
        state.bins[np.array(rows)[np.cumsum(counts[:, 0])], counts[:, 1]] = counts[:, 2]
    if former_window_s != window_s:
        for slot in list(state.known):
            opened = state.open(slot)
            if opened is not None:
                state.close(slot, opened)
    return state


def _check(holds: bool) -> None:
    if not holds:
        message = "the parts of the state do not fit together"
        raise ValueError(message)


def _packed(state: LossState, slot: int) -> bytes:
    known = state.packed.get(slot)
    if known is None:
        out = io.BytesIO()
        schemaless_writer(out, _BLOB, {"lists": [list(one) for one in _lists(state.known[slot])]})
        known = state.packed[slot] = out.getvalue()
    return known


def _lists(session: Session) -> Iterable[Iterable[int]]:
    yield _numbers(session, _SESSION)
    yield _numbers(session.watch, _WATCH)
    yield _numbers(session.window, _WINDOW)
    yield _numbers(session.total, _TOTAL)
    yield from _trend_lists(session.trend)
    yield _flat(session.window_gaps)
    yield _flat(session.gaps)
    yield _flat((*key, len(numbers), *numbers) for key, numbers in sorted(session.told.items()))
    for part in session.parts():
        yield from _stream_lists(part)


def _stream_lists(stream: Stream) -> Iterable[Iterable[int]]:
    yield _numbers(stream, _STREAM)
    yield _numbers(stream.numbering, _NUMBERING)
    yield np.diff(np.array(stream.numbering.missing, np.int64), prepend=0).tolist()
    for one in stream.measures:
        yield _numbers(one, _MEASURES)
        yield one.bursts.as_numbers()
        yield _numbers(one.spread, _SPREAD)
        yield _flat(sorted(one.spread.bins.items()))
    yield stream.window_mark
    yield stream.segment_mark
    yield from _trend_lists(stream.trend)
    yield _flat(stream.window_gaps)
    yield _flat(stream.gaps)


def _trend_lists(trend: Trend) -> Iterable[Iterable[int]]:
    yield (trend.bad_loss, trend.bad_mos)
    yield _flat(trend.recent)


def _numbers(item: object, names: tuple[str, ...]) -> Iterable[int]:
    found: Iterable[int] = _getter(names)(item)
    return found


_GETTERS: Final[dict[tuple[str, ...], Callable[[object], Any]]] = {}


def _getter(names: tuple[str, ...]) -> Callable[[object], Any]:
    if names not in _GETTERS:
        _GETTERS[names] = attrgetter(*names)
    return _GETTERS[names]


def _flat(groups: Iterable[Iterable[int]]) -> list[int]:
    return [number for group in groups for number in group]


def _session(content: memoryview, keys: list[Any]) -> Session:
    stream = io.BytesIO(bytes(content))
    read: Any = schemaless_reader(stream, _BLOB, None)
    _check(not stream.read())
    lists = iter(read["lists"])
    session: Session = _filled(lambda **values: Session(head=0, **values), _SESSION, next(lists))
    _set(session.watch, _WATCH, next(lists))
    _set(session.window, _WINDOW, next(lists))
    session.total = _filled(Counts, _TOTAL, next(lists))
    session.trend = _trend(lists)
    session.window_gaps, session.gaps = _gaps(next(lists)), _gaps(next(lists))
    told = iter(next(lists))
    for channel in told:
        key = (channel, next(told))
        session.told[key] = tuple(next(told) for _ in range(next(told)))
    session.arrivals = _stream(lists)
    for key in keys:
        session.streams[key] = _stream(lists)
    _check(next(lists, None) is None)
    return session


def _stream(lists: Any) -> Stream:
    stream: Stream = _filled(Stream, _STREAM, next(lists))
    _set(stream.numbering, _NUMBERING, next(lists))
    stream.numbering.missing = np.cumsum(np.array(next(lists), np.int64)).tolist()
    stream.window, stream.segment, stream.total = (_measures(lists) for _ in range(3))
    stream.window_mark, stream.segment_mark = Counted(*next(lists)), Counted(*next(lists))
    stream.trend = _trend(lists)
    stream.window_gaps, stream.gaps = _gaps(next(lists)), _gaps(next(lists))
    return stream


def _measures(lists: Any) -> Measures:
    one: Measures = _filled(Measures, _MEASURES, next(lists))
    one.bursts = Bursts.of_numbers(next(lists))
    one.spread = _filled(Spread, _SPREAD, next(lists))
    bins = next(lists)
    one.spread.bins = dict(zip(bins[::2], bins[1::2], strict=True))
    return one


def _trend(lists: Any) -> Trend:
    bad_loss, bad_mos = next(lists)
    recent = next(lists)
    width = len(Measured._fields)
    return Trend([Measured(*recent[at : at + width]) for at in range(0, len(recent), width)], bad_loss, bad_mos)


def _filled(kind: Callable[..., Any], names: tuple[str, ...], numbers: list[int]) -> Any:
    return kind(**dict(zip(names, numbers, strict=True)))


def _set(item: object, names: tuple[str, ...], numbers: list[int]) -> None:
    for name, number in zip(names, numbers, strict=True):
        setattr(item, name, number)


def _gaps(numbers: list[int]) -> list[Gap]:
    return list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))
