"""Checks that are run on our code and on known faulty logic (tests/data/defects): ours passes, what is faulty fails."""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pytest

PATIENT = 6000
"""How often what must come about is looked for, 10 ms apart, before it is taken never to come."""
IMPATIENT = 60
"""How often where a defect keeps it from coming: each of them waits in vain, and ours comes about well before."""

_turns = ContextVar("turns", default=PATIENT)


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
    before = _turns.set(IMPATIENT)
    try:
        with pytest.raises(AssertionError):
            yield
    finally:
        _turns.reset(before)


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


async def eventually(condition: Callable[[], object], factor: int = 1) -> None:
    """Return when the condition holds; an assertion fails when it does not. `factor`: how slow it is."""
    for _ in range(_turns.get() * factor):
        if condition():
            return
        await asyncio.sleep(0.01)
    message = "it did not come about"
    raise AssertionError(message)


async def ends(work: Coroutine[Any, Any, Any], factor: int = 1) -> Any:
    """Return what the work returns or raises; an assertion fails when it hangs. `factor`: how slow it is."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        await eventually(task.done, factor)
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
