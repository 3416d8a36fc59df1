import asyncio
import errno
import io
from pathlib import Path

import pytest

from audio.frames import Frames, decode
from audio.session import SessionTable, Verdict
from callstream import importing
from callstream.importing import Source, Way, import_file, open_file
from ingest.outlet import Outlet, OutletLimits
from ingest.sequencer import Encoding
from ingest.sources.capture.findings import Findings
from ingest.sources.capture.wanted import Pair, Wanted, choice_of
from runtime.errors import ConfigError, Unavailable
from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, FrameKind, Reason
from tests.captures.files import write_pcap
from tests.captures.packets import Packet
from tests.captures.scenarios import OTHER_SSRC, SSRC, scenario
from tests.captures.sending import Sender, deliver
from tests.ingest.test_outlet import Broker
from tests.runtime.driven_loop import LoopClock, driven

STORE = SchemaStore()
KINDS = list(FrameKind)
PAIR = Pair(choice_of(f"{SSRC:#x}"), choice_of(f"{OTHER_SSRC:#x}"))


class Imported:
    """An import into a broker that is none; `log` is what calls.audio holds, TICKs apart."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.whole = False

    async def run(self, source: Source, way: Way | None = None) -> None:
        clock = LoopClock()
        outlet = Outlet(self.broker.connect, lambda _flows, _why: None, clock, limits=OutletLimits(linger_ms=1))
        with source.file:
            self.whole = await import_file(outlet, Encoding(STORE), source, way or Way(), clock)

    @property
    def frames(self) -> Frames:
        frames = decode(self.broker.values(), STORE)
        assert not frames.errors
        return frames

    @property
    def kinds(self) -> list[FrameKind]:
        return [kind for code in self.frames.kind if (kind := KINDS[code]) is not FrameKind.TICK]

    @property
    def events(self) -> list[CallEvent]:
        return [STORE.decode(value, CallEvent) for value in self.broker.values(topics.EVENTS.name)]


def opened(folder: Path, packets: tuple[Packet, ...], **wanted: object) -> Source:
    path = write_pcap(folder / "call.pcap", packets)
    return open_file(path, Wanted("call", **wanted), Findings())


def imported(source: Source, broker: Broker | None = None) -> Imported:
    found = Imported(broker or Broker())
    driven(found.run(source))
    return found


def test_every_record_is_stored_in_order_with_the_time_of_the_capture(tmp_path: Path) -> None:
    packets = scenario("two_ssrcs").packets
    found = imported(opened(tmp_path, packets, pairs=(PAIR,)))
    frames = found.frames
    audio = [row for row in range(len(frames)) if frames.kind[row] == FrameKind.AUDIO.code]
    assert found.whole
    assert found.kinds == [FrameKind.OPENED, *[FrameKind.AUDIO] * len(packets), FrameKind.CLOSED]
    assert [frames.payload(row) for row in audio] == [one.payload for one in packets]
    assert [int(frames.captured_at_us[row]) for row in audio] == [one.arrival_us for one in packets]
    verdicts = SessionTable().identify(frames, [b"call"] * len(frames), 0).verdicts
    assert not (verdicts & Verdict.HOLE).any()
    assert [(event.kind, event.reason) for event in found.events] == [
        (CallEventKind.OPENED, Reason.UNKNOWN),
        (CallEventKind.CLOSED, Reason.END),
    ]
    assert found.events[0].occurred_at_us == packets[0].arrival_us


def test_an_import_has_a_session_id_of_its_own(tmp_path: Path) -> None:
    packets = scenario("clean").packets[:5]
    one, other = (imported(opened(tmp_path, packets)).events[0] for _ in range(2))
    assert one.session_id != other.session_id
    assert one.conversation_id == other.conversation_id == f"call-{SSRC:08x}"


def test_in_real_time_each_packet_waits_for_its_time_and_quiet_sessions_say_that_they_live(tmp_path: Path) -> None:
    sender = Sender(SSRC)
    sender.audio(10)
    sender.quiet(150_000)
    sender.audio(10)
    source = opened(tmp_path, tuple(one.packet for one in deliver(sender.sent)))
    found = Imported(Broker())

    async def timed() -> float:
        began_s = asyncio.get_running_loop().time()
        await found.run(source, Way(real_time=True))
        return asyncio.get_running_loop().time() - began_s

    taken_s = driven(timed())
    assert 150.3 < taken_s < 151.5
    assert found.kinds.count(FrameKind.ALIVE) == 2
    assert found.kinds.count(FrameKind.AUDIO) == 20
    ticks = sum(KINDS[code] is FrameKind.TICK for code in found.frames.kind)
    assert ticks == 2 * int(taken_s / importing.TICK_EVERY_S)


def test_in_real_time_a_clock_that_was_set_back_hurries_nothing(tmp_path: Path) -> None:
    sender = Sender(SSRC)
    sender.audio(50)
    before = [one.packet for one in deliver(sender.sent)]
    sender.now_us -= 3600_000_000
    sender.audio(50)
    after = [one.packet for one in deliver(sender.sent[50:])]
    source = opened(tmp_path, (*before, *after))
    found = Imported(Broker())

    async def timed() -> float:
        began_s = asyncio.get_running_loop().time()
        await found.run(source, Way(real_time=True))
        return asyncio.get_running_loop().time() - began_s

    assert 1.9 < driven(timed()) < 2.5
    assert found.kinds.count(FrameKind.AUDIO) == 100


def test_told_to_stop_sessions_end_behind_a_gap(tmp_path: Path) -> None:
    source = opened(tmp_path, scenario("clean").packets)
    found = Imported(Broker())

    async def stopped() -> None:
        way = Way(real_time=True)
        asyncio.get_running_loop().call_later(5, way.stopping.set)
        await found.run(source, way)

    driven(stopped())
    frames = found.frames
    assert not found.whole
    assert found.kinds[-2:] == [FrameKind.GAP, FrameKind.CLOSED]
    published = found.kinds.count(FrameKind.AUDIO)
    assert 250 < published < 300
    gap, closed = [row for row in range(len(frames)) if KINDS[frames.kind[row]] in (FrameKind.GAP, FrameKind.CLOSED)]
    assert (int(frames.position_samples[gap]), int(frames.duration_samples[gap])) == (published * 160, -1)
    assert list(Reason)[frames.reason[gap]] is list(Reason)[frames.reason[closed]] is Reason.DRAIN


def test_a_file_is_read_no_faster_than_kafka_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MOST_WAITING_BYTES", 50_000)
    monkeypatch.setattr(importing, "PIECE_BYTES", 10_000)
    broker = Broker()
    broker.answering = False
    source = opened(tmp_path, scenario("clean").packets)
    found = Imported(broker)

    async def slowly() -> None:
        loop = asyncio.get_running_loop()
        read = []
        loop.call_later(5, lambda: read.append(source.file.tell()))
        for at_s in range(10, 60, 5):
            loop.call_later(at_s, broker.answer)
        loop.call_later(20, setattr, broker, "answering", True)
        await found.run(source)
        assert 0 < read[0] < source.size_bytes / 2

    driven(slowly())
    assert found.kinds.count(FrameKind.AUDIO) == 500


def test_a_broker_that_stays_away_ends_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MOST_WAITING_BYTES", 50_000)
    monkeypatch.setattr(importing, "PIECE_BYTES", 10_000)
    broker = Broker()
    broker.answering = False
    source = opened(tmp_path, scenario("clean").packets)
    with pytest.raises(ExceptionGroup) as caught:
        driven(Imported(broker).run(source, Way(patience_s=30)))
    assert caught.group_contains(Unavailable, match="records have waited for Kafka for more than 30 s")


def test_what_is_left_when_the_patience_is_over_is_said(tmp_path: Path) -> None:
    broker = Broker()
    broker.answering = False
    source = opened(tmp_path, scenario("clean").packets[:10])
    with pytest.raises(Unavailable, match="Kafka took no more: 14 records were not stored"):
        driven(Imported(broker).run(source, Way(patience_s=30)))


def test_told_to_stop_while_the_last_records_wait_it_does_not_wait_on(tmp_path: Path) -> None:
    broker = Broker()
    broker.answering = False
    source = opened(tmp_path, scenario("clean").packets[:10])

    async def stopped() -> float:
        loop, way = asyncio.get_running_loop(), Way(patience_s=600)
        loop.call_later(5, way.stopping.set)
        with pytest.raises(Unavailable, match="Kafka took no more"):
            await Imported(broker).run(source, way)
        return loop.time()

    assert driven(stopped()) < 30


class FailingDisk(io.BytesIO):
    """A file of which only the begin can be read."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 3000:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


def test_a_file_that_cannot_be_read_any_further_is_damaged_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PIECE_BYTES", 1000)
    source = opened(tmp_path, scenario("clean").packets)
    with source.file:
        disk = FailingDisk(source.file.read())
    found = imported(source._replace(file=disk))
    assert source.findings.damage is not None
    assert str(source.findings.damage) == "damaged at byte 4000: it cannot be read, Input/output error"
    assert found.kinds[-2:] == [FrameKind.GAP, FrameKind.CLOSED]
    assert {list(Reason)[code] for code in found.frames.reason[-2:]} == {Reason.OTHER, Reason.PEER_ERROR}
    assert found.kinds.count(FrameKind.AUDIO) == 17


def test_a_file_without_times_is_as_old_as_its_import(tmp_path: Path) -> None:
    from tests.captures.files import frame, interface, section, simple, udp  # noqa: PLC0415 - only here
    from tests.captures.packets import rtp  # noqa: PLC0415 - only here

    path = tmp_path / "call.pcapng"
    packets = scenario("clean").packets[:5]
    blocks = [simple(frame(udp(rtp(one), one.source, one.destination))) for one in packets]
    path.write_bytes(section() + interface() + b"".join(blocks))
    found = imported(open_file(path, Wanted("call"), Findings()))
    assert min(found.frames.captured_at_us) >= 1_700_000_000_000_000
    assert [int(one) for one in found.frames.position_samples][1:-1] == [0, 160, 320, 480, 640]


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "is empty"), (b"no capture at all, but a text", "is no pcap, pcapng or WAV file")],
)
def test_a_file_that_cannot_be_imported_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=why):
        open_file(path, Wanted("call"), Findings())


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        open_file(tmp_path / "none", Wanted("call"), Findings())
    with pytest.raises(ConfigError, match="Is a directory"):
        open_file(tmp_path, Wanted("call"), Findings())
