"""What holds for every test: the shared broker, Hypothesis without deadlines, no tasks or logging settings left.

And how a run is shared by several processes.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from runtime.log import get_logger
from tests import sharing

pytest_plugins = ["tests.kafka_fixture"]

# On Python 3.11 pytest-asyncio looks for a loop, which makes one that nobody closes unless none was set on purpose.
asyncio.set_event_loop(None)
# how long an input takes to draw says something about the machine, not about the test
settings.register_profile("callstream", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("callstream")

GRACE_S = 5.0
"""What is being closed at the end of a test may take a moment on the loop."""


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Take back what a command run inside a test set for logging: the next test may look for a line."""
    get_logger("tests")
    configured = structlog.get_config()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**configured)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def no_leaked_tasks(request: pytest.FixtureRequest) -> None:
    """Fail an async test that ends while tasks it started are still running."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_task_guard")


@pytest.fixture
async def _task_guard() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    started = asyncio.all_tasks() - before - {asyncio.current_task()}
    if started:
        _, leaked = await asyncio.wait(started, timeout=GRACE_S)
        assert not leaked, f"the test left asyncio tasks running: {sorted(str(task.get_coro()) for task in leaked)}"


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Bear what `./dev test` says where `-p no:xdist` took away who understands it."""
    if not pluginmanager.hasplugin("xdist"):
        parser.addoption("--numprocesses", help="ignored")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`--numprocesses=auto`: what `./dev test` says."""
    return sharing.processes(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> sharing.Sharing | None:
    """Share by our own rule unless `--dist` names another."""
    return sharing.scheduler(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests of a shared run in the order in which they are handed out."""
    if hasattr(config, "workerinput"):
        sharing.in_order(items)
