import asyncio
import base64
import json

import pytest

from callstream.schemas_command import register_all
from runtime.clock import ManualClock
from runtime.config import RegistrySettings
from runtime.errors import ConfigError, Unavailable
from runtime.registry import Registry, subjects
from schemas.codec import SchemaStore
from schemas.records import SessionInfo
from schemas.topics import PUBLIC
from schemas.versions import LOCAL_ID_BASE, newest, released
from simulators.registry.server import RegistryServer
from tests.runtime.loopback import serving

FOREIGN = json.dumps({"type": "record", "name": "Foreign", "fields": [{"name": "n", "type": "int"}]})


@pytest.fixture
async def server():
    return RegistryServer()


@pytest.fixture
async def url(server):
    async with serving(server.application()) as url:
        yield url


@pytest.fixture
async def registry(url):
    registry = Registry(RegistrySettings(url=url), ManualClock())
    yield registry
    await registry.close()


def test_every_public_topic_and_the_session_info_have_a_subject():
    assert set(subjects()) == {f"{topic.name}-value" for topic in PUBLIC} | {"calls.audio-session-info"}
    assert subjects()["calls.audio-value"] == "audio_frame"


async def test_without_a_url_nothing_is_asked_and_local_ids_stay():
    registry, store = Registry(RegistrySettings()), SchemaStore()
    await registry.prepare(store)
    await registry.resolve([1, 2], store)
    assert not registry.configured
    assert store.write_id("audio_frame") == newest("audio_frame").local_id
    assert store.get(1) is None


async def test_a_service_writes_with_the_ids_that_were_registered(server, url, registry):
    await register_all(RegistrySettings(url=url))
    server.seen.clear()
    store = SchemaStore()
    await registry.prepare(store)
    for folder in subjects().values():
        assert json.loads(server.store.schemas[store.write_id(folder)]) == json.loads(newest(folder).text)
    assert all(store.write_id(folder) < LOCAL_ID_BASE for folder in subjects().values())
    info = SessionInfo(conversation_id="c")
    assert store.decode(store.encode(info), SessionInfo) == info
    assert not any(line.endswith("/versions") for line in server.seen), "a service registers nothing"


async def test_registering_covers_all_versions_and_demands_full_compatibility(server, url):
    lines = await register_all(RegistrySettings(url=url))
    assert len(lines) == sum(list(subjects().values()).count(schema.folder) for schema in released())
    assert server.store.levels == dict.fromkeys(subjects(), "FULL_TRANSITIVE")
    assert await register_all(RegistrySettings(url=url)) == lines


async def test_a_schema_that_is_not_registered_yet_is_waited_for(server, registry):
    with pytest.raises(
        Unavailable, match=r"calls\.audio-value v1 is not registered; run `callstream schemas register`"
    ):
        await registry.prepare(SchemaStore())
    server.store.register("calls.audio-value", {"schema": FOREIGN})
    with pytest.raises(Unavailable, match="is not registered"):
        await registry.prepare(SchemaStore())


async def test_a_schema_is_fetched_once_and_kept_for_ever(server, registry):
    _, answer = server.store.register("theirs-value", {"schema": FOREIGN})
    store = SchemaStore()
    for _ in range(3):
        await registry.resolve([answer["id"]], store)
    assert store.get(answer["id"]).definition["name"] == "Foreign"
    assert server.seen == [f"GET /schemas/ids/{answer['id']}"]


async def test_many_who_wait_for_one_id_ask_once(server, registry):
    _, answer = server.store.register("theirs-value", {"schema": FOREIGN})
    server.delay_s = 0.05
    store = SchemaStore()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(registry.resolve([answer["id"]], store))
    assert store.get(answer["id"]) is not None
    assert len(server.seen) == 1


async def test_who_waits_goes_on_when_the_one_who_asks_is_cancelled(server, registry):
    _, answer = server.store.register("theirs-value", {"schema": FOREIGN})
    server.delay_s = 0.2
    store = SchemaStore()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(registry.resolve([answer["id"]], store))
        await asyncio.sleep(0)
        second = tasks.create_task(registry.resolve([answer["id"]], store))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({second})
    assert store.get(answer["id"]) is not None


async def test_an_unknown_id_stays_unknown_and_is_not_asked_again_at_once(server, registry):
    store = SchemaStore()
    await registry.resolve([7], store)
    await registry.resolve([7], store)
    assert store.get(7) is None
    assert len(server.seen) == 1
    registry._clock.advance(31)
    await registry.resolve([7], store)
    assert len(server.seen) == 2


async def test_an_id_of_the_local_range_is_never_asked_for(server, registry):
    await registry.resolve([LOCAL_ID_BASE, LOCAL_ID_BASE + 0xFFFFFF], SchemaStore())
    assert server.seen == []


async def test_a_registry_that_does_not_answer_is_waited_for(server, registry):
    server.answers_with, server.retry_after = 503, "0"
    with pytest.raises(Unavailable, match="schema registry: status 503"):
        await registry.resolve([7], SchemaStore())
    server.answers_with = None
    await registry.resolve([7], SchemaStore())
    assert len(server.seen) == 4, "three tries, then the one that was answered"


async def test_a_refused_version_is_the_operators(server, registry):
    server.store.incompatible.add("theirs-value")
    await registry.register("theirs-value", FOREIGN)
    with pytest.raises(ConfigError, match="status 409"):
        await registry.register("theirs-value", FOREIGN.replace('"n"', '"m"'))
    with pytest.raises(ConfigError, match="code 42201"):
        await registry.register("theirs-value", '{"type": "nothing"}')
    with pytest.raises(ConfigError, match="code 42203"):
        await registry.set_compatibility("theirs-value", "SOME")


async def test_credentials_are_sent_and_their_lack_is_the_operators(server, url):
    server.credentials = "Basic " + base64.b64encode(b"me:secret").decode()
    good = Registry(RegistrySettings(url=url, username="me", password="secret"))
    bad = Registry(RegistrySettings(url=url))
    try:
        await good.resolve([7], SchemaStore())
        with pytest.raises(ConfigError, match="code 40101") as error:
            await bad.resolve([7], SchemaStore())
        assert "secret" not in str(error.value)
    finally:
        await good.close()
        await bad.close()
