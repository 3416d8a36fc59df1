import pytest

from ingest.media import Media
from ingest.protocol import (
    AudioReceived,
    Call,
    CloseConnection,
    Effect,
    Ended,
    EventReceived,
    Mark,
    Observation,
    Observed,
    SessionClosed,
    SessionOpened,
)
from ingest.single_call import Description, SingleCall
from schemas.symbols import CallEventKind, Channels, ClosedBy, Codec, FrameKind, Reason, Source
from tests.ingest.single_calls import FRAME, LOST

CALL = Call("call-1", connection_id="c-1", organisation="acme", queue="sales", agent="ann")
L16 = Media(Codec.L16_LE, 8000, Channels.EXTERNAL)


class Machine(SingleCall):
    """A source whose every binary message is audio."""

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:
        return self._audio(data, now_s)

    def fail(self, message: str = "busy") -> list[Effect]:
        return self._failed(503, message)


def machine(media: Media | None = None) -> Machine:
    return Machine(CALL, Description(Source.MEDIA_WEBSOCKET, "a-source", media or Media(), "de"))


def connected(media: Media | None = None) -> Machine:
    found = machine(media)
    found.connected(10.0)
    return found


def hear(protocol: Machine, since_s: float, seconds: float) -> list[Effect]:
    """Send 20 ms frames live from a time on."""
    frames = range(round(seconds * 50))
    return [effect for number in frames for effect in protocol.receive_binary(FRAME, since_s + 0.02 * number)]


def kinds(effects: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def test_the_first_connection_opens_the_session_with_all_that_is_known_of_the_call():
    (opened,) = machine(L16).connected(10.0)
    assert isinstance(opened, SessionOpened)
    info = opened.info
    assert (opened.key, info.conversation_id, info.platform_session_id) == ("call-1", "call-1", "c-1")
    assert (info.organisation, info.queue, info.agent) == ("acme", "sales", "ann")
    assert (info.source_name, info.language, info.continued_from) == ("a-source", "de", None)
    assert (opened.codec, opened.channels, opened.sample_rate_hz) == (Codec.L16_LE, Channels.EXTERNAL, 8000)
    assert (opened.source, opened.states_pauses) == (Source.MEDIA_WEBSOCKET, False)


def test_audio_is_passed_on_as_it_is_without_numbers():
    found = hear(connected(), 11.0, 0.06)
    assert found == [
        AudioReceived(
            key="call-1",
            payload=FRAME,
            codec=Codec.PCMU,
            channels=Channels.MIXED,
            sample_rate_hz=8000,
            position_samples=160 * number,
            duration_samples=160,
        )
        for number in range(3)
    ]
    first = found[0]
    assert isinstance(first, AudioReceived)
    assert (first.source_sequence, first.source_sequence_bits) == (-1, 0)


def test_messages_of_any_length_are_taken_and_parts_of_samples_are_not():
    protocol = connected(L16)
    sizes = (2, 318, 3200)
    taken = [protocol.receive_binary(bytes(size), 11.0)[0] for size in sizes]
    assert [audio.duration_samples for audio in taken if isinstance(audio, AudioReceived)] == [1, 159, 1600]
    named = Observed(Observation.PROTOCOL_ERROR, detail="payload holds no whole samples")
    assert protocol.receive_binary(bytes(319), 11.1) == [named]
    assert protocol.receive_binary(bytes(1), 11.1) == [Observed(Observation.PROTOCOL_ERROR)]
    assert protocol.receive_binary(b"", 11.1) == [Observed(Observation.PROTOCOL_ERROR, detail="payload is empty")]
    (after,) = protocol.receive_binary(bytes(2), 11.2)
    assert isinstance(after, AudioReceived)
    assert after.position_samples == 1760


def test_a_defect_is_named_once_on_each_connection():
    protocol = connected(L16)
    named = [Observed(Observation.PROTOCOL_ERROR, detail="payload is empty")]
    assert protocol.receive_binary(b"", 11.0) == named
    assert protocol.receive_binary(b"", 11.0) != named
    protocol.disconnected(12.0, *LOST)
    protocol.connected(13.0)
    assert protocol.receive_binary(b"", 14.0) == named


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 4000])
def test_a_connection_that_ends_with_any_code_is_a_loss_the_session_outlives(code):
    protocol = connected()
    hear(protocol, 11.0, 1)
    assert protocol.disconnected(12.5, code, "bye", ClosedBy.REMOTE) == []
    assert not protocol.finished
    (told,) = protocol.connected(14.0)
    assert isinstance(told, EventReceived)
    event = told.event
    assert (event.kind, event.code, event.message) == (CallEventKind.RECONNECT, code, "bye")
    assert (event.closed_by, event.connection_age_ms, event.last_frame_age_ms) == (ClosedBy.REMOTE, 2500, 520)
    assert event.position_samples == 8000


def test_an_outage_is_a_gap_once_the_stream_is_live_again():
    protocol = connected()
    hear(protocol, 11.0, 1)
    protocol.disconnected(12.0, *LOST)
    protocol.connected(14.0)
    heard = hear(protocol, 15.0, 1)
    (gap,) = [effect for effect in heard if isinstance(effect, Mark)]
    assert (gap.key, gap.kind, gap.reason, gap.estimated) == ("call-1", FrameKind.GAP, Reason.RECONNECT, True)
    assert gap.duration_samples == pytest.approx(3 * 8000, abs=800)
    after = heard[heard.index(gap) + 1]
    assert isinstance(after, AudioReceived)
    assert after.position_samples == gap.position_samples + gap.duration_samples


def test_what_was_held_up_is_late_and_leaves_no_gap():
    protocol = connected()
    hear(protocol, 11.0, 1)
    protocol.disconnected(12.0, *LOST)
    protocol.connected(14.0)
    held_up = [effect for _ in range(150) for effect in protocol.receive_binary(FRAME, 15.0)]
    heard = held_up + hear(protocol, 15.02, 1)
    assert [effect.late for effect in heard if isinstance(effect, AudioReceived)].count(True) == pytest.approx(
        140, abs=1
    )
    assert not [effect for effect in heard if isinstance(effect, Mark)]


def test_a_spent_budget_is_told_with_what_is_missing_and_a_return_goes_on_from_it():
    protocol = connected()
    hear(protocol, 11.0, 1)
    protocol.disconnected(12.0, *LOST)
    told, gap, end = protocol.gave_up(60.0)
    assert isinstance(told, EventReceived)
    assert (told.event.kind, told.event.position_samples) == (CallEventKind.RECONNECT_EXHAUSTED, 8000)
    assert isinstance(gap, Mark)
    assert (gap.reason, gap.position_samples, gap.duration_samples) == (Reason.RECONNECT, 8000, -1)
    assert end == SessionClosed("call-1", Reason.BUDGET_SPENT, 8000, ClosedBy.LOCAL)
    assert not protocol.finished
    assert protocol.gave_up(61.0) == []
    (opened,) = protocol.connected(120.0)
    assert isinstance(opened, SessionOpened)
    assert opened.info.continued_from == "call-1"
    (audio,) = hear(protocol, 121.0, 0.02)
    assert isinstance(audio, AudioReceived)
    assert (audio.position_samples, audio.late) == (0, False)


def test_a_new_session_has_heard_nothing_of_the_one_before():
    protocol = connected()
    hear(protocol, 11.0, 1)
    protocol.disconnected(12.0, *LOST)
    protocol.gave_up(60.0)
    protocol.connected(120.0)
    protocol.disconnected(130.0, *LOST)
    (told,) = protocol.connected(131.0)
    assert isinstance(told, EventReceived)
    assert (told.event.last_frame_age_ms, told.event.position_samples) == (-1, 0)


def test_a_spent_budget_before_the_first_connection_is_of_no_session():
    assert machine().gave_up(60.0) == []


def test_a_session_without_audio_ends_without_a_gap():
    protocol = connected()
    protocol.disconnected(12.0, *LOST)
    assert kinds(protocol.gave_up(60.0)) == ["EventReceived", "SessionClosed"]


@pytest.mark.parametrize("stop", ["drain", "unfollow"])
def test_a_stop_ends_the_session_and_the_connection_once(stop):
    protocol = connected()
    hear(protocol, 11.0, 1)
    if stop == "drain":
        ended = protocol.drain(12.0)
        wanted = SessionClosed("call-1", Reason.DRAIN, 8000, ClosedBy.LOCAL)
    else:
        ended = protocol.unfollow("call-1", Ended(Reason.END, ClosedBy.REMOTE, code=200, message="over"), 12.0)
        wanted = SessionClosed("call-1", Reason.END, 8000, ClosedBy.REMOTE, 200, "over")
    assert ended == [wanted, CloseConnection(1000)]
    assert protocol.finished
    assert protocol.drain(13.0) == protocol.unfollow("call-1", Ended(Reason.END), 13.0) == []
    assert hear(protocol, 13.0, 0.02) == [Observed(Observation.AUDIO_OUTSIDE_SESSION)]
    assert protocol.connected(14.0) == [CloseConnection(1000)]


def test_another_call_is_not_ended_nor_followed():
    protocol = connected()
    assert protocol.unfollow("call-2", Ended(Reason.END), 11.0) == []
    assert protocol.follow(Call("call-2"), 11.0) == []
    assert not protocol.finished


def test_a_stop_without_a_connection_ends_what_is_open():
    assert machine().drain(1.0) == []
    protocol = connected()
    hear(protocol, 11.0, 1)
    protocol.disconnected(12.0, *LOST)
    assert kinds(protocol.drain(13.0)) == ["Mark", "SessionClosed"]


@pytest.mark.parametrize("was_connected", [False, True])
def test_that_there_is_no_media_of_a_call_stands_before_its_end(was_connected):
    protocol = connected() if was_connected else machine()
    effects = protocol.unfollow("call-1", Ended(Reason.OTHER, not_available=True, code=404, message="gone"), 11.0)
    facts = kinds(effects)
    assert facts == (
        ["EventReceived", "SessionClosed", "CloseConnection"]
        if was_connected
        else ["SessionOpened", "EventReceived", "SessionClosed"]
    )
    told = effects[facts.index("EventReceived")]
    assert isinstance(told, EventReceived)
    assert (told.event.kind, told.event.code, told.event.message) == (CallEventKind.NOT_AVAILABLE, 404, "gone")


def test_an_error_is_an_event_while_the_session_is_open():
    protocol = connected()
    hear(protocol, 11.0, 1)
    (told,) = protocol.fail()
    assert isinstance(told, EventReceived)
    event = told.event
    assert (event.kind, event.code, event.message) == (CallEventKind.PLATFORM_ERROR, 503, "busy")
    assert event.position_samples == 8000
    protocol.drain(12.0)
    assert protocol.fail() == [Observed(Observation.UNEXPECTED_MESSAGE)]


def test_a_token_that_an_error_quotes_is_not_repeated():
    protocol = connected()
    protocol.use_token("secret-token")
    (told,) = protocol.fail("secret-token has expired: secret-token")
    assert isinstance(told, EventReceived)
    assert told.event.message == "... has expired: ..."


def test_it_awaits_no_answer():
    protocol = connected()
    assert protocol.deadline_s() is None
    assert protocol.timeout(1e9) == []
