"""The processors of the fault suite: silence as shipped, made to raise on a marked payload, and one without state."""

from typing import Any

from audio.session import SessionTable
from processors.silence.config import SilenceSettings, tuning
from processors.silence.logic import SilenceProcessor
from processors.silence.state import SilenceState
from runtime.processor import Batch, Emit, ExpireEmit, Processor
from schemas.records import ActivityWindow, Origin
from schemas.symbols import ActivityKind, Channel

POISON = b"raise on me!"
NOWHERE = Origin(topic="", partition=-1, offset=-1, index=-1)


class Silence(SilenceProcessor):
    """Silence with its default settings; raises on frames whose payload is POISON."""

    def __init__(self) -> None:
        super().__init__(tuning(SilenceSettings()))

    def process(self, batch: Batch, state: SilenceState, emit: Emit) -> None:
        frames = batch.frames
        if any(frames.ok[row] and frames.payload(row) == POISON for row in range(len(frames))):
            raise ValueError("poison")
        super().process(batch, state, emit)


class Mirror:
    """One record out for each accepted record in; keeps nothing, so that a host without state can run it too."""

    group = "silence"
    input_topic = "calls.audio"
    state_version = 1
    settings_hash = "0123456789abcdef"

    def sessions(self, state: SessionTable) -> SessionTable:
        return state

    def new_state(self) -> SessionTable:
        return SessionTable()

    def process(self, batch: Batch, state: SessionTable, emit: Emit) -> None:
        frames = batch.frames
        for row in range(len(frames)):
            if frames.ok[row]:
                emit(
                    row,
                    ActivityWindow(
                        kind=ActivityKind.WINDOW,
                        conversation_id=(batch.keys[row] or b"").decode(),
                        session_id=frames.session_id[row].tobytes().hex(),
                        channel=Channel.ALL,
                        last_sequence=int(frames.sequence[row]),
                        origin=NOWHERE,
                    ),
                )

    def expire(self, stream_time_ms: int, state: SessionTable, emit: ExpireEmit) -> None:
        """Keep nothing, expire nothing."""

    def snapshot(self, state: SessionTable) -> bytes:
        return b""

    def restore(self, version: int, snapshot: bytes) -> SessionTable:
        return SessionTable()


KINDS: dict[str, type] = {"silence": Silence, "mirror": Mirror}
OUTPUTS = {"silence": ("calls.silence", "calls.activity"), "mirror": ("calls.activity",)}


def processor(kind: str, topic: str) -> Processor[Any]:
    """A processor of that kind which reads `topic`."""
    made = KINDS[kind]()
    made.input_topic = topic
    return made
