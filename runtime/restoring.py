"""Where a partition's processing goes on, and when it must not: the changelog's entry held against the input's log.

What cannot be told for sure is a stop that names the place and the command that helps, never a jump: a state that
cannot be read is not replaced by an empty one, an offset the log no longer holds is not replaced by another.
"""

from dataclasses import dataclass
from typing import Protocol

from runtime.checkpoint import Application, Restored
from runtime.errors import ConfigError, StateCorrupted
from runtime.kafka import TopicPartition


class InputLog(Protocol):
    """What may be asked about an input partition. All raise `Unavailable`."""

    async def bounds(self, tp: TopicPartition) -> tuple[int, int]:
        """Return the first offset and the one behind the last record."""

    async def first_since(self, tp: TopicPartition, timestamp_ms: int) -> tuple[int, int] | None:
        """Return offset and timestamp of the first record that is not older; None where all are older."""

    async def group_offset(self, tp: TopicPartition) -> int | None:
        """Return the offset the group committed for lag tools; None where it never did."""


@dataclass(frozen=True, slots=True)
class Stops:
    """Words the stops of one partition."""

    application: Application
    tp: TopicPartition

    def error(self, what: str, *, repeats: bool = False, first: int = 0) -> ConfigError:
        """Return the stop that says `what` is wrong, and how to begin anew. `repeats`: outputs would come twice."""
        number = self.tp.partition
        prefix = f"TOPIC_PREFIX={self.application.prefix} " if self.application.prefix else ""
        cost = f", and outputs from offset {first} on are written a second time" if repeats else ""
        message = (
            f"{self.application.application_id}: {self.tp.topic}/{number}: {what}. Nothing was skipped. To begin anew "
            f"at the log's first offset with an empty state: `{prefix}callstream state reset {self.application.group} "
            f"{number} --yes`; what was counted of calls under way is lost then{cost}"
        )
        return ConfigError([message])

    def unreadable(self, found: Restored, first: int, error: StateCorrupted) -> ConfigError:
        """Return the stop for an entry of the changelog that cannot be read."""
        entry = found.entry
        stands = f" (state version {entry.version}, position {entry.position})" if entry else ""
        what = (
            f"the state at {self.application.changelog_topic}/{self.tp.partition} offset {found.offset}{stands} cannot "
            f"be used: {error}. Run the release that wrote it, or one that reads it"
        )
        return self.error(what, repeats=True, first=first)


async def check_place(found: Restored, log: InputLog, stops: Stops) -> int:
    """Return the log's first offset. Raises `ConfigError` when processing cannot go on where the changelog says.

    A topic that was deleted and made anew is noticed although it may be longer than the old one by now: of the records
    up to the position, the log must still hold one with the greatest timestamp among them, as its first of that age.
    What is not noticed: a new topic that has itself lost everything up to exactly the position.
    """
    tp, entry = stops.tp, found.entry
    first, end = await log.bounds(tp)
    if entry is None:
        if found.offset < 0:
            await _check_first_start(first, log, stops)
        return first
    position, span = entry.position, f"the log holds {first} to {end}"
    if position < first:
        lost = first - position
        what = (
            f"processing stands at offset {position}, which was deleted by retention ({span}: {lost} were never read)"
        )
        raise stops.error(what)
    if position > end:
        what = f"processing stands at offset {position}, which was never written: a new topic? ({span})"
        raise stops.error(what)
    if first < position and entry.max_timestamp_ms >= 0:
        oldest = await log.first_since(tp, entry.max_timestamp_ms)
        if oldest is None or oldest[0] >= position or oldest[1] != entry.max_timestamp_ms:
            what = (
                f"the records up to offset {position} are not those that were processed: "
                f"the topic was deleted and made anew ({span})"
            )
            raise stops.error(what)
    return first


async def _check_first_start(first: int, log: InputLog, stops: Stops) -> None:
    """Tell a first start from a changelog that was lost: the group remembers how far processing was."""
    reached = await log.group_offset(stops.tp)
    if reached is not None and reached > first:
        what = (
            f"{stops.application.changelog_topic} holds no state, but the group has processed up to offset {reached}: "
            f"the changelog was lost"
        )
        raise stops.error(what, repeats=True, first=first)
