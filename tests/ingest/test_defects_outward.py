"""F1, F2, F3, F6: what is passed on, and what is said of it. The defects: tests/data/defects/README.md."""

from collections.abc import Callable
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from audio.frames import FrameEncoder, decode
from ingest.outlet import Outlet, OutletLimits
from ingest.protocol import AudioReceived, SessionOpened
from ingest.session import Session
from processors.cognigy.messages import request
from runtime.clock import Clock, ManualClock, SystemClock
from schemas.records import AudioFrame, Origin, SessionInfo, Utterance
from schemas.symbols import Channels, Codec, FrameKind, Reason, Source, UtteranceKind
from schemas.topics import AUDIO
from tests.data.defects import outward
from tests.ingest.showing import eventually, running, shows
from tests.ingest.sources.media_streams.words import STORE
from tests.ingest.test_outlet import Broker
from tests.ingest.test_pausing_downstream import PAUSED, RESUMED, Heard
from tests.ingest.test_session import surroundings

SAMPLES = 160


class OurFlow:
    """A session and its outlet while no broker can be reached, and then one."""

    def __init__(self, limit_bytes):
        self.broker = Broker()
        self.broker.reachable = False
        self.outlet = Outlet(
            self.broker.connect,
            lambda _flowing, _why: None,
            SystemClock(),
            limits=OutletLimits(linger_ms=1, max_buffer_bytes=limit_bytes),
        )
        self.session = Session("fake", None, surroundings(self.outlet))
        info = SessionInfo(conversation_id="call")
        self.session.take([SessionOpened("k", info, Source.OTHER, 8000, Codec.PCMU, Channels.MIXED)])
        self.position = 0

    @property
    def waiting_bytes(self):
        return self.outlet.memory_bytes

    def put(self, payload):
        audio = AudioReceived("k", payload, Codec.PCMU, Channels.MIXED, 8000, self.position, SAMPLES)
        self.position += SAMPLES
        self.session.take([audio])

    async def settle(self):
        self.broker.reachable = True
        async with running(self.outlet.run()):
            await eventually(lambda: self.outlet.unacknowledged == 0)
            self.put(b"\xff" * SAMPLES)
            await eventually(lambda: self.outlet.unacknowledged == 0)
        frames = decode(self.broker.values(), STORE)
        audio = frames.kind == FrameKind.AUDIO.code
        gaps = (frames.kind == FrameKind.GAP.code) & (frames.reason == Reason.OVERFLOW.code)
        return int(frames.duration_samples[audio].sum()) - SAMPLES, int(frames.duration_samples[gaps].sum())


@shows(OurFlow, F1=outward.Unbounded)
async def test_what_cannot_be_passed_on_is_bounded_and_announced(make):
    limit_bytes = 64 * 1024
    before = dropped()
    flow = make(limit_bytes)
    for _ in range(2000):
        flow.put(b"\xff" * SAMPLES)
    assert flow.waiting_bytes < 2 * limit_bytes
    passed, missing = await flow.settle()
    assert passed > 0
    assert passed + missing == 2000 * SAMPLES
    assert dropped() - before == missing / SAMPLES


def dropped():
    return REGISTRY.get_sample_value("callstream_ingest_frames_dropped_total", {"reason": "overflow"}) or 0


def our_record():
    def encode(payload):
        return FrameEncoder(STORE).encode(
            AudioFrame(kind=FrameKind.AUDIO, session_id=UUID(int=1).bytes, payload=payload)
        )

    def read(value):
        return decode([value], STORE).payload(0)

    return encode, read


@pytest.mark.parametrize("payload", [bytes(range(256)) * 7, b"\xff" * 1600], ids=["any bytes", "silence"])
@shows(our_record, F2=lambda: (outward.list_of_numbers, outward.read_back))
def test_audio_is_stored_as_its_bytes_and_hardly_anything_more(make, payload):
    encode, read = make()
    value = encode(payload)
    assert read(value) == payload
    assert len(value) < len(payload) + 300


def our_evidence(*, paused):
    heard = Heard().packets(0, 1)
    if paused:
        heard.state(PAUSED)
    heard.packets(2, 3)
    heard.state(RESUMED)
    heard.packets(4)
    frames = decode([record.value for _, record in heard.records if record.topic == AUDIO.name], STORE)
    columns = (frames.kind, frames.reason, frames.position_samples, frames.duration_samples)
    return [
        {"kind": list(FrameKind)[kind].value, "reason": list(Reason)[reason].value, "at": at, "for": length}
        for kind, reason, at, length in zip(*columns, strict=True)
    ]


@shows(our_evidence, F3=outward.says_all_is_well)
def test_what_is_said_of_a_call_depends_on_what_was_the_case(make):
    paused, heard = make(paused=True), make(paused=False)
    assert paused != heard
    assert len([fact for fact in paused if fact.get("kind") == "AUDIO"]) == 3
    assert {"kind": "PAUSED", "reason": "SECURE_PAUSE", "at": 2 * SAMPLES, "for": -1} in paused
    assert not [name for fact in paused + heard for name in fact if "compliant" in name.lower()]


def said(number, text="yes"):
    origin = Origin(topic="calls.events", partition=0, offset=number, index=0)
    return Utterance(
        kind=UtteranceKind.TEXT,
        conversation_id="call",
        session_id="session",
        utterance_id=f"utterance-{number}",
        text=text,
        origin=origin,
    )


def our_input(clock: Clock) -> Callable[[Utterance], bytes]:
    return request


@shows(our_input, F6=outward.only_a_time)
def test_what_is_sent_again_can_be_told_from_what_is_said_again(make):
    clock = ManualClock()
    message = make(clock)
    first = message(said(1))
    assert message(said(2)) != first
    clock.advance(3)
    assert message(said(1)) == first
