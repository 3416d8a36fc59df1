"""A broker and a store ten times slower for some seconds: bounded memory, no rebalance, little work, lag that goes."""

from pathlib import Path

import pytest

from tests.faults.back_pressure import Measured, measured, result
from tests.faults.proxy import HOST

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]
PAUSE_S = 7


async def test_a_slow_broker_and_a_slow_store_cost_time_and_nothing_else(kafka: str, tmp_path: Path) -> None:
    if not kafka.startswith(f"{HOST}:"):
        pytest.skip("the proxy stands before a broker on loopback only")
    found = await measured(kafka, tmp_path, PAUSE_S)
    print(found, result(found))  # noqa: T201
    assert {who: one.complaints() for who, one in found.items()} == {"task": [], "sink": []}


def test_what_is_beyond_its_limit_is_named() -> None:
    assert Measured(299, 0.19, 0, 0.5, 2.0).complaints() == []
    assert len(Measured(300, 0.2, 1, 0.1, 2.1).complaints()) == 5
