"""The speech processor: a poll of AudioFrame records → copies of those that contain speech, and of all marks.

It runs the processor of silence over the same records and takes from it what speech began and ended by which row.
Within a session copies come in the order of its records. Where an interruption ends all spans, what waits is decided
and comes in front of it; where one may have ended none, what is not certain is copied.
"""

from operator import itemgetter
from typing import Final
from uuid import UUID

import numpy as np

from audio.frames import Frames
from audio.reorder import NEVER_WRAPS
from audio.session import SessionTable, Verdict
from processors.silence.logic import SilenceProcessor
from processors.silence.media import described, parts_of, usable
from processors.speech.holding import Bounds, Held, Session
from processors.speech.spans import micros
from processors.speech.state import SpeechState
from processors.speech.tuning import SpeechTuning
from runtime.errors import StateCorrupted
from runtime.processor import Batch, Copy, EmitAny, ExpireEmitAny
from schemas.records import Derived, SilenceEvent
from schemas.symbols import Channels, FrameKind
from schemas.topics import AUDIO, SPEECH

_ACCEPTED: Final = np.uint8(Verdict.ACCEPTED)
_AUDIO, _TICK, _ALIVE = FrameKind.AUDIO.code, FrameKind.TICK.code, FrameKind.ALIVE.code
_CLOSED: Final = FrameKind.CLOSED.code
_ENDING: Final = (_CLOSED, FrameKind.PAUSED.code, FrameKind.RESUMED.code)
"""Marks that end all spans."""
_JUMPING: Final = (FrameKind.GAP.code, FrameKind.DISCARDED.code)
"""Marks that end all spans where they reach beyond the head of the timeline."""
_ROUNDING_US: Final = 2_000
"""Marks may count in another rate than the audio: what is moved by less may be nothing."""
_INTERNAL: Final = Channels.INTERNAL.code
_LEAST_BITS, _MOST_BITS = 8, 32


class SpeechProcessor:
    """The `Processor` of calls.speech."""

    group = "speech"
    input_topic = AUDIO.name
    state_version = SilenceProcessor.state_version

    def __init__(self, tuning: SpeechTuning | None = None) -> None:
        tuning = SpeechTuning() if tuning is None else tuning
        self.settings_hash = tuning.settings_hash
        self._bounds = Bounds(tuning.margin_ms * 1000, tuning.hold_ms * 1000)
        self._silence = SilenceProcessor(tuning.silence)

    def sessions(self, state: SpeechState) -> SessionTable:
        """Return the sessions of the partition."""
        return state.silence.table

    def new_state(self) -> SpeechState:
        """Return the state of a partition nothing was read of."""
        return SpeechState()

    def process(self, batch: Batch, state: SpeechState, emit: EmitAny) -> None:
        """Take the batch into `state` and emit what follows from it."""
        found: list[tuple[int, SilenceEvent]] = []

        def heard(row: int, record: Derived) -> None:
            if isinstance(record, SilenceEvent):
                found.append((row, record))

        frames = batch.frames
        identity = state.table.identify(frames, batch.keys, batch.stream_time_ms)
        self._silence.process(batch, state.silence, heard)
        found.sort(key=itemgetter(0))
        wanted = (frames.ok & (frames.kind == _TICK)) | ((identity.verdicts & _ACCEPTED) != 0)
        poll = _Poll(batch, state, self._bounds, emit)
        audio = _described(frames, identity.slots, (identity.verdicts & _ACCEPTED) != 0)
        kinds, ids = frames.kind.tolist(), frames.session_id.tolist()
        noted = 0
        for row in np.flatnonzero(wanted).tolist():
            while noted < len(found) and found[noted][0] <= row:
                self._note(state, found[noted][1])
                noted += 1
            poll.row(row, kinds[row], ids[row], audio.get(row))
        for _, event in found[noted:]:
            self._note(state, event)

    def expire(self, stream_time_ms: int, state: SpeechState, emit: ExpireEmitAny) -> None:
        """Decide what waits of the sessions that have lost their ingest."""

        def heard(record: Derived) -> None:
            if isinstance(record, SilenceEvent):
                self._note(state, record)

        self._silence.expire(stream_time_ms, state.silence, heard)

        def let(held: Held, passes: bool) -> None:
            if _decided(state, held, passes=passes):
                emit(Copy(SPEECH.name, held.key, held.value))

        for slot in state.table.expire(stream_time_ms):
            session = state.sessions.pop(state.table.ids[slot], None)
            if session is not None:
                session.flush(self._bounds, let, certain=True)

    def snapshot(self, state: SpeechState) -> bytes:
        """Return the state as canonical bytes."""
        return state.snapshot(self._silence.snapshot(state.silence))

    def restore(self, version: int, snapshot: bytes) -> SpeechState:
        """Return the state a snapshot was taken of. Raises `StateCorrupted` when it cannot be read."""
        try:
            state = SpeechState(self._silence.restore(version, SpeechState.silence_of(snapshot)))
            state.restore(snapshot)
        except StateCorrupted:
            raise
        except Exception as error:  # what struct raises on other bytes
            message = f"the state of speech cannot be read: {type(error).__name__}"
            raise StateCorrupted(message) from error
        return state

    def _note(self, state: SpeechState, event: SilenceEvent) -> None:
        session_id = UUID(event.session_id).bytes
        state.sessions.setdefault(session_id, Session()).spans.note(event, self._bounds.keep_us)


class _Poll:
    """Takes the rows of one poll, one after another."""

    def __init__(self, batch: Batch, state: SpeechState, bounds: Bounds, emit: EmitAny) -> None:
        self._batch = batch
        self._state = state
        self._bounds = bounds
        self._emit = emit
        self._row = 0

    def row(self, row: int, kind: int, session_id: bytes, audio: tuple[int, int, int, int, bool] | None) -> None:
        """Take an accepted row or a tick. `audio` is None where nothing can be said of it."""
        self._row = row
        held = Held(self._batch.keys[row], self._batch.values[row] or b"", kind == _AUDIO)
        if kind == _TICK:
            self._let(held, passes=True)
            return
        session = self._state.sessions.get(session_id)
        if session is None:
            session = self._state.sessions[session_id] = Session()
        if audio is not None:
            media, held.lane, held.start_us, held.end_us, numbered = audio
            held.sure, held.layout = False, parts_of(media)[1]
            session.audio(held, media, numbered=numbered)
        else:
            self._other(session, row, kind)
            session.waiting.append(held)
        session.release(self._bounds, self._let)
        if kind == _CLOSED:
            del self._state.sessions[session_id]

    def _other(self, session: Session, row: int, kind: int) -> None:
        """Decide what a mark in front of which everything else comes makes certain, or no longer lets wait."""
        if kind in _ENDING:
            self._moved(session, row)
            session.flush(self._bounds, self._let, certain=True)
        elif kind in _JUMPING:
            session.flush(self._bounds, self._let, certain=self._interrupts(session, row))
        elif kind == _ALIVE:
            if session.still:
                session.flush(self._bounds, self._let, certain=False)
            session.still = True

    def _interrupts(self, session: Session, row: int) -> bool:
        """Tell whether a mark surely reaches beyond all there was; it then ends all spans."""
        duration_us = self._moved(session, row)
        return duration_us < 0 or duration_us > _ROUNDING_US

    def _moved(self, session: Session, row: int) -> int:
        """Return by how much a mark surely moves the head of the timeline on, in µs; -1 where nobody knows."""
        frames = self._batch.frames
        position, duration = int(frames.position_samples[row]), int(frames.duration_samples[row])
        rate_hz = int(frames.sample_rate_hz[row])
        if rate_hz <= 0:
            rate_hz, _, _ = parts_of(session.lanes[0].media)
        if duration < 0 or rate_hz == 0:
            return -1
        peak_us = session.peak_us
        end_us = peak_us + micros(duration, rate_hz) if position < 0 else micros(position + duration, rate_hz)
        session.peak_us = max(peak_us, end_us)
        return session.peak_us - peak_us

    def _let(self, held: Held, passes: bool) -> None:
        if _decided(self._state, held, passes=passes):
            self._emit(self._row, Copy(SPEECH.name, held.key, held.value))


def _decided(state: SpeechState, held: Held, *, passes: bool) -> bool:
    if held.audio:
        state.bytes_of["passed" if passes else "left_out"] += len(held.value)
    return passes


def _described(
    frames: Frames,
    slots: np.ndarray[tuple[int], np.dtype[np.int64]],
    accepted: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> dict[int, tuple[int, int, int, int, bool]]:
    """Return media, lane, start and end in µs, and whether it is numbered, of the audio rows that can be judged."""
    row = usable(frames, slots, accepted)
    rows = described(frames, row, slots[row])
    judged = ~rows.mark & (rows.sample_bytes > 0)
    row = rows.row[judged]
    bits = frames.source_sequence_bits[row]
    numbered = ((bits >= _LEAST_BITS) & (bits <= _MOST_BITS)) | (bits == NEVER_WRAPS)
    numbered &= frames.source_sequence[row] >= 0
    lane = (numbered & (frames.channels[row] == _INTERNAL)).astype(np.int64)
    rate_hz = frames.sample_rate_hz[row].tolist()
    start, samples = rows.position[judged].tolist(), rows.samples[judged].tolist()
    columns = zip(
        row.tolist(),
        rows.media[judged].tolist(),
        lane.tolist(),
        rate_hz,
        start,
        samples,
        numbered.tolist(),
        strict=True,
    )
    return {
        each: (known, of, micros(begin, rate), micros(begin + length, rate), number)
        for each, known, of, rate, begin, length, number in columns
    }
