"""A session that goes on from another process's: what stands before its audio, where that lies, who reads it how."""

from dataclasses import replace

import pytest

from ingest.identity import Predecessor
from ingest.protocol import AudioReceived, EventReceived, Mark, SessionClosed, SessionInfoChanged, SessionOpened
from ingest.sequencer import Moment
from ingest.takeover import Takeover
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, Channels, Codec, FrameKind, Reason, Source
from tests.ingest.test_pausing_downstream import PACKET, SPEECH, Heard
from tests.ingest.test_sequencer import INFO, OPENED, Written, audio

LEFT_S = 1_700_000_000.0
PREDECESSOR = Predecessor("01932c00-0000-7000-8000-000000000001", LEFT_S)


def taken_over(left_s: float | None = LEFT_S) -> Written:
    written = Written()
    written.sequencer._lineage.take_over(OPENED.source, "k", PREDECESSOR._replace(last_captured_s=left_s))
    return written.take(OPENED)


def column(written: Written, name: str) -> list[int]:
    return getattr(written.frames, name).tolist()


def test_a_gap_of_the_time_between_stands_before_the_first_audio():
    written = taken_over().wait(7.0 - 0.25 + 0.02).take(audio(0, bytes(320)), audio(160, bytes(320)))
    assert written.kinds() == ["OPENED", "GAP", "AUDIO", "AUDIO"]
    assert written.frames.reason[1] == Reason.TAKEOVER.code
    assert column(written, "position_samples") == [0, 0, 56_000, 56_160]
    assert column(written, "duration_samples")[1] == 56_000
    gap = written.events[1]
    assert (gap.kind, gap.reason, gap.duration_samples, gap.estimated) == (
        CallEventKind.GAP,
        Reason.TAKEOVER,
        56_000,
        True,
    )
    assert written.frames.infos[0].continued_from == PREDECESSOR.session_id


def test_everything_the_source_places_lies_behind_the_gap():
    written = taken_over().wait(1.0 - 0.25 + 0.02).take(audio(0, bytes(320)))
    event = CallEvent(
        kind=CallEventKind.TRANSCRIPT, conversation_id="", session_id="", start_samples=10, end_samples=20
    )
    written.take(EventReceived("k", event), Mark("k", FrameKind.GAP, Reason.RECONNECT, 160, 800))
    written.take(audio(960, bytes(320)), SessionClosed("k", Reason.END, 1120))
    assert column(written, "position_samples") == [0, 0, 8000, 8160, 8960, 9120]
    transcript = next(one for one in written.events if one.kind is CallEventKind.TRANSCRIPT)
    assert (transcript.start_samples, transcript.end_samples, transcript.position_samples) == (8010, 8020, 8160)


def test_a_pause_before_the_first_audio_ends_the_gap():
    written = taken_over().wait(2.0 - 0.25).take(Mark("k", FrameKind.PAUSED, Reason.OTHER, 0))
    written.wait(5).take(Mark("k", FrameKind.RESUMED, Reason.OTHER, 0, 40_000), audio(40_000, bytes(320)))
    assert written.kinds() == ["OPENED", "GAP", "PAUSED", "RESUMED", "AUDIO"]
    assert column(written, "position_samples") == [0, 0, 16_000, 16_000, 56_000]


def test_what_says_nothing_of_media_does_not_end_the_gap():
    written = taken_over().take(SessionInfoChanged("k", INFO), Mark("k", FrameKind.ALIVE))
    assert written.kinds() == ["OPENED", "INFO", "ALIVE"]


def test_without_any_audio_the_gap_s_length_is_not_knowable():
    written = taken_over().wait(3).take(SessionClosed("k", Reason.END, 0))
    assert written.kinds() == ["OPENED", "GAP", "CLOSED"]
    assert column(written, "duration_samples")[1] == -1


@pytest.mark.parametrize("ahead_s", [0.0, 30.0])
def test_where_the_clocks_contradict_each_other_the_length_is_not_knowable_and_nothing_is_moved(ahead_s):
    written = taken_over(LEFT_S + 0.25 + ahead_s).take(audio(0, bytes(320)))
    assert column(written, "duration_samples")[1] == -1
    assert column(written, "position_samples") == [0, 0, 0]


def test_a_session_that_ended_with_its_media_leaves_no_gap():
    written = taken_over(None).wait(9).take(audio(0))
    assert written.kinds() == ["OPENED", "AUDIO"]
    assert written.frames.infos[0].continued_from == PREDECESSOR.session_id


def test_audio_of_another_rate_is_moved_by_the_same_time():
    takeover = Takeover(LEFT_S, 8000)
    first = audio(0, bytes(320))._replace(sample_rate_hz=16_000)
    assert takeover.gap_before(first, LEFT_S + 1.01) == 8000
    moved = takeover.shifted(first)
    assert isinstance(moved, AudioReceived)
    assert moved.position_samples == 16_000


class TakenOver(Heard):
    """A session of media streams that begins 3 s after its predecessor's last record."""

    def __init__(self) -> None:
        super().__init__()
        self.records.clear()
        self._sequencer.take(SessionClosed("s", Reason.OTHER), Moment(self.at_s, self.at_s))
        self._sequencer._lineage.take_over(Source.MEDIA_STREAMS, "s", PREDECESSOR._replace(last_captured_s=self.at_s))
        self.at_s += 3
        opened = SessionOpened(
            "s", SessionInfo(conversation_id="conversation"), Source.MEDIA_STREAMS, 8000, Codec.PCMU, Channels.MIXED
        )
        self.take(replace(opened, states_pauses=False))


def test_loss_books_the_gap_as_a_reconnect_and_nothing_as_lost():
    final = TakenOver().packets(*range(100)).close().loss()
    assert (final.expected, final.received, final.lost, final.reconnect_ms) == (100, 100, 0, 3000)
    assert [(gap.reason, gap.start_samples, gap.duration_samples) for gap in final.gaps] == [
        (Reason.TAKEOVER, 0, 24_000)
    ]
    assert final.end_samples == 24_000 + 100 * PACKET


def test_silence_begins_with_the_audio_behind_the_gap():
    (total,) = TakenOver().packets(*range(100)).close().activity()
    assert (total.audio_ms, total.missing_ms, total.start_samples) == (2000, 0, 24_000)


async def test_a_recording_names_the_gap_and_holds_the_audio_behind_it(tmp_path):
    found = await TakenOver().packets(*range(100)).close().recorded(tmp_path)
    (wav,) = [content for name, content in found.items() if name.endswith(".wav")]
    (vcon,) = [content for name, content in found.items() if name.endswith(".json")]
    assert SPEECH[: 100 * PACKET] in wav
    assert b"takeover" in vcon.lower()
    at = wav.index(SPEECH[: 10 * PACKET])
    assert at >= 24_000
