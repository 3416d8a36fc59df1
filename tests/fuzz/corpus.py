"""The kept corpus: recorded sessions, and raw input that once broke something.

A recording (`corpus/<name>.jsonl`) is what one connection delivered: the ids of its request, then each message in
order. `python -m tests.fuzz.corpus` records the sessions anew, from the stand-in's calls over a real socket.
"""

import asyncio
import base64
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.config import IngestSettings
from ingest.protocol import Admitted
from ingest.sequencer import Encoding
from ingest.server import IngestServer
from ingest.session import Surroundings
from ingest.sources.audiohook.config import AudioHookSettings
from ingest.table import ACCEPTING
from runtime.clock import SystemClock
from runtime.log import get_logger
from simulators.audiohook import media
from simulators.audiohook.call import Call, seeded
from simulators.audiohook.client import Options, run_call
from simulators.audiohook.scenario import SAMPLES_PER_MS, Close, Discard, Drop, Dtmf, Pause, Scenario, Update
from simulators.audiohook.signature import Credentials
from tests.fuzz.wire import KEY
from tests.ingest.test_session import STORE, FakeOutlet

FOLDER = Path(__file__).parent / "corpus"
MS = SAMPLES_PER_MS


@dataclass(frozen=True)
class Recording:
    """One session as the server heard it."""

    name: str
    organization_id: str
    session_id: str
    correlation_id: str
    messages: tuple[str | bytes, ...]

    @property
    def samples(self) -> int:
        """Samples per channel of its audio, which is stereo."""
        return sum(len(data) // 2 for data in self.messages if isinstance(data, bytes))


def recordings() -> list[Recording]:
    """Return every recorded session."""
    return [_read(path) for path in sorted(FOLDER.glob("*.jsonl"))]


def broken() -> dict[str, bytes]:
    """Return every raw input that is kept, by name: what a peer sends behind an accepted request."""
    return {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.bin"))}


def _read(path: Path) -> Recording:
    head, *lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    messages = [base64.b64decode(line["audio"]) if "audio" in line else line["text"] for line in lines]
    return Recording(path.stem, *head["ids"], tuple(messages))


class _Tap:
    """A machine that notes what it hears."""

    def __init__(self, machine, heard: list[str | bytes]) -> None:
        self._machine = machine
        self._heard = heard

    def __getattr__(self, name: str):
        return getattr(self._machine, name)

    def receive_text(self, text: str, now_s: float):
        self._heard.append(text)
        return self._machine.receive_text(text, now_s)

    def receive_binary(self, data: bytes, now_s: float):
        self._heard.append(data)
        return self._machine.receive_binary(data, now_s)


class _Tapped:
    """A source whose machines note what they hear."""

    def __init__(self, source) -> None:
        self._source = source
        self.heard: list[str | bytes] = []

    def __getattr__(self, name: str):
        return getattr(self._source, name)

    def admit(self, target, headers, wall_s):
        admitted = self._source.admit(target, headers, wall_s)
        assert isinstance(admitted, Admitted)
        return replace(admitted, protocol=_Tap(admitted.protocol, self.heard))


def _scenarios() -> dict[str, Call]:
    short, long = media.tone(400), media.tone(1200)
    busy = (
        Dtmf(60 * MS, "4"),
        Discard(100 * MS, 130 * MS),
        Update(240 * MS, "de-DE"),
        Pause(250 * MS, 50 * MS, skips=False),
        Dtmf(320 * MS, "#"),
        Discard(330 * MS, 7 * MS, skips=False),
    )
    calls = {
        "plain": Scenario("plain", short, frame_ms=100),
        "busy": Scenario("busy", short, busy, frame_ms=20),
        "paused_twice": Scenario("p", short, (Pause(50 * MS, 40 * MS), Pause(200 * MS, 40 * MS)), frame_ms=50),
        "dropped": Scenario("dropped", short, (Drop(250 * MS),), frame_ms=100),
        "closed_early": Scenario("closed_early", short, (Close(130 * MS, "reconnect"),), frame_ms=50),
        "pings": Scenario("pings", long, frame_ms=200),
    }
    made = {name: Call(scenario=each, speed=1 if name == "pings" else 0) for name, each in calls.items()}
    made["probe"] = replace(made["plain"], probe=True)
    return {name: seeded(call, name) for name, call in made.items()}


async def _record(name: str, call: Call, keys: Path) -> None:
    listening = ACCEPTING["audiohook"](IngestSettings(audiohook=AudioHookSettings(port=0, keys_file=keys)))
    tapped = _Tapped(listening.source)
    surroundings = Surroundings(FakeOutlet(), SystemClock(), get_logger("ingest"), Encoding(STORE))
    server = IngestServer(replace(listening, source=tapped), surroundings)
    async with asyncio.TaskGroup() as tasks:
        await server.start(tasks)
        report = await run_call(f"ws://127.0.0.1:{server.port}/audiohook", call, Options(credentials=Credentials(KEY)))
        assert report.outcome in ("closed", "dropped"), report
        server.stop_accepting()
        await server.drain(1)
    ids = [str(call.organization_id), str(call.session_id), str(call.correlation_id)]
    heard = [
        {"text": each} if isinstance(each, str) else {"audio": base64.b64encode(each).decode()} for each in tapped.heard
    ]
    lines = [{"ids": ids}, *heard]
    (FOLDER / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


async def _record_all() -> None:
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.json"
        keys.write_text(json.dumps({KEY: ""}))
        for name, call in _scenarios().items():
            await _record(name, call, keys)


if __name__ == "__main__":
    asyncio.run(_record_all())
