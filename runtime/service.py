"""One service process: settings, logging, admin port, signals, an orderly end.

    0  drained: a signal came and the work was finished within its budget, or there was no more work
    1  fault: an error nobody expected, a drain that took too long, or a second signal
    2  bad configuration: an operator must act

Starting needs nothing outside: whoever is missing makes the service not ready, not dead.
"""

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, NoReturn, TypeVar

from runtime.admin import AdminServer, Health
from runtime.clock import Clock, SystemClock
from runtime.config import Settings, load, prefix_of
from runtime.errors import ConfigError, Unavailable
from runtime.kafka import connect_with_retry
from runtime.log import Logger, configure, get_logger
from runtime.metrics import LOOP_STALL, SERVICE
from runtime.registry import Registry
from runtime.stall_guard import StallGuard
from runtime.version import version
from schemas.codec import SchemaStore

S = TypeVar("S", bound=Settings)

DRAINED = 0
FAULT = 1
BAD_CONFIGURATION = 2
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STALL_PERIOD_S = 0.1
_TURNS_OF_A_GUARD = 10
_PRIVATE = 0o077
_CANCEL_GRACE_S = 2.0


@dataclass
class Service(Generic[S]):
    """What a component's start function gets: who it is, its settings, and the services of the process.

    `start` reports what it needs through `health`, works until `stopping` is set, finishes and returns.
    """

    name: str
    settings: S
    clock: Clock
    log: Logger
    registry: Registry
    health: Health = field(default_factory=Health)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    store: SchemaStore = field(default_factory=SchemaStore)


Start = Callable[[Service[S]], Awaitable[None]]


def main(
    name: str,
    settings_type: type[S],
    start: Start[S],
    check: Callable[[S], None] | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> NoReturn:
    """Run a component as this process and exit.

    `check` raises `ConfigError` for what only the component can see to be wrong with its settings; it connects nowhere.
    `loop_factory` makes the loop it runs on, where that is not asyncio's own.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=f"The {name} service of callstream.")
    parser.add_argument("--check-config", action="store_true", help="check the settings, connect nowhere, and exit")
    arguments = parser.parse_args()
    try:
        settings = load(settings_type, prefix_of(name))
        if check is not None:
            check(settings)
    except ConfigError as error:
        sys.stderr.write("".join(f"{mistake}\n" for mistake in error.mistakes))
        sys.exit(BAD_CONFIGURATION)
    if arguments.check_config:
        sys.stdout.write("configuration ok\n")
        sys.exit(DRAINED)
    configure(settings.service.log_level, settings.service.log_format)
    # what a service writes to disk may be audio or personal: for its own user only
    os.umask(_PRIVATE)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        code = runner.run(run(name, settings, start))
    sys.exit(code)


async def run(name: str, settings: S, start: Start[S], *, clock: Clock | None = None, signals: bool = True) -> int:
    """Run a component in the running loop and return its exit code. `signals` False leaves them to the caller."""
    clock = clock or SystemClock()
    log = get_logger(name)
    health = Health(on_change=partial(_log_condition, log))
    service = Service(name, settings, clock, log, Registry(settings.registry, clock), health)
    return await _Process(service, start).run(signals=signals)


class _Process(Generic[S]):
    """The life of one service: started, asked to stop, ended."""

    def __init__(self, service: Service[S], start: Start[S]) -> None:
        self._service = service
        self._start = start
        self._log = service.log
        self._late = False
        self._stuck_after_s = service.settings.service.stuck_after_s

    async def run(self, *, signals: bool) -> int:
        """Run until the work ends and return the exit code."""
        service, loop = self._service, asyncio.get_running_loop()
        loop.set_exception_handler(self._on_loop_error)
        numbers = _SIGNALS if signals else ()
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal)
        try:
            return self._end(await self._run_with(self._admin(), StallGuard(self._stuck_after_s) if signals else None))
        except ConfigError as error:
            return self._end(self._report(error))
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
            await service.registry.close()

    def _admin(self) -> AdminServer:
        """Bind the admin port and say that the service starts. Raises `ConfigError` for a port that is taken."""
        service, settings = self._service, self._service.settings.service
        port_setting = f"{prefix_of(service.name)}ADMIN_PORT"
        admin = AdminServer(service.health, settings.admin_host, settings.admin_port, port_setting)
        SERVICE.labels(service.name, version()).set(1)
        self._log.info("the service starts", version=version(), endpoint=f"http://{admin.host}:{admin.port}")
        return admin

    async def _run_with(self, admin: AdminServer, guard: StallGuard | None) -> int:
        _calm_collector()
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(admin.serve())
            stalls = tasks.create_task(_measure_stalls(self._service.clock, guard))
            work = tasks.create_task(self._work())
            drain = tasks.create_task(self._limit_drain(work))
            # ends also when the admin server does, which it never should
            await asyncio.wait({work, serving}, return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            await asyncio.wait({work})
            stalls.cancel()
            drain.cancel()
            admin.stop()
        return FAULT if work.cancelled() else work.result()

    async def _work(self) -> int:
        """Do the component's work and return the exit code."""
        try:
            if await self._prepared():
                await self._start(self._service)
        except Exception as error:  # noqa: BLE001 - the last resort of the process
            return self._report(error)
        return FAULT if self._late else DRAINED

    async def _prepared(self) -> bool:
        """Get the ids to write with from the registry, where there is one. False when told to stop meanwhile."""
        service = self._service
        if not service.registry.configured:
            return True
        condition = "schema registry"

        def on_wait(error: Unavailable) -> None:
            service.health.ready(condition, False, str(error))

        async def prepare() -> bool:
            await service.registry.prepare(service.store)
            return True

        service.health.ready(condition, False, "not asked yet")
        prepared = await connect_with_retry(prepare, stopping=service.stopping, on_wait=on_wait)
        service.health.ready(condition, bool(prepared), "" if prepared else "stopping")
        return bool(prepared)

    async def _limit_drain(self, work: "asyncio.Task[int]") -> None:
        """Wait for the stop; then give the work its budget, and end the process when even cancelling it does not."""
        service = self._service
        await service.stopping.wait()
        service.health.stop()
        budget_s = service.settings.service.drain_budget_s
        self._log.info("the service stops", budget_s=budget_s)
        await asyncio.wait({work}, timeout=budget_s)
        if work.done():
            return
        self._late = True
        self._log.error("the work was not finished within the drain budget", budget_s=budget_s)
        work.cancel()
        await asyncio.wait({work}, timeout=_CANCEL_GRACE_S)
        if not work.done():
            self._log.error("the work cannot be cancelled")
            _end_at_once()

    def _on_signal(self) -> None:
        if self._service.stopping.is_set():
            self._log.error("a second signal ends the service at once")
            _end_at_once()
        self._service.stopping.set()

    def _on_loop_error(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        self._log.error("an error nobody waited for", exc_info=error if isinstance(error, BaseException) else None)

    def _report(self, error: BaseException) -> int:
        """Log an error, group by group, and return the exit code it stands for."""
        leaves = list(_leaves(error))
        mistakes = [mistake for leaf in leaves if isinstance(leaf, ConfigError) for mistake in leaf.mistakes]
        if mistakes:
            self._log.error("the configuration is bad", mistakes=mistakes)
        others = [leaf for leaf in leaves if not isinstance(leaf, ConfigError)]
        for leaf in others:
            self._log.error("the service failed", exc_info=leaf)
        return FAULT if others else BAD_CONFIGURATION

    def _end(self, code: int) -> int:
        cause = {DRAINED: "drained", FAULT: "fault", BAD_CONFIGURATION: "bad configuration"}[code]
        if code == DRAINED and not self._service.stopping.is_set():
            cause = "nothing left to do"
        self._log.info("the service has ended", exit_code=code, cause=cause)
        return code


def _log_condition(log: Logger, condition: str, why: str) -> None:
    if why:
        log.warning("a condition of readiness does not hold", condition=condition, error=why)
    else:
        log.info("a condition of readiness holds", condition=condition)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _calm_collector() -> None:
    """Keep collections short, and full ones rare: they stop the loop for as long as they walk over what they look at.

    A thousand new objects take about a millisecond, the five thousand of the second generation five; with fifty
    thousand at once the answers of 2,000 calls stood still for 20 to 64 ms. The objects of a call that has ended are
    freed by their counts (ingest has a test for that), so nothing waits for a full collection.

    The thresholds are no setting: they follow from how services are built (what lives long is frozen at the start or
    belongs to a call, what lives short is freed by its count), not from where they run. A wrong one would show only as
    answers that are late now and then, from which no operator could tell its cause.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000, 5, 2_000)


async def _measure_stalls(clock: Clock, guard: StallGuard | None) -> None:
    """Observe how late the loop is, and keep the guard of this process waiting."""
    try:
        while True:
            if guard is not None:
                guard.turn()
            for _ in range(_TURNS_OF_A_GUARD):
                before_s = clock.monotonic_s()
                await asyncio.sleep(_STALL_PERIOD_S)
                LOOP_STALL.observe(max(0.0, clock.monotonic_s() - before_s - _STALL_PERIOD_S))
    finally:
        if guard is not None:
            guard.end()


def _end_at_once() -> NoReturn:
    sys.stderr.flush()
    os._exit(FAULT)
