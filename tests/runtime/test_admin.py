import asyncio
import json

import pytest

from runtime.admin import AdminServer, Health
from runtime.errors import ConfigError
from runtime.http import HttpClient


class Pages:
    """An admin server that answers while the block runs."""

    def __init__(self):
        self.health = Health()
        self.server = AdminServer(self.health, "127.0.0.1", 0, "SAMPLE_ADMIN_PORT")

    async def get(self, *paths):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.server.serve())
            async with HttpClient("admin", timeout_s=10, any_status=True) as client:
                self.client = client
                answers = [await self._get(path) for path in paths]
            self.server.stop()
        return answers

    async def _get(self, path):
        return await self.client.request("GET", f"http://{self.server.host}:{self.server.port}{path}")


async def test_the_service_lives_as_soon_as_its_loop_turns():
    (answer,) = await Pages().get("/livez")
    assert answer.status == 200


async def test_a_service_that_has_said_nothing_is_not_ready():
    (answer,) = await Pages().get("/readyz")
    assert answer.status == 503
    assert json.loads(answer.body) == {"ready": False, "failing": {"service": "starting"}, "facts": {}}


async def test_readiness_names_the_conditions_that_fail():
    pages = Pages()
    pages.health.ready("kafka", True)
    pages.health.ready("store", False, "not reachable")
    (answer,) = await pages.get("/readyz")
    assert answer.status == 503
    assert json.loads(answer.body)["failing"] == {"store": "not reachable"}


async def test_the_service_is_ready_when_all_conditions_hold():
    pages = Pages()
    pages.health.ready("kafka", False, "no broker")
    pages.health.ready("kafka", True)
    (answer,) = await pages.get("/readyz")
    assert answer.status == 200
    assert json.loads(answer.body) == {"ready": True, "failing": {}, "facts": {}}


async def test_a_stopping_service_is_not_ready_but_lives():
    pages = Pages()
    pages.health.ready("kafka", True)
    pages.health.stop()
    ready, live = await pages.get("/readyz", "/livez")
    assert ready.status == 503
    assert json.loads(ready.body)["failing"] == {"service": "stopping"}
    assert live.status == 200


async def test_metrics_are_in_the_text_format():
    (answer,) = await Pages().get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"callstream_service_loop_stall_seconds_count" in answer.body


def test_a_port_in_use_is_a_mistake_in_the_configuration():
    first = AdminServer(Health(), "127.0.0.1", 0, "SAMPLE_ADMIN_PORT")
    try:
        with pytest.raises(ConfigError, match=rf"SAMPLE_ADMIN_PORT: cannot listen on 127.0.0.1:{first.port}"):
            AdminServer(Health(), "127.0.0.1", first.port, "SAMPLE_ADMIN_PORT")
    finally:
        first.close()
