import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from callstream.schemas_command import register_all
from runtime.config import RegistrySettings, ServiceSettings
from runtime.service import BAD_CONFIGURATION, DRAINED, FAULT, run
from simulators.registry.server import RegistryServer
from tests.runtime.loopback import serving
from tests.runtime.sample_service import SampleSettings, start

ROOT = Path(__file__).parents[2]


class Running:
    """A sample service in a process of its own."""

    def __init__(self, process):
        self.process = process
        self.lines = []

    async def line(self, message):
        """Wait for a log line."""
        async for raw in self.process.stderr:
            self.lines.append(json.loads(raw))
            if self.lines[-1]["message"] == message:
                return self.lines[-1]
        raise AssertionError([message, self.lines])

    async def end(self):
        async for raw in self.process.stderr:
            self.lines.append(json.loads(raw))
        return await self.process.wait()


async def started(*arguments, **environ):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.runtime.sample_service",
        *arguments,
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def checked(**environ):
    process = await started("--check-config", **environ)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_checking_good_settings_ends_with_0():
    assert await checked() == (0, "configuration ok\n", "")


async def test_checking_bad_settings_lists_all_mistakes_and_ends_with_2():
    code, out, err = await checked(SAMPLE_ADMIN_PORT="x", SAMPLE_END_BY="x")
    assert (code, out) == (2, "")
    assert [line.partition(":")[0] for line in err.splitlines()] == ["SAMPLE_END_BY", "SAMPLE_ADMIN_PORT"]


async def test_the_component_checks_its_own_settings_too():
    assert await checked(SAMPLE_ENDS_BY="never") == (2, "", "SAMPLE_ENDS_BY: never is no way to end\n")


async def test_a_service_with_bad_settings_does_not_start():
    process = await started(SAMPLE_ADMIN_PORT="x")
    _, err = await process.communicate()
    assert process.returncode == 2
    assert err.decode().startswith("SAMPLE_ADMIN_PORT: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_the_service(number):
    running = Running(await started())
    start = await running.line("the service starts")
    assert start["component"] == "sample"
    assert start["endpoint"].startswith("http://127.0.0.1:")
    running.process.send_signal(number)
    assert await running.end() == 0
    assert running.lines[-1]["message"] == "the service has ended"
    assert (running.lines[-1]["exit_code"], running.lines[-1]["cause"]) == (0, "drained")


async def test_a_second_signal_ends_the_service_at_once():
    running = Running(await started(SAMPLE_ENDS_BY="hang"))
    await running.line("the service starts")
    running.process.send_signal(signal.SIGTERM)
    await running.line("the service stops")
    running.process.send_signal(signal.SIGINT)
    assert await running.end() == 1
    assert running.lines[-1]["message"] == "a second signal ends the service at once"


@pytest.mark.parametrize("ends_by", ["hang", "stubborn"])
async def test_a_drain_beyond_its_budget_is_a_fault(ends_by):
    running = Running(await started(SAMPLE_ENDS_BY=ends_by, SAMPLE_DRAIN_BUDGET_S="0.05"))
    await running.line("the service starts")
    running.process.send_signal(signal.SIGTERM)
    assert await running.end() == 1
    assert "the work was not finished within the drain budget" in {line["message"] for line in running.lines}


async def ended(ends_by, **settings):
    return await run("sample", SampleSettings(ends_by=ends_by, **settings), start, signals=False)


async def test_work_that_is_done_ends_the_service_with_0():
    assert await ended("return") == DRAINED


async def test_an_error_nobody_expected_is_a_fault_and_shows_no_content(capsys):
    assert await ended("error") == FAULT
    text = capsys.readouterr().err
    assert "ValueError" in text
    assert "Jane" not in text


async def test_bad_configuration_found_late_is_the_operators(capsys):
    assert await ended("bad") == BAD_CONFIGURATION
    text = capsys.readouterr().err
    assert "SAMPLE_X: is wrong" in text
    assert "SAMPLE_Y: is wrong" in text


async def test_an_admin_port_in_use_is_the_operators(capsys):
    async def nothing(_reader, _writer):
        """Answer nobody."""

    other = await asyncio.start_server(nothing, "127.0.0.1", 0)
    async with other:
        port = other.sockets[0].getsockname()[1]
        assert await ended("return", service=ServiceSettings(admin_port=port)) == BAD_CONFIGURATION
    assert "SAMPLE_ADMIN_PORT" in capsys.readouterr().err


async def test_a_service_waits_for_its_schemas_and_is_not_ready_meanwhile():
    server = RegistryServer()
    held = []

    async def hold(service):
        held.append(service)

    async with serving(server.application()) as url, asyncio.TaskGroup() as tasks:
        settings = SampleSettings(registry=RegistrySettings(url=url))
        work = tasks.create_task(run("sample", settings, hold, signals=False))
        while not server.seen:
            await asyncio.sleep(0.01)
        assert not held
        assert not work.done()
        await register_all(settings.registry)
        assert await work == DRAINED
    assert held[0].health.is_ready()
    assert held[0].store.write_id("audio_frame") in server.store.schemas


async def test_a_loop_that_stands_still_ends_the_process_with_1_and_the_place():
    process = await started(SAMPLE_ENDS_BY="block", SAMPLE_STUCK_AFTER_S="1.5")
    service = Running(process)
    await service.line("a condition of readiness holds")
    process.send_signal(signal.SIGTERM)
    stacks = (await process.stderr.read()).decode()
    assert await process.wait() == FAULT
    assert "sample_service.py" in stacks
