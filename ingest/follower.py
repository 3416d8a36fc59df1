"""The table of wishes → what `Dialling` follows. It decides; who reads the table and who dials are given to it.

A subscription is followed while its record stands, is ours and has not expired. One that cannot be followed is logged,
counted and kept as a dead letter, and changes nothing for the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from ingest.identity import Lineage, Predecessor, one_spelling
from ingest.predecessors import Sought
from ingest.protocol import Call, Ended
from ingest.wishes import call_of
from runtime.clock import Clock
from runtime.errors import CallstreamError
from runtime.kafka import Partitioner
from runtime.log import Logger
from runtime.metrics import INGEST_FOLLOW_REFUSED, INGEST_FOLLOW_TAKEN_OVER, INGEST_FOLLOWED
from runtime.table_rows import Row
from schemas.codec import SchemaStore, split
from schemas.errors import InvalidRecord
from schemas.records import Subscription
from schemas.symbols import Reason, Source

_LEARN_S = 5.0
"""For so long at most a turn waits for the registry."""
_EXPIRED = Ended(Reason.END, message="the subscription has expired")


class Follows(Protocol):
    """As much of `Dialling` as is used here."""

    @property
    def followed(self) -> Mapping[tuple[str, str], Call]:
        """The calls that are followed, by source name and conversation id."""

    def refusal(self, source_name: str, call: Call) -> str | None:
        """Return what stands against following a call; None where nothing is known to."""

    def follow(self, source_name: str, call: Call) -> str | None:
        """Follow a call. Return why it cannot be; None: it is."""

    def unfollow(self, source_name: str, conversation_id: str, ended: Ended) -> None:
        """Follow it no longer."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the follower works with.

    `resolve` gets schemas the store does not know; `predecessors` finds who had calls before; both raise `Unavailable`.
    `refused` keeps a record that cannot be followed, with the reason.
    """

    dialling: Follows
    lineage: Lineage
    store: SchemaStore
    clock: Clock
    log: Logger
    resolve: Callable[[Collection[int]], Awaitable[None]]
    predecessors: Callable[[Collection[Sought]], Awaitable[Mapping[Sought, Predecessor]]]
    refused: Callable[[Row, str], None]


@dataclass(frozen=True, slots=True)
class _Wish:
    source_name: str
    call: Call
    expires_at_us: int

    @property
    def target(self) -> tuple[str, str]:
        return self.source_name, self.call.conversation_id


class Follower:
    """Implements `runtime.group_table.TableListener`. Keys are the records'."""

    def __init__(self, means: Means, partitions: int) -> None:
        self._means = means
        self._dialling = means.dialling
        self._log = means.log
        self._partitioner = Partitioner(partitions)
        self._wishes: dict[bytes, _Wish] = {}
        self._unreadable: dict[bytes, Row] = {}
        self._counted: set[str] = set()
        self._held = False
        self._one = asyncio.Lock()

    def hold(self) -> None:
        """Change nothing any more: the process drains, and its sessions end by that."""
        self._held = True

    # --- the table -----------------------------------------------------------------------------------------------

    async def took(self, rows: Sequence[Row]) -> None:
        """Follow what partitions hold that are ours now, each call from where another process left it."""
        async with self._one:
            await self._take(rows)

    async def changed(self, row: Row) -> None:
        """Follow, change or end what a new record says."""
        async with self._one:
            self._apply(row, self._read(row))

    async def revoked(self, keys: Sequence[bytes]) -> None:
        """End what another process follows now."""
        async with self._one:
            for key in keys:
                self._unreadable.pop(key, None)
                self._end(key, Ended(Reason.TAKEOVER))
            self._count()

    async def turn(self) -> None:
        """Do what is due: end what has expired, and read what could not be read before its schema was here."""
        async with self._one:
            for key, wish in list(self._wishes.items()):
                if self._expired(wish):
                    self._log.info(
                        "a subscription has expired", source=wish.source_name, conversation=wish.call.conversation_id
                    )
                    self._end(key, _EXPIRED)
        answered = await self._learn()
        async with self._one:
            await self._take(list(self._unreadable.values()), answered)
            self._count()

    # --- decisions -----------------------------------------------------------------------------------------------

    async def _take(self, rows: Sequence[Row], answered: AbstractSet[int] = frozenset()) -> None:
        read = [(row, self._read(row, answered)) for row in rows]
        await self._look_back([(wish, row) for row, wish in read if wish is not None and not self._expired(wish)])
        for row, wish in read:
            self._apply(row, wish)

    async def _learn(self) -> AbstractSet[int]:
        """Ask for the schemas of what could not be read, and return those ids of which an answer came.

        Nobody else waits for it: a registry that does not answer must not hold up what can be read.
        """
        answered: set[int] = set()
        unknown = sorted({split(row.value) for row in self._unreadable.values() if row.value is not None})
        if not unknown:
            return answered
        try:
            async with asyncio.timeout(_LEARN_S):
                for schema_id in unknown:
                    await self._means.resolve([schema_id])
                    answered.add(schema_id)
        except (CallstreamError, TimeoutError) as error:
            self._log.warning(
                "subscriptions cannot be read yet", error=str(error) or "no answer", count=len(self._unreadable)
            )
        return answered

    def _read(self, row: Row, answered: AbstractSet[int] = frozenset()) -> _Wish | None:
        """Return what a record asks for; None for a tombstone and for what cannot be followed.

        One whose schema is not here is read again, unless it was asked for and this is all there is (`answered`).
        """
        self._unreadable.pop(row.key, None)
        if row.value is None or self._held:
            return None
        try:
            schema_id = split(row.value)
            if self._means.store.get(schema_id) is None and schema_id not in answered:
                self._unreadable[row.key] = row
                return None
            wanted = self._means.store.decode(row.value, Subscription)
            self._check_place(row, wanted)
        except InvalidRecord as error:
            self._refuse(row, "invalid", str(error))
            return None
        return _Wish(wanted.source_name, call_of(wanted), wanted.expires_at_us)

    def _check_place(self, row: Row, wanted: Subscription) -> None:
        """Raise `InvalidRecord` where another process could follow the same call: its partition decides whose it is."""
        if not wanted.conversation_id:
            message = "it names no conversation"
            raise InvalidRecord(message)
        own = self._partitioner.partition(one_spelling(wanted.conversation_id).encode())
        if own != row.partition:
            message = (
                f"it stands in partition {row.partition}, its conversation's is {own}: "
                "the key must be the conversation's id, UUIDs in lower case"
            )
            raise InvalidRecord(message)

    async def _look_back(self, wishes: Sequence[tuple[_Wish, Row]]) -> None:
        """Note who followed these calls before; without an answer they are followed as calls nobody had."""
        followed = self._dialling.followed
        sought = {
            Sought(wish.call.conversation_id, _source_of(wish.source_name), row.partition)
            for wish, row in wishes
            if wish.target not in followed
        }
        if not sought:
            return
        try:
            found = await self._means.predecessors(sought)
        except (CallstreamError, InvalidRecord) as error:
            self._log.warning("who followed calls before us could not be read", error=str(error), count=len(sought))
            found = {}
        for one in sought:
            predecessor = found.get(one)
            INGEST_FOLLOW_TAKEN_OVER.labels("none" if predecessor is None else "found").inc()
            if predecessor is not None:
                self._means.lineage.take_over(one.source, one.conversation_id, predecessor)

    def _apply(self, row: Row, wish: _Wish | None) -> None:
        if self._held:
            return
        if row.value is None:
            self._end(row.key, Ended(Reason.END))
        elif wish is not None and self._expired(wish):
            self._end(row.key, _EXPIRED)
        elif wish is not None:
            refusal = self._follow(row.key, wish)
            if refusal is None:
                self._wishes[row.key] = wish
            else:
                self._means.lineage.left_s(_source_of(wish.source_name), wish.call.conversation_id)
                self._refuse(row, "refused", f"source {wish.source_name!r}: {refusal}")
        self._count()

    def _follow(self, key: bytes, wish: _Wish) -> str | None:
        """Follow a call in place of what its key asked for before. Return why it cannot be: then that goes on."""
        before = self._wishes.get(key)
        try:
            if before is not None and (before.target, before.call) != (wish.target, wish.call):
                refusal = self._dialling.refusal(wish.source_name, wish.call)
                if refusal is not None:
                    return refusal
                self._end(key, Ended(Reason.OTHER, message="the subscription was changed"))
            return self._dialling.follow(wish.source_name, wish.call)
        except Exception as error:  # noqa: BLE001 - one source's fault must not end the others
            self._log.error("a source we call failed", source=wish.source_name, exc_info=error)
            return f"it failed: {type(error).__name__}"

    def _end(self, key: bytes, ended: Ended) -> None:
        wish = self._wishes.pop(key, None)
        if wish is not None and not self._held and all(other.target != wish.target for other in self._wishes.values()):
            self._dialling.unfollow(*wish.target, ended)

    def _refuse(self, row: Row, reason: str, error: str) -> None:
        INGEST_FOLLOW_REFUSED.labels(reason).inc()
        self._log.error(
            "a subscription cannot be followed",
            reason=reason,
            error=error,
            partition=row.partition,
            offset=row.offset,
        )
        self._means.refused(row, error)

    def _expired(self, wish: _Wish) -> bool:
        return 0 <= wish.expires_at_us <= self._means.clock.wall_s() * 1e6

    def _count(self) -> None:
        sources = [source_name for source_name, _ in self._dialling.followed]
        self._counted.update(sources)
        for source_name in self._counted:
            INGEST_FOLLOWED.labels(source_name).set(sources.count(source_name))


def _source_of(name: str) -> Source:
    """Return the symbol of a source's name; UNKNOWN for one that has none of its own."""
    return Source.__members__.get(name.replace("-", "_").upper(), Source.UNKNOWN)
