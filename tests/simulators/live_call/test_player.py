import asyncio

import pytest

from simulators.live_call.player import LivePlayer
from simulators.live_call.script import Close, Cut, Dead, Say, Script, Stall

SPEED = 20.0


class Gone(Exception):
    """What a send into a connection that has ended raises."""


class Ear:
    """A listener that keeps what it hears, and when, in ms of the call. It breaks at its n-th message."""

    def __init__(self, *, breaks_at: int | None = None) -> None:
        self.heard: list[str | bytes] = []
        self.times_ms: list[float] = []
        self.ended: tuple[int, str] | str | None = None
        self._breaks_at = breaks_at
        self._begun_s = asyncio.get_running_loop().time()

    @property
    def is_open(self) -> bool:
        return self.ended is None

    async def send(self, message: str | bytes) -> None:
        if len(self.heard) == self._breaks_at:
            self.ended = "broken"
            raise Gone
        self.heard.append(message)
        self.times_ms.append((asyncio.get_running_loop().time() - self._begun_s) * 1000 * SPEED)

    async def close(self, code: int, reason: str) -> None:
        self.ended = (code, reason)

    def abort(self) -> None:
        self.ended = "cut"


def audio(chunks: int) -> bytes:
    return b"".join(number.to_bytes(2, "big") * 80 for number in range(chunks))


def player(chunks: int, *actions, backlog_ms: int = 0, **settings) -> LivePlayer:
    plan = Script(audio=audio(chunks), actions=actions, backlog_ms=backlog_ms).plan()
    return LivePlayer(plan, speed=SPEED, **settings)


def numbers(ear: Ear) -> list[int]:
    return [int.from_bytes(message[:2], "big") for message in ear.heard if isinstance(message, bytes)]


async def test_a_listener_hears_the_whole_call_in_time():
    call, ear = player(50), Ear()
    await call.play(ear, bytes)
    assert b"".join(ear.heard) == audio(50)
    assert all(at_ms >= number * 20 for number, at_ms in enumerate(ear.times_ms))
    assert call.report.ended
    assert (call.report.listeners, call.report.missing) == (1, ())


async def test_a_message_looks_as_the_stand_in_wants_it():
    call, ear = player(2), Ear()
    await call.play(ear, bytes.hex)
    assert ear.heard == [audio(2)[:160].hex(), audio(2)[160:].hex()]


@pytest.mark.parametrize(("action", "end"), [(Cut(200), "cut"), (Close(200, 1001, "away"), (1001, "away"))])
async def test_a_connection_ends_where_the_script_says_and_the_next_one_hears_on(action, end):
    call, first, second = player(1000, action), Ear(), Ear()
    await call.play(first, bytes)
    assert (first.ended, numbers(first)) == (end, list(range(10)))
    assert not call.report.ended
    await asyncio.sleep(0.2 / SPEED)
    await call.play(second, bytes)
    assert numbers(second)[0] >= 20
    assert numbers(second) == list(range(numbers(second)[0], 1000))
    assert second.ended is None
    assert call.report.missing == ((10 * 160, numbers(second)[0] * 160),)
    assert (call.report.cuts + call.report.closes, call.report.listeners) == (1, 2)


async def test_what_was_kept_comes_at_once_and_no_more_than_the_backlog():
    call, first, second = player(1000, Cut(200), backlog_ms=400), Ear(), Ear()
    await call.play(first, bytes)
    await asyncio.sleep(1 / SPEED)
    joined_ms = call._now_ms()
    await call.play(second, bytes)
    begins = numbers(second)[0]
    assert begins * 20 >= joined_ms - 400
    assert second.times_ms[0] - begins * 20 >= 400 - 20
    assert numbers(second) == list(range(begins, 1000))


async def test_a_chunk_that_did_not_go_out_is_kept_too():
    call, first, second = player(30, backlog_ms=60_000), Ear(breaks_at=12), Ear()
    with pytest.raises(Gone):
        await call.play(first, bytes)
    await call.play(second, bytes)
    assert numbers(first) + numbers(second) == list(range(30))
    assert call.report.missing == ()


async def test_dead_time_and_stalls_leave_the_connection_open():
    call, ear = player(30, Dead(100, 100), Stall(300, 100)), Ear()
    await call.play(ear, bytes)
    assert numbers(ear) == [*range(5), *range(10, 30)]
    assert min(ear.times_ms[10:15]) >= 400
    assert ear.ended is None


async def test_anything_can_be_said_between_the_audio():
    call, ear = player(3, Say(20, "{not json"), Say(40, b"\x01")), Ear()
    await call.play(ear, bytes)
    assert [ear.heard[1], ear.heard[3]] == ["{not json", b"\x01"]
    assert call.report.said == ["{not json", b"\x01"]
    assert len(call.report.sent) == 3


async def test_a_call_can_wait_until_it_is_told_to_begin():
    call, ear = player(3, starts_on_listener=False), Ear()
    noted = []
    call.note = lambda: noted.append(call.report.listeners)
    async with asyncio.TaskGroup() as group:
        group.create_task(call.play(ear, bytes))
        await asyncio.sleep(0.01)
        assert (ear.heard, noted) == ([], [1])
        call.begin()
        call.begin()
    assert numbers(ear) == [0, 1, 2]
    assert len(noted) == 5


def test_a_call_cannot_stand_still():
    with pytest.raises(ValueError, match="speed"):
        LivePlayer(Script(audio=audio(1)).plan(), speed=0)
