from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.frames import decode
from ingest.identity import Lineage
from ingest.protocol import AudioReceived, EventReceived, Mark, SessionClosed, SessionInfoChanged, SessionOpened
from ingest.sequencer import Encoding, Moment, Outgoing, Sequencer
from runtime.errors import UsageError
from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, Channels, ClosedBy, Codec, FrameKind, Reason, Source

STORE = SchemaStore()
INFO = SessionInfo(conversation_id="call-1", source_name="audiohook", organisation="o", queue="q", agent="a")
OPENED = SessionOpened("k", INFO, Source.AUDIOHOOK, 8000, Codec.PCMU, Channels.EXTERNAL_INTERNAL)


class Written:
    """A sequencer and what it has written."""

    def __init__(self) -> None:
        self.ids = iter(UUID(int=0x7000 << 64 | number) for number in range(1, 99))
        self.sequencer = Sequencer(Encoding(STORE), lambda: next(self.ids), Lineage())
        self.records: list[Outgoing] = []
        self.at = Moment(1_700_000_000.25, 50.0)

    def take(self, *facts, room: bool = True) -> "Written":
        for fact in facts:
            self.records += self.sequencer.take(fact, self.at, room=room)
        return self

    def wait(self, seconds: float) -> "Written":
        self.at = Moment(self.at.wall_s + seconds, self.at.monotonic_s + seconds)
        return self

    @property
    def frames(self):
        return decode([record.value for record in self.records if record.topic == topics.AUDIO.name], STORE)

    @property
    def events(self) -> list[CallEvent]:
        return [STORE.decode(record.value, CallEvent) for record in self.records if record.topic == topics.EVENTS.name]

    def kinds(self) -> list[str]:
        return [list(FrameKind)[code].value for code in self.frames.kind]


def audio(position: int, payload: bytes = b"\xff\x7f", **changes) -> AudioReceived:
    return AudioReceived(
        "k", payload, Codec.PCMU, Channels.EXTERNAL_INTERNAL, 8000, position, len(payload) // 2, **changes
    )


def test_a_session_opens_with_its_info_on_both_topics_under_the_conversations_key():
    written = Written().take(OPENED)
    assert {record.key for record in written.records} == {b"call-1"}
    assert written.frames.infos[0] == INFO
    (event,) = written.events
    assert (event.kind, event.session_info, event.session_id) == (
        CallEventKind.OPENED,
        INFO,
        str(UUID(int=0x7000 << 64 | 1)),
    )
    assert (event.event_counter, event.audio_sequence, event.occurred_at_us) == (0, 0, 1_700_000_000_250_000)


def test_audio_keeps_every_field_the_source_gave():
    given_ = audio(
        160,
        b"abcd",
        stream=7,
        source_sequence=65535,
        source_timestamp=99,
        source_clock_hz=8000,
        source_sequence_bits=16,
        source_timestamp_bits=32,
        payload_type=0,
        marker=True,
        late=True,
    )
    frames = Written().take(OPENED, given_).frames
    assert frames.payload(1) == b"abcd"
    for name in (
        "stream",
        "source_sequence",
        "source_timestamp",
        "source_clock_hz",
        "payload_type",
        "position_samples",
    ):
        assert getattr(frames, name)[1] == getattr(given_, name)
    assert (frames.marker[1], frames.late[1], frames.duration_samples[1]) == (True, True, 2)
    assert (frames.source_sequence_bits[1], frames.source_timestamp_bits[1]) == (16, 32)
    assert frames.captured_at_us[1] == 1_700_000_000_250_000
    assert frames.source[1] == Source.AUDIOHOOK.code


def test_sequence_counts_calls_audio_and_the_counter_calls_events():
    written = Written().take(
        OPENED,
        audio(0),
        Mark("k", FrameKind.PAUSED, Reason.SECURE_PAUSE, 1),
        EventReceived("k", CallEvent(kind=CallEventKind.DTMF, conversation_id="", session_id="")),
        Mark("k", FrameKind.ALIVE, position_samples=1, stated_position_samples=7),
        Mark("k", FrameKind.RESUMED, Reason.SECURE_PAUSE, 1, 4, 5),
        SessionInfoChanged("k", replace(INFO, language="de")),
        SessionClosed("k", Reason.END, 5, ClosedBy.REMOTE, 1000),
    )
    assert written.kinds() == ["OPENED", "AUDIO", "PAUSED", "ALIVE", "RESUMED", "INFO", "CLOSED"]
    assert written.frames.sequence.tolist() == list(range(7))
    events = written.events
    assert [(event.kind.value, event.event_counter, event.audio_sequence) for event in events] == [
        ("OPENED", 0, 0),
        ("PAUSED", 1, 2),
        ("DTMF", 2, 3),
        ("RESUMED", 3, 4),
        ("INFO", 4, 5),
        ("CLOSED", 5, 6),
    ]
    assert {(event.organisation, event.queue, event.agent, event.source_name) for event in events} == {
        ("o", "q", "a", "audiohook")
    }
    assert (events[3].position_samples, events[3].duration_samples, events[3].sample_rate_hz) == (1, 4, 8000)
    assert written.frames.infos[5].language == "de"


def test_a_stated_position_stands_in_the_source_timestamp_of_its_mark():
    frames = Written().take(OPENED, Mark("k", FrameKind.ALIVE, position_samples=1, stated_position_samples=7)).frames
    assert (frames.source_timestamp[1], frames.source_clock_hz[1], frames.source_timestamp_bits[1]) == (7, 8000, 53)
    assert (frames.source_timestamp[0], frames.source_timestamp_bits[0]) == (-1, 0)


def test_audio_without_room_gets_no_sequence_and_a_gap_of_exactly_its_length_comes_before_the_next_record():
    written = Written().take(OPENED, audio(0)).take(audio(1), audio(2), room=False).take(audio(3))
    frames = written.frames
    assert written.kinds() == ["OPENED", "AUDIO", "GAP", "AUDIO"]
    assert frames.sequence.tolist() == [0, 1, 2, 3]
    assert (frames.reason[2], frames.position_samples[2], frames.duration_samples[2]) == (Reason.OVERFLOW.code, 1, 2)
    (gap,) = [event for event in written.events if event.kind is CallEventKind.GAP]
    assert (gap.reason, gap.duration_samples, gap.audio_sequence) == (Reason.OVERFLOW, 2, 2)


def test_a_mark_announces_what_was_dropped_before_it():
    written = Written().take(OPENED).take(audio(0), SessionClosed("k", Reason.END, 1), room=False)
    assert written.kinds() == ["OPENED", "GAP", "CLOSED"]


def test_dropped_stretches_that_do_not_touch_are_announced_apart():
    written = Written().take(OPENED).take(audio(0), audio(5), room=False).take(audio(6))
    frames = written.frames
    assert written.kinds() == ["OPENED", "GAP", "GAP", "AUDIO"]
    assert frames.position_samples.tolist() == [0, 0, 5, 6]


def test_dropped_audio_whose_length_is_not_known_is_announced_once_however_long_there_is_no_room():
    lengthless = [audio(place)._replace(duration_samples=-1) for place in (0, 960, 2880, 1920)]
    written = Written().take(OPENED).take(*lengthless, room=False)
    assert written.kinds() == ["OPENED"]
    frames = written.take(audio(3840)._replace(duration_samples=-1)).frames
    assert written.kinds() == ["OPENED", "GAP", "AUDIO"]
    assert (frames.position_samples[1], frames.duration_samples[1]) == (0, -1)


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=40))
def test_whatever_is_dropped_audio_and_gaps_cover_the_timeline_without_a_seam(steps):
    written = Written().take(OPENED)
    position = 0
    for samples, room in steps:
        written.take(audio(position, bytes(2 * samples)), room=room)
        position += samples
    frames = written.take(SessionClosed("k", Reason.END, position)).frames
    assert frames.sequence.tolist() == list(range(len(frames)))
    ends = 0
    for start, duration in zip(
        frames.position_samples.tolist()[:-1], frames.duration_samples.tolist()[:-1], strict=True
    ):
        assert start == ends
        ends += max(duration, 0)
    assert ends == position == frames.position_samples[-1]


def test_a_session_that_wrote_nothing_for_a_minute_writes_alive_on_each_topic():
    written = Written().take(OPENED).wait(59)
    assert written.sequencer.keep_alive(written.at) == []
    written.take(audio(0)).wait(1)
    (event,) = written.sequencer.keep_alive(written.at)
    assert STORE.decode(event.value, CallEvent).kind is CallEventKind.ALIVE
    written.wait(59)
    written.records = written.sequencer.keep_alive(written.at)
    assert written.kinds() == ["ALIVE"]
    assert (written.frames.position_samples[0], written.frames.source_timestamp[0]) == (1, -1)


def test_closed_says_how_long_the_session_lasted_and_forgets_it():
    written = Written().take(OPENED).wait(2).take(audio(0)).wait(3)
    closed = written.take(SessionClosed("k", Reason.SOCKET_LOST, closed_by=ClosedBy.NETWORK, code=1006)).events[-1]
    assert (closed.connection_age_ms, closed.last_frame_age_ms, closed.code) == (5000, 3000, 1006)
    assert (closed.position_samples, closed.closed_by) == (1, ClosedBy.NETWORK)
    with pytest.raises(UsageError):
        written.take(audio(1))


def test_audio_that_is_late_or_of_unknown_length_moves_the_position_not_back():
    written = Written().take(OPENED, audio(4), audio(0), audio(5)._replace(duration_samples=-1))
    closed = written.take(SessionClosed("k", Reason.END)).frames
    assert closed.position_samples.tolist() == [0, 4, 0, 5, 5]


def test_a_stream_of_another_rate_moves_the_position_at_the_rate_of_the_session():
    written = Written().take(OPENED, audio(0, bytes(2 * 32_000))._replace(sample_rate_hz=16_000)).wait(61)
    written.records = written.sequencer.keep_alive(written.at)
    assert written.kinds() == ["ALIVE"]
    assert written.frames.position_samples.tolist() == [16_000]
    assert written.frames.sample_rate_hz.tolist() == [8000]


def test_a_later_session_names_the_id_of_the_one_it_goes_on_from():
    written = Written().take(OPENED, SessionClosed("k", Reason.RECONNECT))
    first = written.events[0].session_id
    later = replace(OPENED, key="l", info=replace(INFO, continued_from="k"))
    assert written.take(later).events[-1].session_info.continued_from == first


def test_a_key_that_comes_back_goes_on_from_its_session_before():
    written = Written().take(OPENED, SessionClosed("k", Reason.BUDGET_SPENT), OPENED)
    before, _, after = written.events
    assert after.session_info.continued_from == before.session_id != after.session_id
    assert before.session_info.continued_from is None


def test_a_second_opening_of_a_live_session_is_ignored():
    assert len(Written().take(OPENED, OPENED).records) == 2


def test_ids_of_a_registry_are_used_from_when_they_are_known():
    store = SchemaStore()
    sequencer = Sequencer(Encoding(store), lambda: UUID(int=5), Lineage())
    at = Moment(1.0, 1.0)
    before = sequencer.take(OPENED, at)[0].value
    store.write_with("audio_frame", 77)
    assert before[1:5] != sequencer.take(audio(0), at)[0].value[1:5] == (77).to_bytes(4, "big")


def test_a_tick_belongs_to_nobody():
    encoding = Encoding(STORE)
    frames = decode([encoding.tick(topics.AUDIO.name, 5.0)], STORE)
    assert frames.ok[0]
    assert (frames.kind[0], frames.sequence[0], frames.session_id[0].tobytes()) == (FrameKind.TICK.code, -1, bytes(16))
    event = STORE.decode(encoding.tick(topics.EVENTS.name, 5.0), CallEvent)
    assert (event.kind, event.event_counter, event.session_id) == (CallEventKind.TICK, -1, str(UUID(int=0)))
