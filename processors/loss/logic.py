"""The loss processor: a poll of AudioFrame columns → LossReport.

Order of the outputs of one row: a stall that begins or ends, then windows in the order of time, alarms behind the
report that caused them; of one moment the streams by channel and SSRC, channel ALL last.
"""

from typing import Final

import numpy as np

from audio.frames import Frames
from audio.session import SessionTable, Verdict
from processors.loss.ledger import Ledger
from processors.loss.report import EXPIRED, Cause, Report
from processors.loss.rows import rows_of
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
    """The `Processor` of calls.loss."""

    group = "loss"
    input_topic = AUDIO.name
    state_version = 1

    def __init__(self, tuning: Tuning | None = None) -> None:
        self._tuning = Tuning() if tuning is None else tuning
        self.settings_hash = self._tuning.settings_hash

    def sessions(self, state: LossState) -> SessionTable:
        """Return the sessions of the partition."""
        return state.table

    def new_state(self) -> LossState:
        """Return the state of a partition nothing was read of."""
        return LossState()

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
            ledger = Ledger(state, self._tuning, Report(state, self.settings_hash, shifted))
            for row in rows_of(frames, identity.slots, (identity.verdicts & _ACCEPTED) != 0):
                ledger.take(row)

    def expire(self, stream_time_ms: int, state: LossState, emit: ExpireEmit) -> None:
        """Close the sessions that have lost their ingest; forget those closed long ago."""

        def keep(_row: int, record: Derived) -> None:
            emit(record)

        ledger = Ledger(state, self._tuning, Report(state, self.settings_hash, keep))
        for slot in state.table.expire(stream_time_ms):
            ledger.finish(slot, Cause(EXPIRED))

    def snapshot(self, state: LossState) -> bytes:
        """Return the state as canonical bytes."""
        return state.snapshot()

    def restore(self, version: int, snapshot: bytes) -> LossState:
        """Return the state a snapshot was taken of. Raises `StateCorrupted` when it cannot be read."""
        if version != self.state_version:
            message = f"loss state of version {version} is not known"
            raise StateCorrupted(message)
        return LossState.restore(snapshot)


def _cuts(frames: Frames) -> list[int]:
    cuts = {row for row in frames.infos if frames.sequence[row] != 0}
    closed = np.flatnonzero((frames.kind == _CLOSED) & (frames.reason == _IDLE))
    cuts.update((closed + 1).tolist())
    return sorted(cuts - {0, len(frames)})
