import asyncio
import json

from ingest.pressure import Pressure
from ingest.session import Session
from ingest.sources.audiohook.protocol import AudioHookProtocol, Limits
from runtime.metrics import INGEST_SOURCES_PAUSED
from tests.ingest.sources.audiohook.words import CORRELATION, ORGANIZATION, SESSION, Client
from tests.ingest.test_outlet import until
from tests.ingest.test_session import FRAME, LOST, FakeOutlet, Pipe, surroundings


def types(pipe: Pipe) -> list[str]:
    return [json.loads(text)["type"] for text in pipe.sent]


def test_who_joins_is_told_when_it_begins_and_ends_and_at_once_while_it_is_on():
    pressure, early, late = Pressure(), [], []
    pressure.join(early.append)
    pressure.tell(True)
    pressure.join(late.append)
    assert INGEST_SOURCES_PAUSED._value.get() == 1
    pressure.leave(early.append)
    pressure.tell(False)
    assert (early, late) == ([True], [True, False])
    assert INGEST_SOURCES_PAUSED._value.get() == 0


async def test_a_live_call_is_asked_to_pause_and_to_resume_and_a_new_one_starts_paused():
    around = surroundings(FakeOutlet())

    def serve(pipe: Pipe):
        machine = AudioHookProtocol(ORGANIZATION, SESSION, CORRELATION, Limits())
        return Session("audiohook", machine, around).run(pipe)

    client, other = Client(), Client()
    first, second = Pipe(client.open(), FRAME), Pipe()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(first))
        await until(lambda: types(first) == ["opened"])
        around.pressure.tell(True)
        await until(lambda: types(first) == ["opened", "pause"])
        first.arriving.put_nowait(client.say("paused", "PT0.2S"))
        await until(lambda: "PAUSED" in around.outlet.kinds())
        tasks.create_task(serve(second))
        second.arriving.put_nowait(other.open())
        await until(lambda: second.sent)
        assert json.loads(second.sent[0])["parameters"].get("startPaused") or "pause" in types(second)
        around.pressure.tell(False)
        await until(lambda: types(first) == ["opened", "pause", "resume"])
        first.arriving.put_nowait(LOST)
        second.arriving.put_nowait(LOST)
    assert ("PAUSED", "OWN_PAUSE") in around.outlet.marks()
    around.pressure.tell(True)
    assert types(first) == ["opened", "pause", "resume"]


async def test_a_secure_pause_is_not_ended_by_the_end_of_ours():
    around = surroundings(FakeOutlet())
    machine = AudioHookProtocol(ORGANIZATION, SESSION, CORRELATION, Limits())
    client = Client()
    pipe = Pipe(client.open(), FRAME, client.say("paused", "PT0.2S"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Session("audiohook", machine, around).run(pipe))
        await until(lambda: "PAUSED" in around.outlet.kinds())
        around.pressure.tell(True)
        around.pressure.tell(False)
        pipe.arriving.put_nowait(client.say("resumed", "PT0.2S", {"start": "PT0.2S", "discarded": "PT0S"}))
        await until(lambda: "RESUMED" in around.outlet.kinds())
        pipe.arriving.put_nowait(LOST)
    assert "resume" not in types(pipe)
    assert ("PAUSED", "SECURE_PAUSE") in around.outlet.marks()
