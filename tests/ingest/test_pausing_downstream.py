"""What loss, silence and recordings make of sessions that were withheld in part, or carry no audio at all."""

from uuid import UUID

import pytest

from audio.session import IDLE_MS
from ingest.identity import Lineage
from ingest.pausing import Gate, PauseBook, PauseRules
from ingest.protocol import AudioReceived, Fact, Mark, Observed, SessionClosed, SessionOpened
from ingest.sequencer import Encoding, Moment, Outgoing, Sequencer
from processors.loss.logic import LossProcessor
from processors.silence.logic import SilenceProcessor
from runtime.testing import Driver, LogRecord
from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import ActivityWindow, LossReport, SessionInfo
from schemas.symbols import ActivityKind, Channel, Channels, Codec, FrameKind, LossReportKind, Reason, Source
from simulators.conversation import script
from tests.sinks.recording_sync.calls import START_MS, record

PACKET = 160
SPEECH = script.load().payload[: 2 * 8000 * 12 : 2]
INFO = SessionInfo(conversation_id="conversation")
PAUSED, RESUMED = FrameKind.PAUSED, FrameKind.RESUMED


class Heard:
    """A guarded session beside one that states pauses; 20 ms pass with each of its packets."""

    def __init__(self, source: Source = Source.MEDIA_STREAMS) -> None:
        book, rules = PauseBook(), PauseRules()
        ids = iter(UUID(int=0x7000 << 64 | number) for number in range(99))
        self._stating, self._guarded = Gate(book, rules), Gate(book, rules)
        self._sequencer = Sequencer(Encoding(SchemaStore()), lambda: next(ids), Lineage())
        self.at_s = START_MS / 1000
        self.records: list[tuple[int, Outgoing]] = []
        self._stating.take(SessionOpened("a", INFO, Source.AUDIOHOOK, 8000), self.at_s)
        self.state(FrameKind.ALIVE)
        self.take(SessionOpened("s", INFO, source, 8000, Codec.PCMU, Channels.MIXED, states_pauses=False))

    def take(self, fact: Fact) -> "Heard":
        for passed in self._guarded.take(fact, self.at_s):
            if not isinstance(passed, Observed):
                records = self._sequencer.take(passed, Moment(self.at_s, self.at_s))
                self.records += [(round(self.at_s * 1000), record) for record in records]
        return self

    def state(self, kind: FrameKind) -> "Heard":
        self._stating.take(Mark("a", kind, Reason.SECURE_PAUSE, 0, 0), self.at_s)
        return self

    def packets(self, *numbers: int) -> "Heard":
        for number in numbers:
            place = number * PACKET
            self.at_s += 0.02
            payload = SPEECH[place : place + PACKET]
            self.take(
                AudioReceived(
                    "s", payload, Codec.PCMU, Channels.MIXED, 8000, place, PACKET, 0, number, place, 8000, 32, 32
                )
            )
        return self

    def close(self, position: int = -1) -> "Heard":
        return self.take(SessionClosed("s", Reason.END, position))

    @property
    def audio(self) -> list[tuple[int, Outgoing]]:
        return [(at_ms, record) for at_ms, record in self.records if record.topic == topics.AUDIO.name]

    def run(self, processor) -> Driver:
        driver = Driver(processor)
        for at_ms, one in self.audio:
            driver.send_value(one.value, key=one.key, timestamp_ms=at_ms)
        driver.run()
        assert not driver.dead_letters
        return driver

    def loss(self) -> LossReport:
        reports = self.run(LossProcessor()).records(topics.LOSS.name)
        assert not [report for report in reports if report.kind is LossReportKind.ALARM_RAISED]
        (final,) = [r for r in reports if (r.kind, r.channel) == (LossReportKind.FINAL, Channel.ALL)]
        return final

    def activity(self) -> list[ActivityWindow]:
        found = self.run(SilenceProcessor()).records(topics.ACTIVITY.name)
        return [window for window in found if window.kind is ActivityKind.TOTAL]

    async def recorded(self, folder) -> dict[str, bytes]:
        log = [LogRecord(number, at_ms, one.key, one.value) for number, (at_ms, one) in enumerate(self.audio)]
        return (await record(folder, log)).found()


def test_what_a_pause_withholds_is_paused_and_not_lost():
    heard = Heard().packets(*range(250)).state(PAUSED).packets(*range(250, 400)).state(RESUMED)
    heard.packets(*range(400, 600)).close()
    final = heard.loss()
    assert (final.expected, final.received, final.lost, final.restarts) == (450, 450, 0, 0)
    assert (final.paused_ms, [(gap.start_samples, gap.duration_samples) for gap in final.gaps]) == (
        3000,
        [(40_000, 24_000)],
    )
    (total,) = heard.activity()
    assert (total.audio_ms, total.paused_ms, total.missing_ms) == (9000, 3000, 0)


def test_real_loss_beside_a_pause_is_still_found():
    heard = Heard().packets(*range(100), *range(103, 200)).state(PAUSED).packets(*range(200, 230)).state(RESUMED)
    heard.packets(230, 228, *range(231, 300), *range(302, 400)).close()
    final = heard.loss()
    assert (final.expected, final.lost, final.paused_ms) == (370, 5, 600)


def test_a_reconnect_in_a_pause_is_booked_beside_it():
    heard = Heard().packets(*range(100)).state(PAUSED).packets(*range(100, 150))
    heard.take(Mark("s", FrameKind.GAP, Reason.RECONNECT, 150 * PACKET, 50 * PACKET)).packets(*range(200, 250))
    heard.state(RESUMED).packets(*range(250, 300)).close()
    final = heard.loss()
    assert (final.lost, final.paused_ms, final.reconnect_ms) == (0, 2000, 1000)
    (total,) = heard.activity()
    assert (total.audio_ms, total.paused_ms, total.missing_ms) == (3000, 2000, 1000)


def test_a_session_that_ends_in_a_pause_was_paused_to_its_end():
    heard = Heard().packets(*range(100)).state(PAUSED).packets(*range(100, 150)).close()
    final = heard.loss()
    assert (final.lost, final.paused_ms, final.end_samples) == (0, 1000, 150 * PACKET)
    (total,) = heard.activity()
    assert (total.paused_ms, total.missing_ms) == (1000, 0)


async def test_a_recording_holds_nothing_of_a_pause(tmp_path):
    heard = Heard().packets(*range(100)).state(PAUSED).packets(*range(100, 150)).state(RESUMED)
    found = await heard.packets(*range(150, 200)).close().recorded(tmp_path)
    (wav,) = [content for name, content in found.items() if name.endswith(".wav")]
    assert SPEECH[99 * PACKET : 100 * PACKET] in wav
    assert SPEECH[150 * PACKET : 151 * PACKET] in wav
    assert SPEECH[100 * PACKET : 101 * PACKET] not in wav


@pytest.mark.parametrize("minutes", [0, 20])
async def test_a_session_without_audio_makes_no_recording_no_activity_and_an_empty_account(tmp_path, minutes):
    heard = Heard(Source.APPFOUNDRY)
    for _ in range(minutes):
        heard.at_s += 60
        heard.take(Mark("s", FrameKind.ALIVE, position_samples=0))
    heard.close()
    assert minutes * 60_000 in (0, IDLE_MS + 300_000)
    final = heard.loss()
    assert (final.frames, final.expected, final.lost, final.end_samples) == (0, 0, 0, 0)
    assert final.gaps == ()
    assert heard.activity() == []
    assert heard.run(SilenceProcessor()).records(topics.SILENCE.name) == []
    assert await heard.recorded(tmp_path) == {}
