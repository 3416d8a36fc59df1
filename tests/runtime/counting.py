"""A small processor for tests of the engine: it counts frames and bytes per session.

It emits a window every `EVERY` accepted frames, a total when a session closes, and raises on a marked payload. Named
module, not a fixture, so that worker processes can import it too.
"""

import json

from audio.session import SessionTable, Verdict
from runtime.processor import Batch, Emit, ExpireEmit
from schemas.records import ActivityWindow, Origin
from schemas.symbols import ActivityKind, Channel, FrameKind

EVERY = 5
POISON = b"raise on me"
NOWHERE = Origin(topic="", partition=-1, offset=-1, index=-1)


class Counts:
    def __init__(self) -> None:
        self.sessions = SessionTable()
        self.frames: dict[bytes, int] = {}
        self.bytes: dict[bytes, int] = {}


class CountingProcessor:
    group = "silence"
    input_topic = "calls.audio"
    state_version = 1
    settings_hash = "0123456789abcdef"

    def sessions(self, state: Counts) -> SessionTable:
        return state.sessions

    def new_state(self) -> Counts:
        return Counts()

    def process(self, batch: Batch, state: Counts, emit: Emit) -> None:
        frames = batch.frames
        identity = state.sessions.identify(frames, batch.keys, batch.stream_time_ms)
        for row in range(len(frames)):
            if not identity.verdicts[row] & Verdict.ACCEPTED:
                continue
            session = frames.session_id[row].tobytes()
            if frames.kind[row] == FrameKind.AUDIO.code:
                payload = frames.payload(row)
                if payload == POISON:
                    raise ValueError("poison")
                state.frames[session] = state.frames.get(session, 0) + 1
                state.bytes[session] = state.bytes.get(session, 0) + len(payload)
                if state.frames[session] % EVERY == 0:
                    emit(row, self._window(state, session, ActivityKind.WINDOW, int(identity.slots[row])))
            elif frames.kind[row] == FrameKind.CLOSED.code:
                emit(row, self._window(state, session, ActivityKind.TOTAL, int(identity.slots[row])))

    def expire(self, stream_time_ms: int, state: Counts, emit: ExpireEmit) -> None:
        for slot in state.sessions.expire(stream_time_ms):
            emit(self._window(state, state.sessions.ids[slot], ActivityKind.TOTAL, slot))

    def _window(self, state: Counts, session: bytes, kind: ActivityKind, slot: int) -> ActivityWindow:
        return ActivityWindow(
            kind=kind,
            conversation_id=state.sessions.conversations[slot],
            session_id=session.hex(),
            channel=Channel.ALL,
            frames=state.frames.get(session, 0),
            bytes=state.bytes.get(session, 0),
            last_sequence=int(state.sessions.last[slot]) if kind is ActivityKind.TOTAL else -1,
            origin=NOWHERE,
        )

    def snapshot(self, state: Counts) -> bytes:
        counts = {session.hex(): [state.frames[session], state.bytes[session]] for session in sorted(state.frames)}
        return json.dumps([state.sessions.snapshot().hex(), counts]).encode()

    def restore(self, version: int, snapshot: bytes) -> Counts:
        state = Counts()
        sessions, counts = json.loads(snapshot)
        state.sessions = SessionTable.restore(bytes.fromhex(sessions))
        for session, (frames, size) in counts.items():
            state.frames[bytes.fromhex(session)] = frames
            state.bytes[bytes.fromhex(session)] = size
        return state
