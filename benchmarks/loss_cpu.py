"""The pure step of the loss processor on one core: polls of 4,000 frames that are already decoded.

1,000 sessions advance together, each at another place within its window, so that reports are due all the time. Numbered
packets of 20 ms, all of them a few ms unevenly: 2 % lost, 1 % twice, 1 % out of order; then with 0.5 % of each, and
with nothing of it. And stereo messages without numbers, of 20 and of 200 ms. The first second is not measured: calls
begin seldom. Rates are by the CPU time of the best round, beside it by the clock; `walk_ratio` is the CPU time of a
walk that only finds the sessions and rewrites twenty columns, over that of the step in the same round. Snapshots are
taken every 150 ms of audio; `snapshot_all_ms` is the one that writes every session anew.
`./dev bench loss_cpu [sessions] [frames per session]`.
"""

import gc
import resource
import sys
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from audio.frames import FrameEncoder, decode
from audio.session import SessionTable, by_slot
from benchmarks.rig import RATE_HZ, result
from processors.loss.logic import LossProcessor
from runtime.clock import SystemClock
from runtime.processor import Batch
from schemas.codec import SchemaStore
from schemas.records import AudioFrame
from schemas.symbols import Channels, Codec, FrameKind, Source

_POLL_RECORDS = 4000
_ROUNDS = 4
_COLUMNS = 20
_WINDOW_S = 5
_COMMIT_S = 0.15
_SHORT_MS = 20
_clock = SystemClock()


class Mix(NamedTuple):
    """What the sessions of a measurement are like; shares of the packets."""

    name: str
    frame_ms: int = 20
    numbered: bool = True
    lost: float = 0.0
    copied: float = 0.0
    swapped: float = 0.0


MIXES = (
    Mix("", lost=0.02, copied=0.01, swapped=0.01),
    Mix("light_", lost=0.005, copied=0.0025, swapped=0.0025),
    Mix("clean_"),
    Mix("unnumbered_", numbered=False),
    Mix("unnumbered_200ms_", numbered=False, frame_ms=200),
)


def numbers(mix: Mix, frames: int, chance: np.random.Generator) -> list[int]:
    """Return the packet numbers of a session in the order of their arrival."""
    sent = np.arange(frames)
    sent = sent[chance.random(frames) >= mix.lost]
    sent = np.repeat(sent, 1 + (chance.random(len(sent)) < mix.copied))
    disorder = np.where(chance.random(len(sent)) < mix.swapped, 1.5, 0)
    return list(map(int, sent[np.argsort(sent + disorder, kind="stable")]))


def frames_of(mix: Mix, sessions: int, frames_per_session: int) -> Iterator[AudioFrame]:
    """Return the frames of whole sessions, all advancing together."""
    chance = np.random.default_rng(1)
    ids = [chance.bytes(16) for _ in range(sessions)]
    arrivals = [numbers(mix, frames_per_session, chance) for _ in range(sessions)]
    delays = np.round(chance.gamma(2, 0.002, 4096), 6)
    samples = RATE_HZ * mix.frame_ms // 1000
    window = _WINDOW_S * 1000 // mix.frame_ms
    payload = b"\xff" * samples * (1 if mix.numbered else 2)
    for sequence in range(frames_per_session):
        for at, (session, arrival) in enumerate(zip(ids, arrivals, strict=True)):
            if sequence >= len(arrival):
                continue
            number = arrival[sequence] + at * window // sessions
            stated: dict[str, Any] = {}
            if mix.numbered:
                stated = {"source_sequence": number % 65_536, "source_sequence_bits": 16, "stream": 7}
                stated |= {"source_timestamp": number * samples % 2**32, "source_timestamp_bits": 32}
                stated |= {"source_clock_hz": RATE_HZ}
            yield AudioFrame(
                kind=FrameKind.AUDIO,
                source=Source.RTP if mix.numbered else Source.AUDIOHOOK,
                codec=Codec.PCMU,
                channels=Channels.EXTERNAL if mix.numbered else Channels.EXTERNAL_INTERNAL,
                sample_rate_hz=RATE_HZ,
                session_id=session,
                sequence=sequence,
                position_samples=number * samples,
                duration_samples=samples,
                captured_at_s=1.0 + number * mix.frame_ms / 1000 + float(delays[(number + at) % len(delays)]),
                payload=payload,
                **stated,
            )


def polls(mix: Mix, sessions: int, frames_per_session: int) -> list[Batch]:
    """Return decoded polls."""
    store = SchemaStore()
    values = list(map(FrameEncoder(store).encode, frames_of(mix, sessions, frames_per_session)))
    found = [decode(values[at : at + _POLL_RECORDS], store) for at in range(0, len(values), _POLL_RECORDS)]
    return [Batch(frames, (b"c",) * len(frames), 0) for frames in found]


class Step:
    """The processor with its state; counts what it emits."""

    def __init__(self) -> None:
        self.processor = LossProcessor()
        self.state = self.processor.new_state()
        self.reports = 0

    def take(self, batch: Batch) -> None:
        """Take a poll."""
        self.processor.process(batch, self.state, self._emit)

    def _emit(self, _row: int, _record: object) -> None:
        self.reports += 1


class Walk:
    """The least that any step in columns does: find the sessions, then read and write columns, one row of each."""

    def __init__(self) -> None:
        self._table = SessionTable()
        self._columns = np.zeros((_COLUMNS, 0), np.int64)

    def take(self, batch: Batch) -> None:
        """Take a poll."""
        slots = self._table.identify(batch.frames, batch.keys, batch.stream_time_ms).slots
        if self._table.capacity > self._columns.shape[1]:
            self._columns = np.zeros((_COLUMNS, self._table.capacity), np.int64)
        order = by_slot(slots)
        grouped = slots[order]
        first = np.flatnonzero(np.append(np.True_, grouped[1:] != grouped[:-1]))
        rank = np.arange(len(slots)) - np.repeat(first, np.diff(np.append(first, len(slots))))
        for one in range(int(rank.max()) + 1):
            rows = grouped[rank == one]
            for column in self._columns:
                column[rows] = column.take(rows) + 1


def cpu_s() -> float:
    """Return the seconds of CPU this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(take: Callable[[Batch], None], batches: list[Batch], warm: int) -> tuple[float, float]:
    """Return seconds of CPU and of the clock for the batches behind the first `warm`."""
    for batch in batches[:warm]:
        take(batch)
    began_s, began_cpu_s = _clock.monotonic_s(), cpu_s()
    for batch in batches[warm:]:
        take(batch)
    return cpu_s() - began_cpu_s, _clock.monotonic_s() - began_s


def snapshots(batches: list[Batch], warm: int, every: int) -> tuple[float, float, int]:
    """Return ms of CPU of the median snapshot, of one that writes everything anew, and its bytes."""
    step, spent = Step(), []
    for at, batch in enumerate(batches):
        step.take(batch)
        if at >= warm and at % every == 0:
            began_s = cpu_s()
            step.processor.snapshot(step.state)
            spent.append(1000 * (cpu_s() - began_s))
    step.state.packed.clear()
    began_s = cpu_s()
    size = len(step.processor.snapshot(step.state))
    return median(spent), 1000 * (cpu_s() - began_s), size


def measure(mix: Mix, sessions: int, frames_per_session: int) -> dict[str, float]:
    """Return the numbers of one mix, as they are printed."""
    batches = polls(mix, sessions, frames_per_session)
    gc.collect()
    gc.freeze()
    warm = -(-sessions * 1000 // mix.frame_ms // _POLL_RECORDS)
    total = sum(len(batch.frames) for batch in batches[warm:])
    spent_s, elapsed_s, ratios = [], [], []
    for number in range(_ROUNDS):
        step = Step()
        cpu, elapsed = timed(step.take, batches, warm)
        walk, _ = timed(Walk().take, batches, warm)
        spent_s.append(cpu)
        elapsed_s.append(elapsed)
        ratios.append(walk / cpu)
        rate = f"{total / cpu:.0f} frames/s of CPU, {total / elapsed:.0f} by the clock"
        print(f"{mix.name or 'lossy_'} round {number}: {rate}, {step.reports} reports, walk ratio {walk / cpu:.2f}")
    found: dict[str, float] = {
        "frames_per_s": round(total / min(spent_s)),
        "frames_per_s_by_clock": round(total / min(elapsed_s)),
    }
    found |= {"walk_ratio": round(max(ratios), 3)}
    if mix.numbered:
        every = max(1, round(sessions * _COMMIT_S * 1000 / mix.frame_ms / _POLL_RECORDS))
        some_ms, all_ms, size = snapshots(batches, warm, every)
        found |= {"snapshot_ms": round(some_ms, 1), "snapshot_all_ms": round(all_ms, 1)}
        found |= {"state_bytes_per_session": round(size / sessions)}
    return {mix.name + name: value for name, value in found.items()}


def main(sessions: int, frames_per_session: int) -> None:
    """Measure each mix."""
    gc.set_threshold(1_000, 5, 2_000)  # as the service does
    found: dict[str, float] = {}
    for mix in MIXES:
        found |= measure(mix, sessions, frames_per_session if mix.frame_ms == _SHORT_MS else frames_per_session // 4)
    result("loss_cpu", **found, sessions=sessions)


if __name__ == "__main__":
    arguments = [int(value) for value in sys.argv[1:]]
    main(*(arguments + [1000, 300][len(arguments) :]))
