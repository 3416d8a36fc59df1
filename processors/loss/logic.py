"""The loss processor: a poll of AudioFrame columns → LossReport.

Order of the outputs of one row: a stall that begins or ends, then windows in the order of time, alarms behind the
report that caused them; of one moment the streams by channel and SSRC, channel ALL last.
"""

from typing import Final

import numpy as np

from audio.frames import Frames
from audio.session import SessionTable, Verdict
from processors.loss import columns, snapshot
from processors.loss.ledger import Ledger
from processors.loss.plain import Plain
from processors.loss.report import Report
from processors.loss.rounds import MIN_ROUND, Rounds
from processors.loss.rows import table_of
from processors.loss.state import LossState
from processors.loss.tuning import Tuning
from runtime.errors import StateCorrupted
from runtime.processor import Batch, Emit, ExpireEmit
from schemas.records import Derived
from schemas.symbols import FrameKind, Reason
from schemas.topics import AUDIO

_ACCEPTED: Final = np.uint8(Verdict.ACCEPTED)
_CLOSED: Final = FrameKind.CLOSED.code
_IDLE: Final = Reason.IDLE.code


class LossProcessor:
    """The `Processor` of calls.loss. `min_round`: so many sessions are worth stepping together."""

    group = "loss"
    input_topic = AUDIO.name
    state_version = 3

    def __init__(self, tuning: Tuning | None = None, min_round: int = MIN_ROUND) -> None:
        self._tuning = Tuning() if tuning is None else tuning
        self._min_round = min_round
        self.settings_hash = self._tuning.settings_hash

    def sessions(self, state: LossState) -> SessionTable:
        """Return the sessions of the partition."""
        return state.table

    def new_state(self) -> LossState:
        """Return the state of a partition nothing was read of."""
        return LossState(self._tuning.window_s)

    def process(self, batch: Batch, state: LossState, emit: Emit) -> None:
        """Take the batch into `state` and emit what follows from it.

        The table of sessions tells what is known behind the last row, and that changes at INFO and where a session
        closed as idle returns. So the batch is cut there: what a row causes is told with what was known at that row.
        """
        cuts = _cuts(batch.frames)
        for start, stop in zip([0, *cuts], [*cuts, len(batch.frames)], strict=True):
            frames = batch.frames.slice(start, stop) if cuts else batch.frames

            def shifted(row: int, record: Derived, start: int = start) -> None:
                emit(start + row, record)

            identity = state.table.identify(frames, batch.keys[start:stop], batch.stream_time_ms)
            state.fit()
            table = table_of(frames, identity.slots, (identity.verdicts & _ACCEPTED) != 0)
            ledger = self._ledger(state, shifted, batch.stream_time_ms)
            plain = Plain(state, self._tuning, batch.stream_time_ms)
            Rounds(plain, ledger, self._min_round).take(table)

    def expire(self, stream_time_ms: int, state: LossState, emit: ExpireEmit) -> None:
        """Close the sessions that have lost their ingest, miss the audio of others; forget those closed long ago."""

        def keep(_row: int, record: Derived) -> None:
            emit(record)

        ledger = self._ledger(state, keep, stream_time_ms)
        ended = set(state.table.expire(stream_time_ms))
        silent = set(self._silent(state, stream_time_ms)) - ended
        for slot in sorted(ended | silent, key=lambda slot: state.table.ids[slot]):
            if slot in ended:
                ledger.expire(slot)
            else:
                ledger.missing_audio(slot)
        for slot in state.forgotten():
            state.drop(slot)

    def _silent(self, state: LossState, now_ms: int) -> list[int]:
        """Return the sessions without audio for too long, of which audio is due and no alarm stands yet."""
        held = state.sessions
        since_ms = held[columns.AUDIO_MS]
        late = (held[columns.RATE] > 0) & (since_ms >= 0) & (now_ms - since_ms >= self._tuning.no_audio_s * 1000)
        found: list[int] = np.flatnonzero(late).tolist()
        known = state.known
        return [slot for slot in found if not (known[slot].paused or known[slot].no_audio_alarm)]

    def snapshot(self, state: LossState) -> bytes:
        """Return the state as canonical bytes."""
        return snapshot.snapshot(state)

    def restore(self, version: int, content: bytes) -> LossState:
        """Return the state a snapshot was taken of. Raises `StateCorrupted` when it cannot be read."""
        if version != self.state_version:
            message = f"loss state of version {version} is not known, only {self.state_version}"
            raise StateCorrupted(message)
        return snapshot.restore(content, self._tuning.window_s)

    def _ledger(self, state: LossState, emit: Emit, now_ms: int) -> Ledger:
        report = Report(state, self.settings_hash, emit, concealment=self._tuning.concealment)
        return Ledger(state, self._tuning, report, now_ms)


def _cuts(frames: Frames) -> list[int]:
    cuts = {row for row in frames.infos if frames.sequence[row] != 0}
    closed = np.flatnonzero((frames.kind == _CLOSED) & (frames.reason == _IDLE))
    cuts.update((closed + 1).tolist())
    return sorted(cuts - {0, len(frames)})
