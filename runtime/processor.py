"""The interface of a processor: a pure object that turns a poll of frames into records.

The task host (`runtime.worker`) owns consumer, producer, commits and time; a processor owns what the frames mean. It is
synchronous, reads no clock, draws no random numbers, and gives the same outputs however its input was cut into polls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from audio.frames import Frames
from audio.session import SessionTable
from schemas.records import Derived

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Copy:
    """An output that is an input record once more: key and value as received, for `topic` (catalogue name)."""

    topic: str
    key: bytes | None
    value: bytes


Emit = Callable[[int, Derived], None]
"""`emit(row, record)` names the row that causes the output. The host sorts stably by row and fills in `origin`."""

ExpireEmit = Callable[[Derived], None]
"""`emit(record)` of `expire`; outputs must come in (session id, channel) order."""

EmitAny = Callable[[int, Derived | Copy], None]
"""An `Emit` that takes copies too: what the host gives to every processor."""

ExpireEmitAny = Callable[[Derived | Copy], None]
"""An `ExpireEmit` that takes copies too."""


class InputRecord(Protocol):
    """What tasks and sinks may use of a consumed record."""

    @property
    def offset(self) -> int:
        """Offset in the input partition."""

    @property
    def timestamp(self) -> int:
        """Broker timestamp, ms since the epoch."""

    @property
    def key(self) -> bytes | None:
        """Key bytes."""

    @property
    def value(self) -> bytes | None:
        """Value bytes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive records of one input partition.

    `keys` are the record keys, `values` the values as received. `stream_time_ms` is the partition's stream time at the
    start of the batch; it moves during the batch by less than a second, and `expire` is called whenever it crosses one.
    Rows with `frames.ok` False are dead letters: identity steps over them, nothing else may.
    """

    frames: Frames
    keys: tuple[bytes | None, ...]
    stream_time_ms: int
    values: Sequence[bytes | None] = ()


class Processor(Protocol[State]):
    """What a component of `processors/` hands to the task host.

    How to get it wrong: keeping anything outside `state`; emitting in an order that depends on slots or hashes; letting
    a floating-point sum whose order depends on the batch decide something; using rows that are not accepted.
    """

    group: str
    """Component name, consumer group, and the prefix of its own topics."""

    input_topic: str
    """Catalogue name of the input."""

    state_version: int
    """Format of `snapshot`; `restore` must read every version ever released."""

    settings_hash: str
    """Digest of the settings that shape outputs, 16 hex digits."""

    def new_state(self) -> State:
        """Return the state of a partition nothing was read of."""

    def process(self, batch: Batch, state: State, emit: EmitAny) -> None:
        """Take the batch into `state` and emit what follows from it."""

    def expire(self, stream_time_ms: int, state: State, emit: ExpireEmitAny) -> None:
        """Let stream time pass: close what is idle, forget what is over. Called at most once a second of it."""

    def sessions(self, state: State) -> SessionTable:
        """Return the state's table of sessions; the host reads its tally for metrics."""

    def snapshot(self, state: State) -> bytes:
        """Return the state as canonical bytes: equal states give equal bytes."""

    def restore(self, version: int, snapshot: bytes) -> State:
        """Return the state a snapshot was taken of. Raises `StateCorrupted` when it cannot be read."""
