import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from ingest.outlet import Tide
from ingest.roll import Roll
from ingest.spool import keeper as module
from ingest.spool.folder import Folder
from ingest.spool.journal import Entry, Mark, Reading
from ingest.spool.keeper import Keeper
from ingest.spool.segments import Whole, scan
from ingest.spool.spool import Spool
from runtime.clock import ManualClock
from runtime.log import get_logger
from schemas import topics
from schemas.records import SessionInfo
from schemas.symbols import Source
from tests.ingest.spool.bridged import SEAL
from tests.ingest.test_outlet import until


@dataclass
class Session:
    id: UUID
    key: bytes = b"call"
    info: SessionInfo = SessionInfo(conversation_id="call", organisation="org", source_name="test")  # noqa: RUF009
    source: Source = Source.AUDIOHOOK
    sample_rate_hz: int = 8000
    sequence: int = 0
    counter: int = 0
    position_samples: int = 0


class Tides:
    """Partitions whose records the test takes and lands."""

    def __init__(self) -> None:
        self.known = True
        self.now = {topics.AUDIO.name: Tide(0, 0, 100), topics.EVENTS.name: Tide(0, 0, 200)}

    def partition(self, topic, key):
        return 3 if self.known else -1

    def tide(self, topic, partition):
        return self.now[topic] if partition == 3 else None

    def put(self, count: int) -> None:
        self.now = {topic: tide._replace(taken=tide.taken + count) for topic, tide in self.now.items()}

    def land(self) -> None:
        self.now = {
            topic: Tide(tide.taken, tide.taken, tide.stored_offset + tide.taken - tide.landed)
            for topic, tide in self.now.items()
        }


class Scene:
    def __init__(self, path) -> None:
        self.path = path
        self.roll, self.tides = Roll(), Tides()
        self.folder = Folder(path, SEAL, max_bytes=2**26, segment_bytes=2**20)
        self.spool = Spool(self.folder, 2**26, get_logger("ingest"))
        self.keeper = Keeper(self.spool, self.roll, self.tides, ManualClock(), get_logger("ingest"))

    def open(self) -> Session:
        session = Session(uuid4())
        self.roll.on_opened(session)
        self.move(session)
        return session

    def move(self, session: Session, count: int = 1) -> None:
        """Let a session write records on both topics."""
        session.sequence += count
        session.counter += count
        session.position_samples += 800 * count
        self.tides.put(count)

    def entries(self) -> dict[UUID, Entry]:
        """What a later process would read."""
        reading = Reading()
        for file in sorted(self.path.glob("journal-*.spool")):
            for part in scan(file.read_bytes(), SEAL):
                # it may be read while it is written
                if isinstance(part, Whole):
                    reading.take(part.records)
        return reading.entries

    def mark(self, session: Session) -> Mark:
        return self.entries()[session.id].mark

    @asynccontextmanager
    async def running(self):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.keeper.run())
            yield
            self.keeper.stop()
        await self.keeper.end()
        await self.spool.close()


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SECOND_S", 0.03)
    monkeypatch.setattr(module, "_GATHER_S", 0.001)
    return Scene(tmp_path)


async def test_a_session_stands_in_the_journal_at_once_with_the_offsets_behind_which_it_is(scene):
    async with scene.running():
        session = scene.open()
        await until(lambda: session.id in scene.entries())
        entry = scene.entries()[session.id]
        assert entry.mark == Mark(0, 0, 0, 100, 200)
        assert (entry.standing.conversation_id, entry.standing.organisation) == ("call", "org")
        assert {path.stat().st_mode & 0o777 for path in scene.path.glob("journal-*")} == {0o600}


async def test_how_far_it_is_counts_once_kafka_has_acknowledged_it_and_not_before(scene):
    async with scene.running():
        session = scene.open()
        await until(lambda: session.id in scene.entries())
        await asyncio.sleep(0.1)
        assert scene.mark(session) == Mark(0, 0, 0, 100, 200)
        scene.move(session, 4)
        scene.tides.land()
        await until(lambda: scene.mark(session).sequence == 5)
        # the claim was made before any of them was stored, or after all: either way the rest lies behind the offset
        assert scene.mark(session).audio_offset <= 105
        scene.move(session, 2)
        await asyncio.sleep(0.1)
        assert scene.mark(session).sequence == 5


async def test_a_closed_session_stays_until_all_of_it_is_stored(scene):
    async with scene.running():
        session = scene.open()
        await until(lambda: session.id in scene.entries())
        scene.roll.on_closed(session)
        scene.move(session)
        await asyncio.sleep(0.1)
        assert session.id in scene.entries()
        scene.tides.land()
        await until(lambda: session.id not in scene.entries())
    assert not list(scene.path.glob("journal-*"))


async def test_what_is_not_stored_at_the_end_stays_in_the_journal(scene):
    async with scene.running():
        session = scene.open()
        await until(lambda: session.id in scene.entries())
        scene.roll.on_closed(session)
        scene.move(session)
    assert set(scene.entries()) == {session.id}


async def test_a_journal_that_grew_large_begins_anew_with_what_is_open(scene, monkeypatch):
    monkeypatch.setattr(module, "_LARGEST_BYTES", 2_000)
    async with scene.running():
        first = scene.open()
        for _ in range(12):
            closed = scene.open()
            scene.roll.on_closed(closed)
            scene.tides.land()
            await until(lambda closed=closed: closed.id not in scene.keeper._kept)
        await until(lambda: set(scene.entries()) == {first.id})
        [path] = scene.path.glob("journal-*")
        assert path.name > "journal-00000002"
        assert scene.mark(first).sequence == 1


async def test_a_journal_that_could_not_be_written_is_written_anew_when_the_disk_works_again(scene, monkeypatch):
    async with scene.running():
        first = scene.open()
        await until(lambda: first.id in scene.entries())

        def fail(*_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(module, "_append", fail)
            second = scene.open()
            await until(lambda: scene.keeper._failing)
            assert second.id not in scene.entries()
        await until(lambda: set(scene.entries()) == {first.id, second.id})


async def test_while_the_partitions_are_not_known_nothing_is_claimed(scene):
    scene.tides.known = False
    async with scene.running():
        session = scene.open()
        await until(lambda: session.id in scene.entries())
        scene.tides.land()
        await asyncio.sleep(0.1)
        assert scene.mark(session) == Mark(0, 0, 0, -1, -1)
        scene.tides.known = True
        await until(lambda: scene.mark(session).sequence == 1)
