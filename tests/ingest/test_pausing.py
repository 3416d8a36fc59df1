"""The gate, alone and before a sequencer: what reaches the topics while a call is paused or may be."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audio.frames import Frames, decode
from ingest.identity import Lineage
from ingest.pausing import LATE_S, Gate, PauseBook, PauseRules, PauseState
from ingest.protocol import (
    AudioReceived,
    EventReceived,
    Fact,
    Mark,
    Observation,
    Observed,
    SessionClosed,
    SessionInfoChanged,
    SessionOpened,
)
from ingest.sequencer import Encoding, Moment, Sequencer
from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, Channels, Codec, FrameKind, Reason, Source

CALL = "call-1"
PACKET = 160
MARKER = b"MARKER-OF-THE-PAUSE"
CONTENT = {
    CallEventKind.TRANSCRIPT: {"text": MARKER.decode(), "is_final": True},
    CallEventKind.INTENT: {"intent": MARKER.decode()},
    CallEventKind.DTMF: {"digit": MARKER.decode()},
    CallEventKind.OTHER: {"data_json": MARKER.decode()},
}


def opened(key: str, *, states_pauses: bool, conversation: str = CALL) -> SessionOpened:
    source = Source.AUDIOHOOK if states_pauses else Source.MEDIA_STREAMS
    info = SessionInfo(conversation_id=conversation)
    return SessionOpened(key, info, source, 8000, Codec.PCMU, Channels.MIXED, states_pauses)


def audio(number: int, payload: bytes = b"\xff" * PACKET) -> AudioReceived:
    place = number * PACKET
    return AudioReceived("s", payload, Codec.PCMU, Channels.MIXED, 8000, place, PACKET, 0, number, place, 8000, 32, 32)


def event(kind: CallEventKind, **details: object) -> EventReceived:
    return EventReceived("s", replace(CallEvent(kind=kind, conversation_id="", session_id=""), **details))


class Call:
    """An AudioHook session and a guarded one of the same conversation, each behind a gate of its own."""

    def __init__(self, *, publish: bool = False, guard_s: float = 2.0, audiohook: bool = True) -> None:
        self.book = PauseBook()
        self.now_s = 1000.0
        rules = PauseRules(publish, guard_s)
        self.stating, self.guarded = Gate(self.book, rules), Gate(self.book, rules)
        if audiohook:
            self.begin()
            self.now_s += 60
        self.guarded.take(opened("s", states_pauses=False), self.now_s)

    def say(self, *facts: Fact) -> "Call":
        for fact in facts:
            assert self.stating.take(fact, self.now_s) == [fact]
        return self

    def begin(self) -> "Call":
        return self.say(opened("a", states_pauses=True), audio(0)._replace(key="a"))

    def pause(self) -> "Call":
        return self.say(Mark("a", FrameKind.PAUSED, Reason.SECURE_PAUSE, 5))

    def resume(self) -> "Call":
        return self.say(Mark("a", FrameKind.RESUMED, Reason.SECURE_PAUSE, 5, 7))

    def hear(self, *facts: Fact) -> list[Fact | Observed]:
        return [out for fact in facts for out in self.guarded.take(fact, self.now_s)]

    def wait(self, seconds: float) -> "Call":
        self.now_s += seconds
        return self


def withheld(what: Observation = Observation.AUDIO_WHILE_PAUSED) -> Observed:
    return Observed(what, key="s")


def paused(start: int, reason: Reason = Reason.SECURE_PAUSE) -> Mark:
    return Mark("s", FrameKind.PAUSED, reason, start)


def resumed(start: int, duration: int, reason: Reason = Reason.SECURE_PAUSE) -> Mark:
    return Mark("s", FrameKind.RESUMED, reason, start, duration)


# the book


def test_a_conversation_nobody_speaks_of_is_unknown():
    assert PauseBook().state(CALL) is PauseState.UNKNOWN


def test_a_conversation_is_paused_while_any_of_its_sessions_is():
    book = PauseBook()
    for session in ((1, "a"), (2, "a")):
        book.opened(CALL, session, 0)
    assert book.state(CALL) is PauseState.ACTIVE
    book.told(CALL, (1, "a"), 1, paused=True)
    book.told(CALL, (2, "a"), 1, paused=True)
    book.told(CALL, (1, "a"), 2, paused=False)
    assert book.state(CALL) is PauseState.PAUSED
    book.told(CALL, (2, "a"), 3, paused=False)
    assert (book.state(CALL), book.pause_ended_s(CALL)) == (PauseState.ACTIVE, 3)
    assert book.state("another") is PauseState.UNKNOWN


def test_after_the_last_session_a_conversation_is_unknown_again():
    book = PauseBook()
    book.opened(CALL, (1, "a"), 0)
    book.closed(CALL, (1, "a"), 1)
    assert book.state(CALL) is PauseState.UNKNOWN


def test_a_session_that_ends_in_a_pause_leaves_the_conversation_paused_until_another_opens():
    book = PauseBook()
    book.opened(CALL, (1, "a"), 0)
    book.told(CALL, (1, "a"), 1, paused=True)
    book.closed(CALL, (1, "a"), 2)
    assert book.state(CALL) is PauseState.PAUSED
    book.opened(CALL, (2, "b"), 9)
    assert (book.state(CALL), book.pause_ended_s(CALL)) == (PauseState.ACTIVE, 9)


def test_a_paused_session_that_ends_beside_an_active_one_ends_its_pause():
    book = PauseBook()
    for session in ((1, "a"), (2, "b")):
        book.opened(CALL, session, 0)
    book.told(CALL, (1, "a"), 1, paused=True)
    book.closed(CALL, (1, "a"), 2)
    assert (book.state(CALL), book.pause_ended_s(CALL)) == (PauseState.ACTIVE, 2)


def test_only_so_many_ended_conversations_are_remembered():
    book = PauseBook(past_calls=2)
    for number in range(4):
        book.opened(str(number), (1, "a"), 0)
        book.told(str(number), (1, "a"), 0, paused=True)
        book.closed(str(number), (1, "a"), 0)
    assert [book.state(str(number)) is PauseState.PAUSED for number in range(4)] == [False, False, True, True]


def test_only_pauses_are_remembered():
    book = PauseBook(past_calls=1)
    book.opened(CALL, (1, "a"), 0)
    book.told(CALL, (1, "a"), 1, paused=True)
    book.closed(CALL, (1, "a"), 2)
    book.opened("another", (1, "a"), 3)
    book.closed("another", (1, "a"), 4)
    assert book.state(CALL) is PauseState.PAUSED


# audio


@pytest.mark.parametrize(
    "sign",
    [Mark("a", FrameKind.RESUMED, Reason.SECURE_PAUSE, 0, 7), audio(0)._replace(key="a")],
    ids=["a mark of pauses", "audio"],
)
def test_a_session_that_has_only_opened_says_nothing_yet(sign):
    call = Call(audiohook=False).say(opened("a", states_pauses=True))
    assert call.book.state(CALL) is PauseState.UNKNOWN
    assert call.say(sign).book.state(CALL) is PauseState.ACTIVE


@pytest.mark.parametrize("kind", [FrameKind.ALIVE, FrameKind.DISCARDED, FrameKind.GAP])
def test_that_a_session_lives_without_audio_does_not_say_that_it_is_not_paused(kind):
    call = Call(audiohook=False).say(opened("a", states_pauses=True), Mark("a", kind, position_samples=0))
    assert call.book.state(CALL) is PauseState.UNKNOWN
    silent = replace(opened("b", states_pauses=True), codec=Codec.UNKNOWN)
    call.say(silent, Mark("b", kind, position_samples=0))
    assert call.book.state(CALL) is PauseState.ACTIVE


def test_a_session_that_opens_in_a_pause_lets_nothing_through_before_it_says_so():
    call = Call().pause().say(SessionClosed("a", Reason.SOCKET_LOST), opened("a", states_pauses=True))
    assert call.hear(audio(0)) == [withheld(), paused(0)]
    assert call.pause().hear(audio(1)) == [withheld()]
    assert call.resume().hear(audio(2)) == [resumed(0, 320), audio(2)]


def test_a_session_that_ends_before_it_says_anything_changes_nothing():
    call = Call(audiohook=False).say(opened("a", states_pauses=True), SessionClosed("a", Reason.SOCKET_LOST))
    assert call.book.state(CALL) is PauseState.UNKNOWN
    assert call.begin().book.state(CALL) is PauseState.ACTIVE


def test_what_a_session_that_states_pauses_says_goes_on_unchanged():
    call = Call().pause()
    call.say(
        audio(0)._replace(key="a"),
        replace(event(CallEventKind.DTMF, digit="1"), key="a"),
        SessionClosed("a", Reason.END, 5),
    )


def test_while_a_call_is_active_all_goes_on():
    facts = [audio(0), event(CallEventKind.TRANSCRIPT, text="yes"), audio(1), SessionClosed("s", Reason.END, 320)]
    assert Call().hear(*facts) == facts


def test_a_pause_withholds_audio_between_marks_at_its_exact_place():
    call = Call()
    assert call.hear(audio(0)) == [audio(0)]
    assert call.pause().hear(audio(1), audio(2)) == [withheld(), paused(160), withheld()]
    assert call.resume().hear(audio(3), audio(4)) == [resumed(160, 320), audio(3), audio(4)]


def test_packets_lost_at_the_end_of_a_pause_belong_to_it():
    call = Call().pause()
    call.hear(audio(0), audio(1))
    assert call.resume().hear(audio(4)) == [resumed(0, 640), audio(4)]


def test_a_late_packet_of_the_pause_is_withheld_and_does_not_end_it():
    call = Call().pause()
    call.hear(audio(0), audio(2))
    call.resume()
    assert call.hear(audio(1)) == [withheld()]
    assert call.hear(audio(3)) == [resumed(0, 480), audio(3)]
    assert call.hear(audio(1), audio(2)) == [withheld()] * 2
    assert call.hear(audio(3)) == [audio(3)]


def test_positions_that_step_back_long_after_a_pause_are_no_late_packets():
    call = Call().pause()
    call.hear(audio(99), audio(100))
    call.resume().wait(LATE_S)
    assert call.hear(audio(5)) == [resumed(99 * PACKET, 2 * PACKET), audio(5)]
    call.pause().hear(audio(101))
    call.resume().hear(audio(102))
    assert call.wait(LATE_S).hear(audio(6)) == [audio(6)]


def test_however_long_ago_a_pause_was_what_lies_in_it_is_withheld():
    call = Call()
    call.hear(audio(0))
    call.pause().hear(audio(1), audio(2))
    call.resume().wait(LATE_S)
    assert call.hear(audio(1), audio(2)) == [withheld()] * 2
    assert call.hear(audio(3)) == [resumed(160, 320), audio(3)]
    call.pause().hear(audio(4))
    call.resume().wait(LATE_S).hear(audio(6))
    assert call.wait(LATE_S).hear(audio(1), audio(2), audio(4), audio(5)) == [withheld()] * 4
    assert call.hear(audio(0), audio(3), audio(7)) == [audio(0), audio(3), audio(7)]


def test_a_packet_from_before_a_session_that_began_in_a_pause_is_of_the_pause():
    call = Call().pause()
    call.hear(audio(0))
    call.resume().hear(audio(1))
    assert call.wait(LATE_S).hear(audio(0)._replace(position_samples=-1)) == [withheld()]


def test_a_packet_out_of_order_at_the_begin_of_a_pause_moves_no_mark_back():
    call = Call()
    call.hear(audio(0), audio(2))
    assert call.pause().hear(audio(1), audio(3)) == [withheld(), paused(480), withheld()]
    assert call.resume().hear(audio(4)) == [resumed(480, 160), audio(4)]


def test_audio_whose_length_or_place_is_not_known_is_withheld_like_any_other():
    call = Call()
    opus = [audio(number)._replace(duration_samples=-1) for number in range(4)]
    assert call.hear(opus[0]) == [opus[0]]
    early = audio(0)._replace(position_samples=-1)
    assert call.pause().hear(opus[1], early, opus[2]) == [withheld(), paused(160), withheld(), withheld()]
    call.resume()
    assert call.hear(opus[2]) == [withheld()]
    assert call.hear(opus[3]) == [resumed(160, 320), opus[3]]


def test_unknown_withholds_too_under_a_reason_of_its_own():
    call = Call(audiohook=False)
    assert call.hear(audio(0), audio(1)) == [withheld(), paused(0, Reason.OTHER), withheld()]
    call.begin()
    assert call.hear(audio(2)) == [resumed(0, 320, Reason.OTHER), audio(2)]


def test_unknown_is_published_where_the_operator_says_so_and_a_known_pause_still_is_not():
    call = Call(publish=True, audiohook=False)
    transcript = event(CallEventKind.TRANSCRIPT, text="yes")
    assert call.hear(audio(0), transcript) == [audio(0), transcript]
    call.begin().pause()
    assert call.hear(audio(1)) == [withheld(), paused(160)]


def test_a_pause_of_another_conversation_means_nothing():
    call = Call()
    call.say(opened("b", states_pauses=True, conversation="call-2"))
    call.say(Mark("b", FrameKind.PAUSED, Reason.SECURE_PAUSE, 5))
    assert call.hear(audio(0)) == [audio(0)]


def test_a_conversation_is_the_same_one_however_its_id_is_written():
    book, rules = PauseBook(), PauseRules(publish_when_unknown=True)
    name = "0b2c3d4e-abcd-4222-8333-94445556667f"
    stating, guarded, other = Gate(book, rules), Gate(book, rules), Gate(book, rules)
    stating.take(opened("a", states_pauses=True, conversation=name.upper()), 0)
    stating.take(Mark("a", FrameKind.PAUSED, Reason.SECURE_PAUSE, 0), 0)
    guarded.take(opened("s", states_pauses=False, conversation=name), 0)
    assert guarded.take(audio(0), 0) == [withheld(), paused(0)]
    other.take(opened("s", states_pauses=False, conversation="Call-1"), 0)
    stating.take(opened("b", states_pauses=True, conversation="call-1"), 0)
    stating.take(Mark("b", FrameKind.PAUSED, Reason.SECURE_PAUSE, 0), 0)
    assert other.take(audio(0), 0) == [audio(0)]


def test_a_stretch_that_changes_its_reason_is_two():
    call = Call(audiohook=False)
    call.hear(audio(0))
    call.begin().pause()
    assert call.hear(audio(1)) == [withheld(), resumed(0, 160, Reason.OTHER), paused(160)]
    call.say(SessionClosed("a", Reason.SOCKET_LOST))
    assert call.hear(audio(2)) == [withheld()]


def test_the_end_of_a_session_in_a_pause_is_where_its_withheld_audio_ends():
    call = Call()
    call.hear(audio(0))
    call.pause().hear(audio(1), audio(2))
    assert call.hear(SessionClosed("s", Reason.END)) == [SessionClosed("s", Reason.END, 480)]
    assert call.hear(audio(3)) == [audio(3)], "a key that is not open is for the sequencer to refuse"


def test_marks_and_info_go_on_in_a_pause():
    call = Call().pause()
    info = SessionInfoChanged("s", SessionInfo(conversation_id=CALL, language="de"))
    gap = Mark("s", FrameKind.GAP, Reason.RECONNECT, 0, 800)
    assert call.hear(info, gap, audio(5)) == [info, gap, withheld(), paused(800)]


def test_a_gap_in_a_pause_stands_between_two_withheld_stretches():
    call = Call().pause()
    call.hear(audio(0))
    gap, alive = Mark("s", FrameKind.GAP, Reason.RECONNECT, 160, 320), Mark("s", FrameKind.ALIVE, position_samples=0)
    assert call.hear(alive, gap, audio(3)) == [alive, resumed(0, 160), gap, withheld(), paused(480)]
    assert call.resume().hear(audio(2), audio(4)) == [withheld(), resumed(480, 160), audio(4)]


def test_a_gap_that_ends_a_pause_lets_no_late_packet_of_it_through():
    call = Call().pause()
    call.hear(audio(0), audio(2))
    gap = Mark("s", FrameKind.GAP, Reason.RECONNECT, 480, 160)
    assert call.resume().hear(gap, audio(1), audio(4)) == [resumed(0, 480), gap, withheld(), audio(4)]


def test_a_second_opening_of_a_session_is_left_to_the_sequencer():
    call = Call().pause()
    call.hear(audio(0))
    again = opened("s", states_pauses=False)
    assert call.hear(again, audio(1)) == [again, withheld()]
    call.say(opened("a", states_pauses=True))
    assert call.book.state(CALL) is PauseState.PAUSED


# texts


@pytest.mark.parametrize("kind", CONTENT)
def test_words_and_digits_are_withheld_in_a_pause_and_for_a_while_after(kind):
    call = Call()
    fact = event(kind, **CONTENT[kind])
    gone = [withheld(Observation.EVENT_WHILE_PAUSED)]
    assert call.hear(fact) == [fact]
    assert call.pause().hear(fact) == gone
    assert call.resume().hear(fact) == gone
    assert call.wait(1.9).hear(fact) == gone
    assert call.wait(0.1).hear(fact) == [fact]


def test_words_are_withheld_while_nobody_says_whether_the_call_is_paused_and_for_a_while_after():
    call = Call(audiohook=False)
    fact = event(CallEventKind.TRANSCRIPT, text="yes")
    assert call.hear(fact) == [withheld(Observation.EVENT_WHILE_PAUSED)]
    call.begin()
    assert call.hear(fact) == [withheld(Observation.EVENT_WHILE_PAUSED)]
    assert call.wait(2).hear(fact) == [fact]


def test_the_guard_goes_on_when_the_session_that_paused_ends():
    call = Call(publish=True).pause().resume().say(SessionClosed("a", Reason.END))
    fact = event(CallEventKind.TRANSCRIPT, text="yes")
    assert call.wait(1).hear(fact) == [withheld(Observation.EVENT_WHILE_PAUSED)]
    assert call.wait(1).hear(fact) == [fact]


def test_without_a_guard_words_go_on_at_once():
    fact = event(CallEventKind.TRANSCRIPT, text="yes")
    assert Call(guard_s=0).pause().resume().hear(fact) == [fact]


def test_an_error_of_the_platform_loses_its_words_and_facts_of_ours_stay():
    call = Call().pause()
    error = event(CallEventKind.PLATFORM_ERROR, code=7, message="heard 4111")
    reconnect = event(CallEventKind.RECONNECT, code=1006, attempt=2)
    assert call.hear(error, reconnect) == [event(CallEventKind.PLATFORM_ERROR, code=7), reconnect]
    assert call.resume().wait(2).hear(error) == [error]
    closed = SessionClosed("s", Reason.END, 5, message="heard 4111")
    assert call.pause().hear(closed) == [SessionClosed("s", Reason.END, 5)]


@pytest.mark.parametrize("publish", [False, True])
def test_what_a_peer_said_in_a_pause_is_not_told_after_it(publish):
    call = Call(publish=publish).pause().wait(1)
    said_s = call.now_s
    reconnect = replace(event(CallEventKind.RECONNECT, code=4000, message="heard 4111"), said_s=said_s)
    told = replace(event(CallEventKind.RECONNECT, code=4000), said_s=said_s)
    assert call.wait(1).resume().wait(9).hear(reconnect) == [told]
    assert call.hear(replace(reconnect, said_s=call.now_s)) == [replace(reconnect, said_s=call.now_s)]


def test_what_a_peer_said_while_nobody_knew_of_a_pause_is_not_told_later():
    call = Call(audiohook=False)
    reconnect = replace(event(CallEventKind.RECONNECT, message="heard 4111"), said_s=call.now_s)
    told = replace(event(CallEventKind.RECONNECT), said_s=call.now_s)
    assert call.wait(1).begin().wait(9).hear(reconnect) == [told]


# before a sequencer

STEPS = st.lists(
    st.sampled_from(["pause", "resume", "close", "open", "wait", "audio", "late", "again", "text", "digit"]),
    max_size=40,
)


class Story(Call):
    """A call whose guarded session goes through a sequencer; what may not be published carries the marker."""

    def __init__(self, *, publish: bool) -> None:
        super().__init__(publish=publish)
        ids = iter(UUID(int=0x7000 << 64 | number) for number in range(99))
        self.sequencer = Sequencer(Encoding(SchemaStore()), lambda: next(ids), Lineage())
        self.records = self.sequencer.take(opened("s", states_pauses=False), Moment(0, 0))
        self.publish = publish
        self.packets = 0
        self.sent: list[AudioReceived] = []
        self.live = True

    def step(self, name: str) -> None:
        if name == "wait":
            self.wait(LATE_S / 2)
        elif name == "open" and not self.live:
            self.live = True
            self.begin()
        elif name == "close" and self.live:
            self.live = False
            self.say(SessionClosed("a", Reason.END))
        elif name in ("pause", "resume") and self.live:
            (self.pause if name == "pause" else self.resume)()
        for fact in self.hear(*self.facts(name)):
            assert MARKER not in repr(fact).encode()
            if not isinstance(fact, Observed):
                self.records += self.sequencer.take(fact, Moment(self.now_s, self.now_s))

    def facts(self, name: str) -> list[Fact]:
        state = self.book.state(CALL)
        secret = state is PauseState.PAUSED or (state is PauseState.UNKNOWN and not self.publish)
        word = MARKER if secret else b"word"
        if name == "text":
            kinds = (CallEventKind.TRANSCRIPT, CallEventKind.INTENT)
            texts: list[Fact] = [event(kind, text=word.decode(), intent=word.decode()) for kind in kinds]
            return [*texts, event(CallEventKind.PLATFORM_ERROR, message=word.decode())]
        if name == "digit":
            return [event(CallEventKind.DTMF, digit=word.decode())]
        if name == "late" and self.packets:
            return [audio(self.packets - 1, word)]
        if name == "audio":
            self.packets += 1
            self.sent.append(audio(self.packets - 1, word))
            return [self.sent[-1]]
        return list(self.sent) if name == "again" else []


def assert_the_marks_fit(frames: Frames) -> None:
    """PAUSED and RESUMED take turns, each where the audio before it ends, and no audio stands between them."""
    head, start = 0, -1
    for row in range(len(frames.kind)):
        place, length = int(frames.position_samples[row]), int(frames.duration_samples[row])
        if frames.kind[row] == FrameKind.PAUSED.code:
            assert (start, place) == (-1, head)
            start = place
        elif frames.kind[row] == FrameKind.RESUMED.code:
            assert start == place
            head, start = place + length, -1
        elif frames.kind[row] == FrameKind.AUDIO.code:
            assert start == -1
            head = max(head, place + length)


@given(steps=STEPS, publish=st.booleans())
@example(steps=["pause", "audio", "resume", "audio", "wait", "wait", "again"], publish=False)
@example(steps=["pause", "audio", "resume", "wait", "wait", "again"], publish=True)
def test_whatever_happens_nothing_of_a_pause_is_in_a_record_and_the_marks_fit(steps, publish):
    story = Story(publish=publish)
    for name in steps:
        story.step(name)
    assert all(MARKER not in record.value for record in story.records)
    values = [record.value for record in story.records if record.topic == topics.AUDIO.name]
    assert_the_marks_fit(decode(values, SchemaStore()))


AUDIOHOOK, POLLED, LATER = (object(), "a"), (object(), "p"), (object(), "b")


def polled_and_left_paused() -> PauseBook:
    """A book after AudioHook opened at 10 s, a poll asked at 11 s said active, and AudioHook left paused at 20 s."""
    book = PauseBook()
    book.opened(CALL, AUDIOHOOK, 10)
    book.opened(CALL, POLLED, 11.2, as_of_s=11)
    book.told(CALL, AUDIOHOOK, 15, paused=True)
    book.closed(CALL, AUDIOHOOK, 20)
    return book


def test_a_pause_left_behind_is_not_ended_by_what_was_polled_before():
    book = polled_and_left_paused()
    assert book.state(CALL) is PauseState.PAUSED
    book.told(CALL, POLLED, 20.4, paused=False, as_of_s=19.9)
    assert book.state(CALL) is PauseState.PAUSED
    book.told(CALL, POLLED, 25.3, paused=False, as_of_s=25)
    assert book.state(CALL) is PauseState.ACTIVE
    assert book.pause_ended_s(CALL) == 25.3


def test_a_pause_left_behind_stays_when_what_was_polled_is_forgotten_and_asked_for_again():
    book = polled_and_left_paused()
    book.closed(CALL, POLLED, 30)
    assert book.state(CALL) is PauseState.PAUSED
    book.opened(CALL, POLLED, 31, as_of_s=19)
    assert book.state(CALL) is PauseState.PAUSED
    book.told(CALL, POLLED, 36, paused=False, as_of_s=35.9)
    assert book.state(CALL) is PauseState.ACTIVE


def test_a_session_that_says_it_by_itself_ends_a_pause_left_behind_at_once():
    book = polled_and_left_paused()
    book.opened(CALL, LATER, 21)
    assert book.state(CALL) is PauseState.ACTIVE


def test_a_polled_pause_that_is_forgotten_stays_until_a_later_answer():
    book = PauseBook()
    book.opened(CALL, POLLED, 1, as_of_s=0.5)
    book.told(CALL, POLLED, 1, paused=True, as_of_s=0.5)
    book.closed(CALL, POLLED, 20)
    assert book.state(CALL) is PauseState.PAUSED
    book.opened(CALL, POLLED, 30, as_of_s=29)
    assert book.state(CALL) is PauseState.ACTIVE


def test_a_polled_state_that_is_forgotten_is_unknown():
    book = PauseBook()
    book.opened(CALL, POLLED, 1, as_of_s=0.5)
    assert book.state(CALL) is PauseState.ACTIVE
    book.closed(CALL, POLLED, 20)
    assert book.state(CALL) is PauseState.UNKNOWN


def test_a_polled_pause_that_ends_leaves_the_word_to_a_session_that_says_it_by_itself():
    book = PauseBook()
    book.opened(CALL, AUDIOHOOK, 1)
    book.opened(CALL, POLLED, 2, as_of_s=1.5)
    book.told(CALL, POLLED, 2, paused=True, as_of_s=1.5)
    assert book.state(CALL) is PauseState.PAUSED
    book.closed(CALL, POLLED, 3)
    assert book.state(CALL) is PauseState.ACTIVE


@pytest.mark.parametrize("publish", [False, True])
def test_what_is_polled_decides_over_a_session_that_says_nothing_itself(publish):
    call = Call(audiohook=False, publish=publish)
    call.book.opened(CALL, POLLED, call.now_s, as_of_s=call.now_s)
    assert audio(0) in call.guarded.take(audio(0), call.now_s)
    call.book.told(CALL, POLLED, call.now_s, paused=True, as_of_s=call.now_s)
    assert audio(1) not in call.guarded.take(audio(1), call.now_s)
    call.book.told(CALL, POLLED, call.now_s, paused=False, as_of_s=call.now_s)
    assert audio(2) in call.guarded.take(audio(2), call.now_s)
    call.book.closed(CALL, POLLED, call.now_s)
    assert (audio(3) in call.guarded.take(audio(3), call.now_s)) is publish
