"""A component's process is waited for, and its end is explained with the end of its log."""

from pathlib import Path

import pytest

from callstream.demo.services import DemoError, ServiceProcess, free_port
from runtime.http import HttpClient


def service(folder: Path, module: str) -> ServiceProcess:
    return ServiceProcess(module, {}, free_port(), folder / "log", folder)


async def test_a_process_that_ends_while_it_is_waited_for_is_explained_by_its_log(tmp_path: Path) -> None:
    process = service(tmp_path, "no.such.module")
    process.start()
    async with HttpClient("admin", timeout_s=1, any_status=True) as http:
        with pytest.raises(DemoError, match=r"(?s)exit code 1.*No module named"):
            await process.until_ready(http, 20)


async def test_a_service_that_was_never_started_stops_at_once(tmp_path: Path) -> None:
    assert await service(tmp_path, "ingest").stop() is None
