"""Every component, found by its folder, keeps the contract of a service: settings, health, metrics, an orderly end."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from callstream.demo.services import free_port
from runtime.config import child_environment
from runtime.errors import Unavailable
from runtime.http import HttpClient

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for top in ("ingest", "processors", "sinks")
    for path in (ROOT / top).rglob("__main__.py")
)
NEEDED = {
    "processors.cognigy": {"COGNIGY_ENDPOINT_URL": "http://127.0.0.1:1", "COGNIGY_URL_TOKEN": "0123456789abcdef"},
    "sinks.audit_log": {"AUDIT_LOG_ALLOW_DEVELOPMENT_KEY": "true"},
}
"""What a component cannot start without; everything else has a default."""
DEADLINE_S = 100
NOBODY = f"127.0.0.1:{free_port()}"


def environment(module: str, folder: Path, **changes: str) -> dict[str, str]:
    plain = {name: value for name, value in child_environment({}).items() if not name.startswith("KAFKA_")}
    python_path = os.pathsep.join([str(ROOT), plain.get("PYTHONPATH", "")])
    return {
        **plain,
        "PYTHONPATH": python_path,
        "KAFKA_BOOTSTRAP_SERVERS": NOBODY,
        "HOME": str(folder),
        **NEEDED.get(module, {}),
        **changes,
    }


def prefix(module: str) -> str:
    return f"{module.rpartition('.')[2].upper()}_"


def check_config(module: str, folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, "--check-config"],
        check=False,
        cwd=folder,
        env=environment(module, folder, **changes),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def test_the_folders_hold_the_components() -> None:
    assert {"ingest", "processors.silence", "sinks.audit_log", "sinks.recording_sync"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_good_configuration_is_said_to_be_good_without_any_connection(module: str, tmp_path: Path) -> None:
    done = check_config(module, tmp_path)
    assert (done.returncode, done.stdout) == (0, "configuration ok\n"), done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_every_mistake_is_reported_at_once_by_its_setting(module: str, tmp_path: Path) -> None:
    own = prefix(module)
    done = check_config(
        module,
        tmp_path,
        KAFKA_SECURITY_PROTOCOL="CARRIER_PIGEON",
        LOG_LEVEL="loud",
        **{f"{own}DRAIN_BUDGET_S": "-1", f"{own}NO_SUCH_THING": "1"},
    )
    assert done.returncode == 2
    for name in ("KAFKA_SECURITY_PROTOCOL", "LOG_LEVEL", f"{own}DRAIN_BUDGET_S", f"{own}NO_SUCH_THING"):
        assert f"{name}: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", MODULES)
async def test_without_kafka_it_lives_is_not_ready_says_why_and_ends_with_0(module: str, tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "log"
    ports = {"INGEST_AUDIOHOOK_PORT": str(free_port())} if module == "ingest" else {}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - starting takes no time; waiting for it does, and polls
            [sys.executable, "-m", module],
            cwd=tmp_path,
            env=environment(module, tmp_path, **ports, **{f"{prefix(module)}ADMIN_PORT": str(port)}),
            stdout=output,
            stderr=output,
        )
    try:
        async with HttpClient("admin", timeout_s=2, any_status=True) as http, asyncio.timeout(DEADLINE_S):
            base = f"http://127.0.0.1:{port}"
            ready = await _answer(http, f"{base}/readyz", "Kafka", process)
            assert ready.status == 503
            assert (await http.request("GET", f"{base}/livez")).status == 200
            metrics = (await http.request("GET", f"{base}/metrics")).body.decode()
            assert 'callstream_service_info{component="' in metrics
            process.send_signal(signal.SIGTERM)
            while process.poll() is None:
                await asyncio.sleep(0.05)
        assert process.returncode == 0, log.read_text()
        assert b"Traceback" not in log.read_bytes()
    finally:
        process.kill()
        process.wait()


async def _answer(http: HttpClient, url: str, wanted: str, process: subprocess.Popen[bytes]):
    """Ask until the answer names `wanted`; the caller's deadline ends it."""
    while True:
        assert process.poll() is None, "the process ended by itself"
        try:
            answer = await http.request("GET", url)
        except Unavailable:
            await asyncio.sleep(0.05)
            continue
        if wanted in answer.body.decode():
            return answer
        await asyncio.sleep(0.05)
