import asyncio
import json

import pytest
from typer.testing import CliRunner

from callstream.audiohook_keys import fingerprint
from callstream.diagnose_causes import CODES
from callstream.diagnose_command import app
from runtime.errors import ConfigError
from tests.callstream.test_diagnose_audiohook import Certified, quick
from tests.ingest.sources.audiohook.test_auth import KEY, SECRET
from tests.ingest.test_server import serving
from tests.ingest.test_session import FakeOutlet

__all__ = ["quick"]


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


async def test_the_command_says_each_step_and_ends_with_0_or_1(tmp_path):
    keys, certified = tmp_path / "keys.json", Certified(tmp_path)
    keys.write_text(json.dumps({"other": "QQ==", KEY: SECRET}))
    async with serving(FakeOutlet(), keys, **certified.settings) as server:
        url = f"wss://localhost:{server.port}/audiohook"
        options = ["--ca-file", certified.authority, "--calls", 2, "--seconds", 0.2]
        good = await asyncio.to_thread(run, "audiohook", url, "--file", keys, "--key", fingerprint(KEY), *options)
        keys_elsewhere = tmp_path / "elsewhere.json"
        keys_elsewhere.write_text(json.dumps({KEY: "QQ=="}))
        bad = await asyncio.to_thread(run, "audiohook", url, "--file", keys_elsewhere, *options)
    assert good.exit_code == 0, good.output
    assert [line.split()[0] for line in good.stdout.splitlines()] == ["ok"] * 6 + ["note"]
    assert bad.exit_code == 1
    assert "FAIL  probe: refused with 401" in bad.stdout
    assert "AUDIOHOOK-0003" in bad.stdout
    assert SECRET not in good.output + bad.output
    assert KEY not in good.output + bad.output


async def test_key_and_secret_may_come_from_a_file_each(tmp_path):
    (tmp_path / "keys.json").write_text(json.dumps({KEY: SECRET}))
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "secret").write_text(SECRET + "\n")
    files = ["--api-key-file", tmp_path / "key", "--secret-file", tmp_path / "secret"]
    async with serving(FakeOutlet(), tmp_path / "keys.json") as server:
        url = f"ws://localhost:{server.port}/audiohook"
        found = await asyncio.to_thread(run, "audiohook", url, *files, "--calls", 1, "--seconds", 0)
    assert "ok    probe" in found.stdout
    assert "ok    load" in found.stdout
    assert "FAIL  address: the platform takes no other URI than wss://" in found.stdout


@pytest.mark.parametrize("name", [*CODES, "audiohook-0006"])
def test_an_event_is_explained(name):
    result = run("code", name)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{name.upper()}: {CODES[name.upper()].meaning}")
    assert "steps: " in result.stdout


def test_all_events_are_explained_where_none_is_named():
    assert all(name in run("code").stdout for name in CODES)


@pytest.mark.parametrize(
    "wrong",
    [
        ["code", "AUDIOHOOK-1"],
        ["audiohook", "wss://localhost:1", "--ca-file", "/none"],
        ["audiohook", "wss://localhost:1", "--api-key-file", "/none"],
        ["audiohook", "wss://localhost:1", "--file", "/none"],
    ],
)
def test_a_mistake_is_a_configuration_error(wrong):
    assert isinstance(run(*wrong).exception, ConfigError)
