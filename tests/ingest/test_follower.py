"""The table of wishes → what is followed: decisions, with what dials and what reads replaced."""

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import pytest

from ingest.follower import Follower, Means
from ingest.identity import Lineage, Predecessor
from ingest.predecessors import Sought
from ingest.protocol import Call, Ended
from runtime.clock import ManualClock
from runtime.errors import InvalidRecord, Unavailable
from runtime.kafka import Partitioner
from runtime.log import get_logger
from runtime.metrics import INGEST_FOLLOW_REFUSED, INGEST_FOLLOWED, total
from runtime.table_rows import Row
from schemas.codec import SchemaStore, framing
from schemas.records import Subscription
from schemas.symbols import Source

PARTITIONS = 4
STORE = SchemaStore()
UNKNOWN_ID = 4711


class Dialled:
    """Follows what it is told; refuses conversations named bad and sources that are not `media-streams`."""

    def __init__(self) -> None:
        self.followed: dict[tuple[str, str], Call] = {}
        self.said: list[tuple[str, ...]] = []

    def refusal(self, source_name: str, call: Call) -> str | None:
        if source_name == "broken":
            raise RuntimeError
        if source_name not in {"media-streams", "appfoundry"}:
            return "there is no such source to call"
        return "it needs a connection id" if "bad" in (call.conversation_id, call.connection_id) else None

    def follow(self, source_name: str, call: Call) -> str | None:
        refusal = self.refusal(source_name, call)
        if refusal is not None:
            return refusal
        if (source_name, call.conversation_id) not in self.followed:
            self.followed[source_name, call.conversation_id] = call
            self.said.append(("follow", source_name, call.conversation_id))
        return None

    def unfollow(self, source_name: str, conversation_id: str, ended: Ended) -> None:
        if self.followed.pop((source_name, conversation_id), None) is not None:
            self.said.append(("unfollow", source_name, conversation_id, ended.reason.value))


@dataclass
class World:
    """A follower and what it works with."""

    found: dict[str, Predecessor] = field(default_factory=dict)
    sought: list[Sought] = field(default_factory=list)
    registry: bool = True
    tail: Exception | None = None

    def __post_init__(self) -> None:
        self.dialled, self.lineage, self.clock, self.store = Dialled(), Lineage(), ManualClock(), SchemaStore()
        self.refused: list[tuple[Row, str]] = []
        self.offset = 0
        log = get_logger("test")
        means = Means(
            self.dialled,
            self.lineage,
            self.store,
            self.clock,
            log,
            self._resolve,
            self._predecessors,
            lambda row, error: self.refused.append((row, error)),
        )
        self.follower = Follower(means, PARTITIONS)

    async def _resolve(self, ids: Collection[int]) -> None:
        assert list(ids) == [UNKNOWN_ID]
        if not self.registry:
            message = "the registry does not answer"
            raise Unavailable(message)

    async def _predecessors(self, sought: Collection[Sought]) -> Mapping[Sought, Predecessor]:
        self.sought += sought
        if self.tail is not None:
            raise self.tail
        return {one: self.found[one.conversation_id] for one in sought if one.conversation_id in self.found}

    def row(self, wish: Subscription | bytes | None, key: str = "", partition: int | None = None) -> Row:
        self.offset += 1
        name = key or (wish.conversation_id if isinstance(wish, Subscription) else "c-1")
        own = Partitioner(PARTITIONS).partition(name.partition("/")[0].encode())
        value = STORE.encode(wish) if isinstance(wish, Subscription) else wish
        return Row(name.encode(), value, own if partition is None else partition, self.offset, 0)


def wish(conversation_id: str = "c-1", source_name: str = "media-streams", **changed) -> Subscription:
    return Subscription(conversation_id=conversation_id, source_name=source_name, **changed)


async def test_a_wish_is_followed_and_its_tombstone_ends_it():
    world = World()
    await world.follower.changed(world.row(wish(connection_id="m", codec_preferences=("pcma",))))
    assert world.dialled.followed["media-streams", "c-1"] == Call("c-1", "m", ("pcma",), parameters={})
    assert INGEST_FOLLOWED.labels("media-streams")._value.get() == 1
    await world.follower.changed(world.row(None))
    assert world.dialled.said[-1] == ("unfollow", "media-streams", "c-1", "END")
    assert INGEST_FOLLOWED.labels("media-streams")._value.get() == 0


async def test_a_call_that_came_with_its_partition_goes_on_from_who_had_it():
    world = World(found={"a": Predecessor("id-of-a", 12.0)})
    await world.follower.took([world.row(wish("a")), world.row(wish("b"))])
    assert {(one.conversation_id, one.source) for one in world.sought} == {
        ("a", Source.MEDIA_STREAMS),
        ("b", Source.MEDIA_STREAMS),
    }
    assert world.lineage.earlier(Source.MEDIA_STREAMS, "a") == "id-of-a"
    assert world.lineage.left_s(Source.MEDIA_STREAMS, "a") == 12.0
    assert world.lineage.earlier(Source.MEDIA_STREAMS, "b") is None
    assert set(world.dialled.followed) == {("media-streams", "a"), ("media-streams", "b")}


async def test_two_sources_of_a_conversation_go_on_each_from_its_own():
    world = World()
    own = {Source.MEDIA_STREAMS: Predecessor("one", 1.0), Source.APPFOUNDRY: Predecessor("other", 2.0)}

    async def found(sought: Collection[Sought]) -> Mapping[Sought, Predecessor]:
        return {one: own[one.source] for one in sought}

    world.follower._means = replace(world.follower._means, predecessors=found)
    await world.follower.took([world.row(wish()), world.row(wish(source_name="appfoundry"), key="c-1/appfoundry")])
    assert {source: (world.lineage.earlier(source, "c-1"), world.lineage.left_s(source, "c-1")) for source in own} == {
        source: tuple(predecessor) for source, predecessor in own.items()
    }


async def test_a_live_wish_is_nobody_s_before_and_looks_for_nobody():
    world = World()
    await world.follower.changed(world.row(wish()))
    assert world.sought == []


@pytest.mark.parametrize("error", [Unavailable("no broker answers"), InvalidRecord("the broker refused")], ids=str)
async def test_calls_are_followed_also_where_nobody_can_say_who_had_them(error):
    world = World(tail=error)
    await world.follower.took([world.row(wish())])
    assert set(world.dialled.followed) == {("media-streams", "c-1")}


async def test_what_is_followed_already_is_not_taken_over_again():
    world = World()
    await world.follower.changed(world.row(wish()))
    await world.follower.took([world.row(wish())])
    assert world.sought == []
    assert len(world.dialled.said) == 1


async def test_what_another_process_has_now_ends_as_taken_over():
    world = World()
    await world.follower.took([world.row(wish("a")), world.row(wish("b"))])
    await world.follower.revoked([b"a", b"never"])
    assert world.dialled.said[-1] == ("unfollow", "media-streams", "a", "TAKEOVER")
    assert set(world.dialled.followed) == {("media-streams", "b")}


async def test_a_changed_wish_is_followed_anew_and_an_equal_one_is_not():
    world = World()
    await world.follower.changed(world.row(wish(requested_by="a")))
    await world.follower.changed(world.row(wish(requested_by="b")))
    assert [said[0] for said in world.dialled.said] == ["follow"]
    await world.follower.changed(world.row(wish(connection_id="new")))
    assert [said[0] for said in world.dialled.said] == ["follow", "unfollow", "follow"]
    await world.follower.changed(world.row(wish(source_name="appfoundry")))
    assert set(world.dialled.followed) == {("appfoundry", "c-1")}


async def test_a_call_that_ended_is_followed_again_when_it_is_wished_again():
    world = World()
    await world.follower.changed(world.row(wish()))
    world.dialled.followed.clear()
    await world.follower.changed(world.row(wish()))
    assert [said[0] for said in world.dialled.said] == ["follow", "follow"]


async def test_two_sources_of_a_conversation_are_two_wishes():
    world = World()
    await world.follower.changed(world.row(wish()))
    await world.follower.changed(world.row(wish(source_name="appfoundry"), key="c-1/appfoundry"))
    await world.follower.changed(world.row(None, key="c-1"))
    assert set(world.dialled.followed) == {("appfoundry", "c-1")}


async def test_a_call_two_keys_ask_for_goes_on_while_one_does():
    world = World()
    await world.follower.changed(world.row(wish()))
    await world.follower.changed(world.row(wish(), key="c-1/media-streams"))
    await world.follower.changed(world.row(None, key="c-1/media-streams"))
    assert set(world.dialled.followed) == {("media-streams", "c-1")}


REFUSED = {
    "no such source": (wish(source_name="nobody"), "source 'nobody': there is no such source to call"),
    "refused by its source": (wish("bad"), "source 'media-streams': it needs a connection id"),
    "a source that fails": (wish(source_name="broken"), "source 'broken': it failed: RuntimeError"),
    "no framing": (b"nonsense", "the framing starts with byte 110, not 0"),
    "unknown schema": (framing(UNKNOWN_ID) + b"x", f"schema id {UNKNOWN_ID} is not known"),
    "no conversation": (wish(""), "it names no conversation"),
}


@pytest.mark.parametrize(("value", "error"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_followed_is_named_counted_and_kept_and_the_others_go_on(value, error, capfd):
    world, before = World(), total(INGEST_FOLLOW_REFUSED)
    row = world.row(value)
    await world.follower.took([world.row(wish("a")), row, world.row(wish("b"))])
    await world.follower.turn()
    assert world.refused == [(row, error)]
    assert total(INGEST_FOLLOW_REFUSED) == before + 1
    assert {conversation for _, conversation in world.dialled.followed} == {"a", "b"}
    assert "a subscription cannot be followed" in capfd.readouterr().err


async def test_a_record_in_a_partition_that_is_not_its_conversation_s_is_refused():
    world = World()
    own = world.row(wish()).partition
    await world.follower.changed(world.row(wish(), partition=(own + 1) % PARTITIONS))
    assert world.dialled.followed == {}
    assert "the key must be the conversation's id" in world.refused[0][1]


async def test_a_bad_record_leaves_what_its_key_asked_for_before():
    world = World()
    await world.follower.changed(world.row(wish()))
    await world.follower.changed(world.row(b"nonsense"))
    assert set(world.dialled.followed) == {("media-streams", "c-1")}
    await world.follower.changed(world.row(None))
    assert world.dialled.followed == {}


@pytest.mark.parametrize(
    "value",
    [wish(source_name="nobody"), wish(source_name="broken"), wish(connection_id="bad")],
    ids=["no such source", "a source that fails", "refused by its source"],
)
async def test_a_change_that_is_refused_leaves_what_its_key_asked_for_before(value):
    world = World()
    await world.follower.changed(world.row(wish(connection_id="m")))
    await world.follower.changed(world.row(value))
    assert len(world.refused) == 1
    assert world.dialled.said == [("follow", "media-streams", "c-1")]
    await world.follower.changed(world.row(None))
    assert world.dialled.followed == {}


async def test_a_registry_that_does_not_answer_holds_nobody_up():
    world, hanging = World(), asyncio.Event()
    unknown = world.row(framing(UNKNOWN_ID) + STORE.encode(wish())[5:], key="c-1")

    async def hang(_: Collection[int]) -> None:
        hanging.set()
        await asyncio.Event().wait()

    world.follower._means = replace(world.follower._means, resolve=hang)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        await world.follower.took([unknown, world.row(wish("a"))])
        assert set(world.dialled.followed) == {("media-streams", "a")}
        turning = tasks.create_task(world.follower.turn())
        await hanging.wait()
        await world.follower.changed(world.row(wish("b")))
        await world.follower.revoked([b"a"])
        assert set(world.dialled.followed) == {("media-streams", "b")}
        turning.cancel()


async def test_a_call_whose_schema_came_late_goes_on_from_who_had_it_too():
    world = World(registry=False, found={"c-1": Predecessor("id", 12.0)})
    value = STORE.encode(wish())
    await world.follower.took([world.row(framing(UNKNOWN_ID) + value[5:], key="c-1")])
    world.registry = True
    world.store.add(UNKNOWN_ID, json.dumps(dict(STORE.get(int.from_bytes(value[1:5], "big")).definition)))
    await world.follower.turn()
    assert set(world.dialled.followed) == {("media-streams", "c-1")}
    assert world.lineage.left_s(Source.MEDIA_STREAMS, "c-1") == 12.0


async def test_a_record_whose_schema_nobody_can_tell_now_is_read_again():
    world = World(registry=False)
    value = STORE.encode(wish())
    await world.follower.changed(world.row(framing(UNKNOWN_ID) + value[5:], key="c-1"))
    await world.follower.turn()
    assert (world.dialled.followed, world.refused) == ({}, [])
    world.registry = True
    world.store.add(UNKNOWN_ID, json.dumps(dict(STORE.get(int.from_bytes(value[1:5], "big")).definition)))
    await world.follower.turn()
    assert set(world.dialled.followed) == {("media-streams", "c-1")}


async def test_a_wish_ends_when_it_expires_and_an_expired_one_is_never_followed():
    world = World()
    now_us = round(world.clock.wall_s() * 1e6)
    await world.follower.took(
        [world.row(wish("a", expires_at_us=now_us + 5_000_000)), world.row(wish("b", expires_at_us=now_us))]
    )
    assert set(world.dialled.followed) == {("media-streams", "a")}
    assert [one.conversation_id for one in world.sought] == ["a"]
    world.clock.advance(4.9)
    await world.follower.turn()
    assert world.dialled.said[-1][0] == "follow"
    world.clock.advance(0.2)
    await world.follower.turn()
    assert world.dialled.said[-1] == ("unfollow", "media-streams", "a", "END")


async def test_an_expiry_that_comes_later_ends_a_call_that_runs():
    world = World()
    await world.follower.changed(world.row(wish()))
    await world.follower.changed(world.row(wish(expires_at_us=1)))
    assert world.dialled.followed == {}


async def test_a_process_that_drains_changes_nothing_any_more():
    world = World()
    await world.follower.changed(world.row(wish("a")))
    world.follower.hold()
    await world.follower.changed(world.row(wish("b")))
    await world.follower.changed(world.row(None, key="a"))
    await world.follower.revoked([b"a"])
    await world.follower.changed(world.row(b"nonsense"))
    assert set(world.dialled.followed) == {("media-streams", "a")}
    assert world.refused == []


async def test_a_conversation_is_the_same_however_it_is_spelled():
    world = World()
    lower = "0b2c3d4e-abcd-4222-8333-94445556667f"
    await world.follower.changed(world.row(replace(wish(), conversation_id=lower.upper()), key=lower))
    assert set(world.dialled.followed) == {("media-streams", lower)}
