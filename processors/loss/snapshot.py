"""The state ↔ canonical bytes: equal states give equal bytes, whatever slots and rows they use.

The columns are packed as columns. The rest of a session's objects is an Avro array of their numbers, made again only
when it was opened. Sessions are in the order of the table, streams by channel and SSRC.
"""

import io
import struct
from array import array
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import numpy as np
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from numpy.typing import NDArray

from audio.session import SessionTable
from processors.loss import columns
from processors.loss.delays import BINS
from processors.loss.packing import pack, unpack
from processors.loss.session import Session
from processors.loss.state import LossState
from processors.loss.streams import Gap, Stream
from processors.loss.trend import Measured
from runtime.errors import StateCorrupted

_HEAD: Final = struct.Struct("<III")
_LONGS: Final = parse_schema({"type": "array", "items": "long"})
_RUN: Final = 3
"""Numbers of `Stream.given` for each run."""


def snapshot(state: LossState) -> bytes:
    """Return canonical bytes."""
    state.fit()
    table = state.table.snapshot()
    order = state.table.in_order()
    known = [slot for slot in order if slot in state.known]
    keys = [sorted(state.known[slot].streams) for slot in known]
    parts = [part for slot in known for part in state.known[slot].parts()]
    rows = [part.row for part in parts]
    used = np.flatnonzero(state.streams[columns.CLOCK, rows])
    blobs = [_packed(state, slot) for slot in known]
    places = [place for place, slot in enumerate(order) if slot in state.known]
    index = np.array((places, list(map(len, keys)), list(map(len, blobs))), np.int64)
    names = np.array([key for one in keys for key in one], np.int64).reshape(-1, 2).T
    packed = (
        index,
        names,
        state.sessions[: columns.ODD, known],
        used[np.newaxis],
        state.streams[:, np.array(rows, np.intp)[used]],
        _histograms(state.bins[rows]),
        *_waiting(parts),
    )
    head = _HEAD.pack(len(table), len(order), state.window_s)
    return b"".join((head, table, *map(pack, packed), *blobs))


def _histograms(bins: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return what is not 0: place (as the step from the one before) and count."""
    flat = bins.reshape(-1)
    at = np.flatnonzero(flat)
    return np.stack((np.diff(at, prepend=0), flat[at]))


def _waiting(parts: list[Stream]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return how many numbers are missing and runs given up in each stream, steps of the former, and the latter."""
    missing = [part.numbering.missing for part in parts]
    given = [part.given for part in parts]
    sizes = np.array((list(map(len, missing)), list(map(len, given))), np.int64)
    numbers = np.frombuffer(b"".join(map(memoryview, missing)), np.int64)
    runs = np.frombuffer(b"".join(map(memoryview, given)), np.int64).reshape(-1, _RUN)
    return sizes, np.diff(numbers, prepend=0)[np.newaxis], runs.T


def restore(content: bytes, window_s: int) -> LossState:
    """Return the state a snapshot was taken of. Raises `StateCorrupted` when it cannot be read."""
    try:
        return _restored(content, window_s)
    except Exception as error:  # damaged bytes make the readers raise many kinds
        message = f"the loss state cannot be read: {type(error).__name__}"
        raise StateCorrupted(message) from error


def _restored(content: bytes, window_s: int) -> LossState:
    length, count, _ = _HEAD.unpack_from(content)
    state = LossState(window_s, SessionTable.restore(content[_HEAD.size : _HEAD.size + length]))
    state.fit()
    order = state.table.in_order()
    _check(len(order) == count)
    rest = memoryview(content)[_HEAD.size + length :]
    found = []
    for _ in range(9):
        numbers, rest = unpack(rest)
        found.append(numbers)
    index, names, held, used, streams, bins, sizes, missing, given = found
    parts: list[Stream] = []
    keys = iter(names.T.tolist())
    for place, streams_of, size in index.T.tolist():
        slot = order[place]
        session = _session(rest[:size], [tuple(key) for key in islice(keys, streams_of)])
        rest = rest[size:]
        state.add(slot, session)
        if session.told:
            state.returning[slot] = state.table.ids[slot]
        for key, stream in session.streams.items():
            state.place(slot, key, stream)
        parts.extend(session.parts())
    _check(not len(rest) and next(keys, None) is None and len(parts) == sizes.shape[1])
    rows = np.array([part.row for part in parts], np.intp)
    state.streams[:, rows[used[0]]] = streams
    at = np.cumsum(bins[0])
    state.bins[rows[at // BINS], at % BINS] = bins[1]
    _fill_waiting(parts, sizes.T.tolist(), np.cumsum(missing[0]).tolist(), given.T.reshape(-1).tolist())
    for slot, numbers in zip(state.known, held.T, strict=True):
        state.sessions[: columns.ODD, slot] = numbers
        state.read(slot, state.known[slot])
        state.close(slot, state.known[slot])
    return state


def _fill_waiting(parts: list[Stream], sizes: list[list[int]], missing: list[int], given: list[int]) -> None:
    missing_at, given_at = iter(missing), iter(given)
    for part, (some, more) in zip(parts, sizes, strict=True):
        part.numbering.missing = array("q", islice(missing_at, some))
        part.given = array("q", islice(given_at, more))
    _check(next(missing_at, None) is None and next(given_at, None) is None)


def _check(holds: bool) -> None:
    if not holds:
        message = "the parts of the state do not fit together"
        raise ValueError(message)


def _packed(state: LossState, slot: int) -> bytes:
    known = state.packed.get(slot)
    if known is None:
        out = io.BytesIO()
        schemaless_writer(out, _LONGS, _rest_of(state.known[slot]))
        known = state.packed[slot] = out.getvalue()
    return known


def _rest_of(session: Session) -> list[int]:
    """Return all of a session that is no column."""
    numbers = [*columns.SESSION_REST.numbers(session)]
    for found in (session.trend.recent, session.window_gaps, session.gaps):
        _put(numbers, found)
    numbers.append(len(session.told))
    for key, values in sorted(session.told.items()):
        _put(numbers, [(*key, *values)])
    for part in session.parts():
        if part.delays.clock_hz == 0:
            numbers.append(0)
            continue
        numbers += (1, *columns.STREAM_REST.numbers(part))
        for found in (part.trend.recent, part.window_gaps, part.gaps):
            _put(numbers, found)
        window, segment, total = (one.spread.bins for one in part.measures)
        numbers.append(segment == total)
        for bins in (window, total) if segment == total else (window, total, segment):
            _put(numbers, sorted(bins.items()))
    return numbers


def _put(numbers: list[int], groups: list[Any]) -> None:
    """Append groups of numbers: how many, and how long each is."""
    numbers.append(len(groups))
    if groups:
        numbers.append(len(groups[0]))
        for group in groups:
            numbers += group


def _session(content: memoryview, keys: list[Any]) -> Session:
    stream = io.BytesIO(bytes(content))
    found: Any = schemaless_reader(stream, _LONGS, None)
    _check(not stream.read())
    numbers = iter(found)
    session = Session(rate_hz=0, head=0, begin=0, window_start=0)
    columns.SESSION_REST.fill(session, _take(numbers, len(columns.SESSION_REST)))
    session.trend.recent = list(map(Measured._make, _groups(numbers)))
    session.window_gaps, session.gaps = _gaps(numbers), _gaps(numbers)
    for _ in range(next(numbers)):
        ((channel, ssrc, *values),) = _groups(numbers)
        session.told[channel, ssrc] = tuple(values)
    session.streams = {key: Stream() for key in keys}
    for part in session.parts():
        if next(numbers):
            _fill_stream(part, numbers)
    _check(next(numbers, None) is None)
    return session


def _fill_stream(stream: Stream, numbers: Iterator[int]) -> None:
    columns.STREAM_REST.fill(stream, _take(numbers, len(columns.STREAM_REST)))
    stream.trend.recent = list(map(Measured._make, _groups(numbers)))
    stream.window_gaps, stream.gaps = _gaps(numbers), _gaps(numbers)
    same = next(numbers)
    stream.window.spread.bins = _bins(numbers)
    stream.total.spread.bins = _bins(numbers)
    stream.segment.spread.bins = stream.total.spread.bins.copy() if same else _bins(numbers)


def _take(numbers: Iterator[int], count: int) -> list[int]:
    found = list(islice(numbers, count))
    _check(len(found) == count)
    return found


def _groups(numbers: Iterator[int]) -> list[list[int]]:
    count = next(numbers)
    if not count:
        return []
    width = next(numbers)
    return [_take(numbers, width) for _ in range(count)]


def _bins(numbers: Iterator[int]) -> dict[int, int]:
    return {group[0]: group[1] for group in _groups(numbers)}


def _gaps(numbers: Iterator[int]) -> list[Gap]:
    return [(reason, start, duration) for reason, start, duration in _groups(numbers)]
