"""Jobs from the record to their end: in order, bounded, buried where nobody can use them, undone where fenced."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from runtime.checkpoint import Application
from runtime.clock import ManualClock
from runtime.errors import Fenced, InvalidRecord, UsageError
from runtime.forwarder_jobs import Jobs
from runtime.forwarder_opening import Decoder
from runtime.forwarder_partition import Held, Means
from runtime.forwarder_writer import Row
from runtime.forwarding import Hands, Job, Letter, Received
from runtime.kafka import TopicPartition
from runtime.lanes import Lanes
from runtime.log import get_logger
from schemas.codec import SchemaStore
from schemas.records import CallEvent, TurnEntry
from schemas.symbols import CallEventKind
from tests.runtime.talking import until

STORE = SchemaStore()
Carry = Callable[[str, Hands], Awaitable[None]]


def event(text: str, conversation: str = "c") -> CallEvent:
    return CallEvent(kind=CallEventKind.TRANSCRIPT, conversation_id=conversation, session_id="s", text=text)


class Texts:
    """Carries each event's text; "refused" is refused by its plan."""

    group = "transcription"

    def __init__(self, carry: Carry) -> None:
        self._carry = carry

    def plan(self, received: Received) -> list[Job[str]]:
        if received.record.text == "refused":
            raise InvalidRecord("no")
        return [Job(received.record.conversation_id.encode(), received.record.text)]

    async def carry(self, job: Job[str], hands: Hands) -> None:
        await self._carry(job.work, hands)


class Host:
    """One partition with its jobs, and what they write."""

    def __init__(self, group: asyncio.TaskGroup, carry: Carry, limit: int = 10) -> None:
        self.rows: list[Row] = []
        self.refused = 0
        self.failed: list[Exception] = []
        self.held: Held = Held(TopicPartition("calls.events", 0))
        self.held.lanes = self.lanes = Lanes(0, max_waiting=100, max_ahead=100)
        service = SimpleNamespace(store=STORE)
        means = Means(
            application=Application("transcription"),
            store=STORE,
            clock=ManualClock(),
            log=get_logger("test"),
            writer=self,
            committer=None,
            before_step=lambda _: None,
            keeps_turns=True,
        )
        decoder = Decoder(service, "calls.events", CallEvent)
        self.jobs = Jobs(means, Texts(carry), decoder, group, limit, self.failed.append)

    async def write(self, rows, check) -> int:
        check()
        if self.refused:
            self.refused -= 1
            raise InvalidRecord("")
        self.rows += rows
        return 0

    def add(self, *values: bytes | CallEvent) -> None:
        for value in values:
            offset = self.lanes.position
            body = STORE.encode(value) if isinstance(value, CallEvent) else value
            raw = SimpleNamespace(partition=0, offset=offset, timestamp=5, key=b"c", value=body)
            self.lanes.add(offset, self.jobs.planned(raw), 0.0)
        self.jobs.start([self.held])

    async def finished(self) -> None:
        await until(lambda: self.lanes.committable == self.lanes.position)


async def test_what_cannot_be_decoded_leaves_length_and_digest_and_what_is_refused_loses_what_is_personal() -> None:
    async def carry(_: str, __: Hands) -> None:
        raise InvalidRecord("")

    async with asyncio.TaskGroup() as group:
        host = Host(group, carry)
        host.add(b"garbage 4111", event("refused"), event("my card is 4111"))
        await host.finished()
    stages = [dict(row.headers)["__connect.errors.stage"] for row in host.rows]
    assert (stages, host.failed) == ([b"decode", b"forward", b"forward"], [])
    assert all(b"4111" not in row.value for row in host.rows)
    assert [STORE.decode(row.value, CallEvent).text for row in host.rows[1:]] == [None, None]
    assert {(row.topic, row.partition, row.key, row.timestamp_ms) for row in host.rows} == {
        ("transcription.dlq", 0, b"c", 5)
    }


async def test_a_dead_letter_that_is_refused_too_leaves_length_and_digest() -> None:
    async with asyncio.TaskGroup() as group:
        host = Host(group, None)
        host.refused = 1
        host.add(event("refused"))
        await host.finished()
    assert b"length_bytes" in host.rows[0].value


async def test_no_more_jobs_run_at_once_than_allowed() -> None:
    running, most, go_on = [], [], asyncio.Event()

    async def carry(text: str, _: Hands) -> None:
        running.append(text)
        most.append(len(running))
        await go_on.wait()
        running.remove(text)

    async with asyncio.TaskGroup() as group:
        host = Host(group, carry, limit=3)
        host.add(*(event(f"{number}", f"{number}") for number in range(8)))
        await until(lambda: len(running) == 3)
        go_on.set()
        await host.finished()
    assert max(most) == 3


async def test_a_job_that_swallows_its_loss_has_not_done_its_record_and_starts_no_other() -> None:
    done = []

    async def carry(text: str, hands: Hands) -> None:
        host.held.cut_off()
        try:
            await hands.write([])
        except Fenced:
            done.append(text)

    async with asyncio.TaskGroup() as group:
        host = Host(group, carry)
        host.add(event("one"), event("two"))
        await until(lambda: done != [] and not host.held.jobs)
    assert (done, host.lanes.committable, host.rows, host.failed) == (["one"], 0, [], [])


@pytest.mark.parametrize("swallows", [True, False])
async def test_a_job_that_would_begin_a_turn_while_its_partition_is_given_away_is_left_undone(swallows: bool) -> None:
    async def carry(_: str, hands: Hands) -> None:
        host.held.closing = True
        with contextlib.suppress(Fenced) if swallows else contextlib.nullcontext():
            await hands.announce(TurnEntry(turn_id="t", origin=hands.received.origin(0)))

    async with asyncio.TaskGroup() as group:
        host = Host(group, carry)
        host.add(event("one"))
        await until(lambda: not host.held.jobs)
    assert (host.lanes.committable, host.rows, host.failed) == (0, [], [])


@pytest.mark.parametrize("error", [ZeroDivisionError(), Fenced("says the component, but nothing was taken away")])
async def test_any_other_error_is_the_process_s_and_its_record_stays_unfinished(error: Exception) -> None:
    async def carry(_: str, __: Hands) -> None:
        raise error

    async with asyncio.TaskGroup() as group:
        host = Host(group, carry)
        host.add(event("one"))
        await until(lambda: host.failed != [])
    assert host.failed == [error]
    assert host.lanes.committable == 0


async def test_a_job_that_was_cancelled_by_nobody_of_ours_does_not_block_its_key_in_silence() -> None:
    async def carry(_: str, __: Hands) -> None:
        raise asyncio.CancelledError

    async with asyncio.TaskGroup() as group:
        host = Host(group, carry)
        host.add(event("one"))
        await until(lambda: host.failed != [])
    assert isinstance(host.failed[0], UsageError)


async def test_a_component_may_leave_a_letter_that_says_why_how_often_and_when() -> None:
    async def carry(_: str, hands: Hands) -> None:
        await hands.bury(Letter("stale", "too old", attempts=2, first_attempt_ms=1000, last_attempt_ms=3000))
        await hands.bury(Letter("superseded", "said again"))

    async with asyncio.TaskGroup() as group:
        host = Host(group, carry)
        host.add(event("fine"))
        await host.finished()
    told = [{name: value for name, value in row.headers if name.startswith("dlt.")} for row in host.rows]
    assert told == [
        {
            "dlt.reason": b"stale",
            "dlt.attempts": b"2",
            "dlt.first_attempt_ms": b"1000",
            "dlt.last_attempt_ms": b"3000",
        },
        {"dlt.reason": b"superseded", "dlt.attempts": b"0"},
    ]
    assert dict(host.rows[0].headers)["__connect.errors.exception.message"] == b"too old"
    assert host.failed == []


async def test_a_record_that_cannot_be_used_is_called_undecodable() -> None:
    async with asyncio.TaskGroup() as group:
        host = Host(group, None)
        host.add(b"garbage")
        await host.finished()
    assert dict(host.rows[0].headers)["dlt.reason"] == b"undecodable"


async def test_hands_without_a_job_write_and_leave_no_letters() -> None:
    async with asyncio.TaskGroup() as group:
        host = Host(group, None)
        received = Received("calls.events", 0, 3, 5, b"c", event("hello"))
        hands = host.jobs.hands(host.held, received, b"c")
        await hands.write([event("written")])
        with pytest.raises(UsageError):
            await hands.bury(Letter("stale", "no job"))
        host.held.cut_off()
        with pytest.raises(Fenced):
            await hands.write([event("not written")])
    assert [(row.partition, row.key, row.timestamp_ms) for row in host.rows] == [(0, b"c", 5)]
