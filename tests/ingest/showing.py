"""Checks that are run on our code and on known faulty logic (tests/data/defects): ours passes, what is faulty fails."""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

TURNS = 60
"""How often a condition is looked at, 10 ms apart: a slow machine takes longer for a turn, and has as many."""


@dataclass(frozen=True)
class Subject:
    """What a check is run on, and whether it is known to be faulty."""

    make: Callable[..., Any]
    faulty: bool


@contextlib.contextmanager
def _judged(subject: Subject):
    """Let an error of a check pass; where the subject is faulty, demand that the check fails."""
    if not subject.faulty:
        yield
        return
    with pytest.raises(AssertionError):
        yield


def shows(ours: Callable[..., Any], sound: Callable[..., Any] | None = None, **faulty: Callable[..., Any]):
    """Run a check on `make`: ours, where it must pass, and each defect by its id, where its assertions must fail.

    `sound` is what the defects are made of, without a defect: it passes too, so that they fail for what they are.
    """
    subjects = {"ours": Subject(ours, False), **{name: Subject(make, True) for name, make in faulty.items()}}
    if sound is not None:
        subjects["sound"] = Subject(sound, False)
    cases = pytest.mark.parametrize("make", [pytest.param(each, id=name) for name, each in subjects.items()])

    def decorate(check):
        if inspect.iscoroutinefunction(check):

            @functools.wraps(check)
            async def judged(make, **fixtures):
                with _judged(make):
                    await check(make=make.make, **fixtures)

        else:

            @functools.wraps(check)
            def judged(make, **fixtures):
                with _judged(make):
                    check(make=make.make, **fixtures)

        return cases(judged)

    return decorate


async def eventually(condition: Callable[[], object], turns: int = TURNS) -> None:
    """Return when the condition holds; an assertion fails when it does not within so many turns of the loop."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0.01)
    message = "it did not come about"
    raise AssertionError(message)


async def ends(work: Coroutine[Any, Any, Any], turns: int = TURNS) -> Any:
    """Return what the work returns or raises; an assertion fails when it hangs."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        await eventually(task.done, turns)
    finally:
        task.cancel()
        await asyncio.wait([task])
    return task.result()


@contextlib.asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let work run meanwhile; an assertion fails when some of it ended with an error."""
    tasks = [asyncio.get_running_loop().create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    crashed = [error for error in ended if isinstance(error, Exception)]
    assert not crashed, f"it crashed: {crashed}"
