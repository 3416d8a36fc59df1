"""Waiting for what does not answer: with jitter, and never longer than the service lives."""

import asyncio

import pytest

from runtime.errors import ConfigError, Unavailable
from runtime.kafka import connect_with_retry


async def test_it_asks_again_until_there_is_an_answer_and_tells_why_it_waits() -> None:
    answers = iter([Unavailable("first", 0.001), Unavailable("second", 0.001), 7])
    told: list[str] = []

    async def start() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    found = await connect_with_retry(start, stopping=asyncio.Event(), on_wait=lambda error: told.append(str(error)))
    assert found == 7
    assert told == ["first", "second"]


async def test_other_errors_come_out_as_they_are() -> None:
    async def start() -> int:
        raise ConfigError(["wrong"])

    with pytest.raises(ConfigError, match="wrong"):
        await connect_with_retry(start, stopping=asyncio.Event(), on_wait=lambda _: None)


async def test_a_stop_ends_an_attempt_that_hangs() -> None:
    stopping, cancelled = asyncio.Event(), asyncio.Event()

    async def start() -> int:
        stopping.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return 1

    async with asyncio.timeout(30):
        assert await connect_with_retry(start, stopping=stopping, on_wait=lambda _: None) is None
    assert cancelled.is_set()


async def test_a_stop_ends_the_wait_between_two_attempts() -> None:
    stopping = asyncio.Event()

    when = "for long"

    async def start() -> int:
        raise Unavailable(when, 3600)

    async with asyncio.timeout(30):
        assert await connect_with_retry(start, stopping=stopping, on_wait=lambda _: stopping.set()) is None


async def test_an_attempt_that_is_not_to_be_cut_is_let_finish() -> None:
    stopping = asyncio.Event()

    async def start() -> int:
        stopping.set()
        await asyncio.sleep(0)
        return 1

    assert await connect_with_retry(start, stopping=stopping, on_wait=lambda _: None, cut=False) == 1
