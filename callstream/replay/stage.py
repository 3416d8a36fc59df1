"""The interface of what is replayed: one component without its host, records in, outputs out."""

from collections.abc import Callable, Sequence
from typing import Protocol

from runtime.processor import InputRecord
from runtime.task import Output
from schemas.topics import Topic

WantedConversation = Callable[[bytes | None], bool]
"""Whether outputs with this key are kept."""


class Stage(Protocol):
    """One component over all its input partitions.

    Life: `begin` → `take` … → `end`. Each partition's records come in order, those it only learns from first.
    """

    name: str
    input_topic: str
    """Catalogue name."""
    topics: tuple[Topic, ...]
    """What it writes to."""
    settings_hash: str

    async def begin(self, starts: Sequence[tuple[int, int]]) -> None:
        """Take (partition, first offset) pairs on. Raises `ConfigError` or `Unavailable`."""

    async def take(self, partition: int, records: Sequence[InputRecord], *, keep: bool) -> list[Output]:
        """Return what consecutive records make, in order. Where `keep` is False nothing of it is wanted.

        Raises `UsageError` or `Unavailable`.
        """

    async def end(self, *, kept: bool) -> None:
        """Release what was taken on; where `kept` is False also remove what was written elsewhere than to Kafka."""
