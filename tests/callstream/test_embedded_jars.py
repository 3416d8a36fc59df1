"""The cache of Kafka's jars: filled once, checked, never resolved again."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from callstream import embedded_jars
from callstream.embedded_errors import KafkaStartError
from callstream.embedded_jars import Jar, ensure_jars, expected_jars

CONTENTS = {"a.jar": b"first", "b.jar": b"second"}


@pytest.fixture(autouse=True)
def two_small_jars(monkeypatch: pytest.MonkeyPatch):
    jars = [Jar(hashlib.sha256(content).hexdigest(), len(content), name) for name, content in CONTENTS.items()]
    monkeypatch.setattr(embedded_jars, "_EXPECTED", jars)


class FakeResolver:
    def __init__(self, contents: dict[str, bytes] = CONTENTS, *, error: Exception | None = None) -> None:
        self.calls = 0
        self.contents = contents
        self.error = error
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    async def __call__(self, folder: Path, received: Callable[[int], None]) -> None:
        self.calls += 1
        (folder / "jars").mkdir()
        for name, content in self.contents.items():
            (folder / "jars" / name).write_bytes(content)
        received(sum(map(len, self.contents.values())))
        await self.may_finish.wait()
        if self.error:
            raise self.error


def silent(_line: str) -> None:
    pass


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_an_empty_cache_is_filled_and_the_operator_is_told(tmp_path: Path):
    lines: list[str] = []

    jars = await ensure_jars(tmp_path / "cache", FakeResolver(), lines.append)

    assert {path.name: path.read_bytes() for path in jars.iterdir()} == CONTENTS
    assert files_in(tmp_path / "cache") == {"kafka-4.2.1", "kafka-4.2.1.lock"}
    assert lines[0].startswith("downloading Apache Kafka 4.2.1 (")
    assert "first start only" in lines[0]


async def test_a_filled_cache_never_asks_the_resolver(tmp_path: Path):
    await ensure_jars(tmp_path, FakeResolver(), silent)
    unused = FakeResolver(error=AssertionError("the resolver was called"))

    jars = await ensure_jars(tmp_path, unused, silent)

    assert files_in(jars) == set(CONTENTS)
    assert unused.calls == 0


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"cut")])
async def test_a_damaged_cache_is_filled_again(tmp_path: Path, damage: Callable[[Path], object]):
    jars = await ensure_jars(tmp_path, FakeResolver(), silent)
    damage(jars / "b.jar")

    await ensure_jars(tmp_path, FakeResolver(), silent)

    assert (jars / "b.jar").read_bytes() == CONTENTS["b.jar"]
    assert files_in(tmp_path) == {"kafka-4.2.1", "kafka-4.2.1.lock"}


@pytest.mark.parametrize(
    "contents",
    [{"a.jar": b"first"}, {**CONTENTS, "b.jar": b"secret"}, {**CONTENTS, "c.jar": b"unexpected"}],
    ids=["missing", "changed", "added"],
)
async def test_a_download_that_is_not_what_was_expected_is_thrown_away(tmp_path: Path, contents: dict[str, bytes]):
    with pytest.raises(KafkaStartError, match=r"\((b|c)\.jar missing or changed\)"):
        await ensure_jars(tmp_path, FakeResolver(contents), silent)

    assert files_in(tmp_path) == {"kafka-4.2.1.lock"}


async def test_a_failed_download_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(KafkaStartError, match="no network"):
        await ensure_jars(tmp_path, FakeResolver(error=KafkaStartError("no network")), silent)

    assert files_in(tmp_path) == {"kafka-4.2.1.lock"}


async def test_what_a_killed_download_left_is_removed(tmp_path: Path):
    (tmp_path / "kafka-4.2.1.part-dead" / "jars").mkdir(parents=True)

    await ensure_jars(tmp_path, FakeResolver(), silent)

    assert files_in(tmp_path) == {"kafka-4.2.1", "kafka-4.2.1.lock"}


async def test_of_two_first_starts_one_downloads_and_the_other_waits(tmp_path: Path):
    slow, other = FakeResolver(), FakeResolver()
    slow.may_finish.clear()
    other_waits = asyncio.Event()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(ensure_jars(tmp_path, slow, silent))
        while not slow.calls:
            await asyncio.sleep(0)
        second = group.create_task(ensure_jars(tmp_path, other, lambda _line: other_waits.set()))
        await other_waits.wait()
        assert not second.done()
        slow.may_finish.set()

    assert first.result() == second.result()
    assert (slow.calls, other.calls) == (1, 0)


async def test_a_cache_folder_that_cannot_be_made_names_its_setting(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(KafkaStartError, match="CALLSTREAM_CACHE_DIR"):
        await ensure_jars(tmp_path / "file", FakeResolver(), silent)


def test_the_list_of_jars_holds_kafka_and_its_logger():
    names = {jar.name for jar in expected_jars()}

    assert {"kafka_2.13-4.2.1.jar", "kafka-clients-4.2.1.jar", "slf4j-simple-1.7.36.jar"} <= names
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in expected_jars())
