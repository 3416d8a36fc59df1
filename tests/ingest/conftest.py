"""What only the loop that ingest runs on does is tested on that loop; all else here is the same on any."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

_ON_UVLOOP = ("test_of_a_crowd_a_few_are_accepted_at_each_turn", "test_a_call_that_has_ended_leaves_nothing")


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.name.startswith(_ON_UVLOOP):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
