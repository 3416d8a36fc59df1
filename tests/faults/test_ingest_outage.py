"""No call and no frame is lost while Kafka is dead, ingest is killed beside it, or one ingest follows another."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from audio.frames import FrameEncoder, decode
from audio.session import SessionTable
from callstream.embedded_kafka import EmbeddedKafka
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, SessionInfo
from schemas.symbols import Codec, FrameKind, Reason
from simulators.audiohook.call import Call
from simulators.audiohook.media import Audio
from simulators.audiohook.scenario import Scenario
from tests.faults.ingest_calls import Audit, Placed, Stored
from tests.faults.ingest_outage import BUDGET_S, killed, outage, rolled, stopped
from tests.faults.ingest_process import stage
from tests.faults.ingest_run import Measured, Shape
from tests.kafka_fixture import CACHE_DIR

CALLS = 40
FEW = 8
FRAME_MS = 100
FRAME_SAMPLES = 800
KILLED_LOSS_S = 1.5
"""What was received in the last second may be missing; the rest is for a machine that does other things too."""
SESSION = bytes([1]) * 16


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of this module alone: it is killed."""
    own = EmbeddedKafka(tmp_path_factory.mktemp("outage") / "kafka", cache_dir=CACHE_DIR)
    own.start_sync()
    yield own
    own.stop_sync()


def told(found: Measured) -> Measured:
    """Print what a run came to, and demand that nothing is lost, late or out of its place."""
    print(found.result())  # noqa: T201
    assert found.complaints() == []
    return found


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_dead_broker_costs_no_call_and_no_frame(broker: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(broker, tmp_path) as built:
        found = told(await outage(built, Shape(CALLS, 8, FRAME_MS)))
    assert found.stored == found.sent > CALLS * 50


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_an_ingest_killed_in_the_outage_has_lost_and_announced_the_last_second_at_most(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(broker, tmp_path) as built:
        found = told(await killed(built, Shape(CALLS, 3, FRAME_MS, KILLED_LOSS_S)))
    assert 0 < found.killed < CALLS


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_an_ingest_killed_while_it_catches_up_has_lost_and_announced_the_last_second_at_most(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(broker, tmp_path) as built:
        found = told(await killed(built, Shape(FEW, 1.5, FRAME_MS, KILLED_LOSS_S), catching_up=True))
    assert 0 < found.killed < FEW


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_an_ingest_that_is_told_to_stop_in_the_outage_ends_soon_and_the_next_one_stores_what_it_left(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(broker, tmp_path) as built:
        found = told(await stopped(built, Shape(FEW, 1.5, FRAME_MS)))
    assert found.stored == found.sent > FEW
    assert 0 < found.end_s < BUDGET_S / 2


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_an_ingest_that_stops_under_load_has_stored_every_frame_it_was_sent(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(broker, tmp_path) as built:
        found = told(await rolled(built, Shape(CALLS, 0, FRAME_MS)))
    assert found.stored == found.sent
    assert 0 < found.drained < CALLS


def test_what_is_lost_late_or_displaced_is_named() -> None:
    assert Measured("outage", 1, pongs=1, pong_max_ms=4999.0).complaints() == []
    worst = Measured("outage", 1, pong_max_ms=5000.0, sessions_lost=1, missing=1, displaced=1, remarks=["and this"])
    assert len(worst.complaints()) == 6


class Log:
    """Records of one call as ingest would write them."""

    def __init__(self) -> None:
        noise = Audio(random.Random(1).randbytes(10 * 2 * FRAME_SAMPLES))
        self.placed = Placed(Call(scenario=Scenario("noise", noise, frame_ms=FRAME_MS)), "")
        self.sent = list(self.placed.call.scenario.frames())
        self.values: list[bytes] = []
        self._store = SchemaStore()
        self.mark(FrameKind.OPENED, Reason.UNKNOWN, 0)

    def frame(self, sequence: int, content: int, position: int) -> None:
        """Add the frame that was sent as number `content`."""
        self._add(
            AudioFrame(
                kind=FrameKind.AUDIO,
                session_id=SESSION,
                codec=Codec.PCMU,
                sequence=sequence,
                sample_rate_hz=8000,
                duration_samples=FRAME_SAMPLES,
                position_samples=position * FRAME_SAMPLES,
                captured_at_s=1e9,
                payload=self.sent[content],
            )
        )

    def mark(self, kind: FrameKind, reason: Reason, sequence: int, position: int = 0) -> None:
        """Add a record without audio."""
        info = self._store.encode(SessionInfo(conversation_id="any")) if kind is FrameKind.OPENED else b""
        self._add(
            AudioFrame(
                kind=kind,
                reason=reason,
                session_id=SESSION,
                sequence=sequence,
                sample_rate_hz=8000,
                position_samples=position * FRAME_SAMPLES,
                captured_at_s=1e9,
                payload=info,
            )
        )

    def _add(self, frame: AudioFrame) -> None:
        self.values.append(FrameEncoder(self._store).encode(frame))

    def stored(self) -> Stored:
        """What an audit makes of them."""
        audit = Audit([self.placed])
        keys: list[bytes | None] = [self.placed.conversation_id.encode()] * len(self.values)
        audit.take(decode(list(self.values), self._store), keys, SessionTable())
        assert audit.unknown == 0
        return audit.stored[self.placed.conversation_id]


def test_a_call_stored_as_it_was_sent_is_in_its_place() -> None:
    log = Log()
    for number in range(3):
        log.frame(number + 1, number, number)
    log.mark(FrameKind.GAP, Reason.INGEST_LOST, 4, 3)
    log.mark(FrameKind.CLOSED, Reason.INGEST_LOST, 5, 3)
    found = log.stored()
    assert (found.frames, found.displaced, found.repeats) == (3, 0, 0)
    assert found.marks == ["OPENED", "GAP INGEST_LOST", "CLOSED INGEST_LOST"]
    assert found.gap_samples == 3 * FRAME_SAMPLES


@pytest.mark.parametrize(
    ("frames", "displaced"),
    [
        ([(1, 0, 0), (2, 2, 1)], 1),  # another frame's bytes
        ([(1, 0, 0), (2, 1, 2)], 1),  # the right bytes, elsewhere
        ([(1, 0, 0), (3, 1, 1)], 1),  # a record is missing in front of it
    ],
)
def test_a_frame_with_other_bytes_or_elsewhere_or_behind_a_hole_is_displaced(
    frames: list[tuple[int, int, int]], displaced: int
) -> None:
    log = Log()
    for sequence, content, position in frames:
        log.frame(sequence, content, position)
    assert log.stored().displaced == displaced


def test_a_frame_that_is_stored_twice_counts_once() -> None:
    log = Log()
    for sequence, content in ((1, 0), (2, 1), (2, 1), (3, 2)):
        log.frame(sequence, content, content)
    found = log.stored()
    assert (found.frames, found.displaced, found.repeats) == (3, 0, 1)
