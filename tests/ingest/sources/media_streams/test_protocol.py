import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.frames import decode
from ingest.protocol import (
    AudioReceived,
    Call,
    CloseConnection,
    Ended,
    EventReceived,
    Mark,
    Observation,
    Observed,
    SendText,
    SessionClosed,
    SessionOpened,
)
from ingest.sources.media_streams.followed import Wanted
from ingest.sources.media_streams.protocol import ALONE_S, QUIET_S, MediaStreamsProtocol
from processors.loss.logic import LossProcessor
from processors.loss.numbering import Numbering
from runtime.clock import ManualClock
from runtime.testing import Driver
from schemas import topics
from schemas.records import Gap
from schemas.symbols import CallEventKind, Channel, Channels, ClosedBy, Codec, FrameKind, LossReportKind, Reason, Source
from tests.ingest.sources.media_streams.test_messages import ANYTHING, FIELDS
from tests.ingest.sources.media_streams.words import (
    CALL,
    FRAME,
    OTHER,
    STORE,
    Stream,
    not_available,
    packet,
    subscription,
)

LOST = (1006, "", ClosedBy.NETWORK)
ONCE = Wanted(tries=1)
UNNAMED = '{"status":400,"code":"mediaNotAvailable"}'
BAD_REQUEST = '{"status":400,"code":"badRequest"}'


def connected(*interactions: str, **wanted) -> Stream:
    stream = Stream(*interactions, **wanted)
    stream.do("connected")
    return stream


def test_a_call_may_be_named_in_another_spelling():
    stream = connected(CALL, OTHER)
    (audio,) = stream.send(packet(1, CALL.upper()))
    assert audio.key == CALL
    closed = stream.send(not_available(CALL.upper()))[-1]
    assert (type(closed), closed.key, closed.reason) == (SessionClosed, CALL, Reason.END)
    assert counted(stream.send(packet(2, CALL.upper()))) == [(Observation.AUDIO_OUTSIDE_SESSION, "")]


def counted(effects) -> list[tuple[Observation, str]]:
    assert all(isinstance(effect, Observed) for effect in effects)
    return [(effect.what, effect.detail) for effect in effects]


def events(stream: Stream) -> list[tuple[str, CallEventKind]]:
    return [(e.key, e.event.kind) for e in stream.effects if isinstance(e, EventReceived)]


def closed(stream: Stream) -> list[SessionClosed]:
    return [effect for effect in stream.effects if isinstance(effect, SessionClosed)]


# --- subscribing -----------------------------------------------------------------------------------------------------


def test_the_first_connection_opens_the_sessions_then_subscribes_to_them():
    effects = connected(CALL, OTHER).effects
    assert [type(effect) for effect in effects] == [SessionOpened, SessionOpened, SendText]
    opened = effects[0]
    assert (opened.key, opened.info.conversation_id, opened.info.source_name) == (CALL, CALL, "media-streams")
    assert (opened.source, opened.codec, opened.channels) == (Source.MEDIA_STREAMS, Codec.PCMU, Channels.MIXED)
    assert (opened.sample_rate_hz, opened.states_pauses, opened.info.continued_from) == (8000, False, None)
    assert json.loads(effects[2].text) == subscription(CALL, OTHER)


def test_the_subscription_asks_for_the_codecs_in_the_order_wanted():
    stream = connected(wanted=Wanted(codecs=("opus", "pcmu")))
    assert stream.sent() == [subscription(CALL, codecs=("opus", "pcmu"))]


def test_every_connection_is_subscribed_on_and_packets_flow_again():
    stream = connected(CALL, OTHER)
    stream.send(packet(0))
    for number in (1, 2):
        stream.do("disconnected", *LOST)
        stream.do("connected")
        stream.send(packet(number))
    assert stream.sent() == [subscription(CALL, OTHER)] * 3
    assert [audio.position_samples for audio in stream.audio()] == [0, 160, 320]


def test_nobody_to_follow_is_the_end():
    machine = MediaStreamsProtocol((), Wanted())
    assert machine.finished
    assert machine.connected(0.0) == [CloseConnection(1000)]


# --- packets ---------------------------------------------------------------------------------------------------------


def test_a_packet_becomes_audio_with_the_numbers_as_sent():
    stream = connected()
    base = 2**32 - 1
    assert stream.send(packet(0, base=base), packet(1, base=base)) == [
        AudioReceived(
            key=CALL,
            payload=FRAME,
            codec=Codec.PCMU,
            channels=Channels.MIXED,
            sample_rate_hz=8000,
            position_samples=160 * number,
            duration_samples=160,
            stream=0,
            source_sequence=sequence,
            source_timestamp=timestamp,
            source_clock_hz=8000,
            source_sequence_bits=32,
            source_timestamp_bits=32,
        )
        for number, sequence, timestamp in ((0, 2**32 - 1, 2**32 - 1), (1, 0, 159))
    ]


def test_interactions_have_numbers_and_places_of_their_own():
    # two streams that alternate: one last number for both would count 97 of four packets as lost
    stream = connected(CALL, OTHER)
    stream.send(packet(1), packet(100, OTHER), packet(2), packet(101, OTHER))
    for key in (CALL, OTHER):
        assert [audio.position_samples for audio in stream.audio(key)] == [0, 160]
    assert not stream.marks()


@pytest.mark.parametrize(
    ("codec", "wanted", "samples"),
    [("pcmu", Codec.PCMU, 160), ("pcma", Codec.PCMA, 160), ("l16", Codec.L16_LE, 80), ("opus", Codec.OPUS, -1)],
)
def test_the_first_codec_asked_for_says_how_long_a_payload_is(codec, wanted, samples):
    stream = connected(wanted=Wanted(codecs=(codec, "pcmu")))
    (audio,) = stream.send(packet(0))
    assert (audio.codec, audio.duration_samples, audio.payload) == (wanted, samples, FRAME)


@pytest.mark.parametrize(
    ("text", "what", "detail"),
    [
        ("not json", Observation.PROTOCOL_ERROR, "not JSON"),
        (packet(1, payload=b""), Observation.PROTOCOL_ERROR, "payload is empty"),
        (packet(1, payload=b"abc"), Observation.PROTOCOL_ERROR, "payload holds no whole samples"),
        (packet(1, timestamp="160"), Observation.PROTOCOL_ERROR, "timestamp is not a number of the width set"),
        (packet(1, "unknown"), Observation.AUDIO_OUTSIDE_SESSION, ""),
        ('{"type":"subscribed"}', Observation.UNKNOWN_MESSAGE, ""),
        (not_available("unknown"), Observation.UNEXPECTED_MESSAGE, "an error of no interaction followed here"),
    ],
)
def test_what_is_no_audio_is_counted_and_the_stream_goes_on(text, what, detail):
    stream = connected(wanted=Wanted(codecs=("l16",)))
    stream.send(packet(0))
    assert counted(stream.send(text)) == [(what, detail)]
    assert [effect.position_samples for effect in stream.send(packet(2))] == [320]


@pytest.mark.parametrize("named", [f'"interactionId":"{CALL}",', ""])
@pytest.mark.parametrize("code", ["mediaNotAvailable", r"\u0074o\/ken-1234"])
def test_a_token_that_the_platform_repeats_in_whatever_spelling_stands_in_no_fact(named, code):
    stream = Stream(CALL, wanted=ONCE)
    stream.machine.use_token("to/ken-1234")
    stream.do("connected")
    stream.do("receive_text", f'{{"status":400,{named}"code":"{code}","message":"bad \\u0074o\\/ken-1234"}}')
    assert "bad ..." in repr(stream.effects)
    assert "ken-1234" not in repr(stream.effects)


def test_binary_messages_are_counted_before_anybody_reads_them():
    stream = connected()
    for data in (b"\xff\x00", b"\xff\xfe1\x00", b"{}", b""):
        assert [what for what, _ in counted(stream.do("receive_binary", data))] == [Observation.UNEXPECTED_MESSAGE]
    assert isinstance(stream.send(packet(0))[0], AudioReceived)


def test_a_defect_is_named_once_on_each_connection():
    stream = connected()
    details = [counted(stream.send("x"))[0][1] for _ in range(3)]
    stream.do("disconnected", *LOST)
    stream.do("connected")
    assert [*details, counted(stream.send("x"))[0][1]] == ["not JSON", "", "", "not JSON"]


# --- errors and the end ----------------------------------------------------------------------------------------------


def test_media_that_ends_ends_its_session_and_no_other():
    stream = connected(CALL, OTHER)
    stream.send(packet(0), packet(0, OTHER))
    (end,) = stream.send(not_available(CALL))
    assert end == SessionClosed(CALL, Reason.END, 160, ClosedBy.REMOTE, 400, "mediaNotAvailable")
    assert counted(stream.send(packet(1))) == [(Observation.AUDIO_OUTSIDE_SESSION, "")]
    assert [effect.key for effect in stream.send(packet(1, OTHER))] == [OTHER]
    assert not stream.machine.finished


def test_media_that_never_came_is_told_as_not_available_after_the_last_try():
    stream = connected(CALL, OTHER, wanted=ONCE)
    told, end = stream.send(not_available())
    assert (told.event.kind, told.event.code) == (CallEventKind.NOT_AVAILABLE, 400)
    assert (told.event.message, end.reason, end.closed_by) == ("mediaNotAvailable", Reason.OTHER, ClosedBy.REMOTE)


def test_what_has_ended_is_not_asked_for_again():
    stream = connected(CALL, OTHER)
    stream.send(packet(0), not_available())
    stream.do("disconnected", *LOST)
    stream.do("connected")
    assert stream.sent()[-1] == subscription(OTHER)
    assert stream.machine.remaining == (OTHER,)


def test_the_end_of_the_last_one_ends_the_connection():
    stream = connected(CALL, OTHER, wanted=ONCE)
    stream.send(packet(0), not_available(OTHER))
    assert stream.send(not_available())[-1] == CloseConnection(1000)
    assert stream.machine.finished
    assert stream.machine.deadline_s() is None
    assert stream.do("drain") == []


def test_other_errors_are_told_and_end_nothing():
    stream = connected(CALL, OTHER)
    text = json.dumps({"status": 429, "code": "rateLimited", "interactionId": OTHER, "message": "slow down"})
    (told,) = stream.send(text)
    assert (told.key, told.event.kind, told.event.code) == (OTHER, CallEventKind.PLATFORM_ERROR, 429)
    assert told.event.message == "rateLimited: slow down"


def test_an_error_that_names_no_interaction_is_about_all_of_them():
    stream = connected(CALL, OTHER)
    stream.send('{"status":400,"code":"mediaNotAvailable"}')
    assert events(stream) == [(CALL, CallEventKind.PLATFORM_ERROR), (OTHER, CallEventKind.PLATFORM_ERROR)]
    assert not closed(stream)


def test_where_one_is_followed_the_error_that_names_none_is_its_own():
    stream = connected(wanted=ONCE)
    stream.send(UNNAMED)
    assert [end.reason for end in closed(stream)] == [Reason.OTHER]
    stream = connected()
    stream.send(packet(0), UNNAMED)
    assert [end.reason for end in closed(stream)] == [Reason.END]


# --- calls that come and go ------------------------------------------------------------------------------------------


def test_a_call_that_comes_is_asked_for_alone_and_on_the_next_connection_with_the_others():
    stream = connected()
    call = Call(OTHER, organisation="org", queue="q", agent="a")
    opened, _ = stream.do("follow", call)
    assert (opened.key, opened.info.organisation, opened.info.queue, opened.info.agent) == (OTHER, "org", "q", "a")
    assert stream.do("follow", call) == stream.do("follow", Call(CALL)) == []
    stream.send(packet(0, OTHER))
    stream.do("disconnected", *LOST)
    stream.do("connected")
    assert stream.sent() == [subscription(CALL), subscription(OTHER), subscription(CALL, OTHER)]


def test_a_call_that_comes_without_a_connection_waits_for_one():
    stream = Stream()
    assert stream.do("follow", Call(OTHER)) == []
    stream.do("connected")
    assert stream.sent() == [subscription(CALL, OTHER)]
    stream.do("disconnected", *LOST)
    stream.do("follow", Call("third"))
    stream.do("connected")
    assert stream.sent()[-1] == subscription(CALL, OTHER, "third")


def test_a_call_may_name_codecs_of_its_own():
    stream = connected()
    opened, _ = stream.do("follow", Call(OTHER, codecs=("OPUS", "pcmu")))
    assert opened.codec is Codec.OPUS
    assert stream.sent()[-1] == subscription(OTHER, codecs=("opus", "pcmu"))
    audio, other = stream.send(packet(0), packet(0, OTHER))
    assert (audio.codec, other.codec) == (Codec.PCMU, Codec.OPUS)


def test_a_call_that_goes_is_closed_and_what_still_comes_of_it_is_counted():
    stream = connected(CALL, OTHER)
    stream.send(packet(0))
    assert stream.do("unfollow", CALL, Ended(Reason.END, message="hung up")) == [
        SessionClosed(CALL, Reason.END, 160, ClosedBy.LOCAL, -1, "hung up")
    ]
    assert counted(stream.send(packet(1))) == [(Observation.AUDIO_OUTSIDE_SESSION, "")]
    # its end comes by itself, and is nobody's mistake
    assert counted(stream.send(not_available(CALL))) == [(Observation.UNEXPECTED_MESSAGE, "")]
    assert stream.do("unfollow", CALL, Ended(Reason.END)) == []
    stream.do("disconnected", *LOST)
    stream.do("connected")
    assert stream.sent()[-1] == subscription(OTHER)


def test_the_last_call_that_goes_ends_the_connection_and_without_one_only_the_machine():
    stream = connected()
    assert stream.do("unfollow", CALL, Ended(Reason.END))[-1] == CloseConnection(1000)
    assert stream.machine.finished
    assert stream.do("follow", Call(OTHER)) == []
    stream = Stream()
    assert stream.do("unfollow", CALL, Ended(Reason.END)) == []
    assert stream.machine.finished


@pytest.mark.parametrize("begun", [True, False])
def test_a_call_whose_media_is_not_available_is_told_so_even_if_it_had_no_session(begun):
    stream = connected(CALL, OTHER) if begun else Stream(CALL, OTHER)
    stream.do("unfollow", CALL, Ended(Reason.OTHER, ClosedBy.REMOTE, not_available=True, code=404, message="gone"))
    assert [effect.key for effect in stream.effects if isinstance(effect, SessionOpened)].count(CALL) == 1
    (told,) = [effect.event for effect in stream.effects if isinstance(effect, EventReceived)]
    assert (told.kind, told.code, told.message) == (CallEventKind.NOT_AVAILABLE, 404, "gone")
    (end,) = closed(stream)
    assert (end.reason, end.closed_by, end.code) == (Reason.OTHER, ClosedBy.REMOTE, 404)


def test_a_call_that_comes_back_has_a_session_that_goes_on_from_the_first():
    stream = connected(CALL, OTHER)
    stream.do("unfollow", CALL, Ended(Reason.END))
    stream.do("follow", Call(CALL))
    stream.send(packet(7))
    opened = [effect.key for effect in stream.effects if isinstance(effect, SessionOpened)]
    assert opened == [CALL, OTHER, CALL]
    assert [audio.position_samples for audio in stream.audio()] == [0]
    infos = decode([record.value for record in stream.records if record.topic == topics.AUDIO.name], STORE).infos
    assert [info.continued_from is None for info in infos.values()] == [True, True, False]


# --- media that is not available -------------------------------------------------------------------------------------


def test_what_is_not_available_is_asked_for_again_alone_after_the_delay_and_then_flows():
    stream = connected(CALL, OTHER)
    assert stream.send(packet(0, OTHER), not_available())[1:] == []
    assert stream.machine.deadline_s() == stream.now_s + 5
    assert stream.after(4.9).do("timeout") == []
    assert [json.loads(effect.text) for effect in stream.after(0.1).do("timeout")] == [subscription(CALL)]
    stream.send(packet(0))
    assert stream.machine.deadline_s() == stream.now_s - 5 + QUIET_S
    assert not closed(stream)


@pytest.mark.parametrize("tries", [1, 2, Wanted().tries])
def test_after_the_last_try_it_is_not_followed_any_more_and_not_before(tries):
    stream = connected(CALL, OTHER, wanted=Wanted(tries=tries))
    stream.send(packet(0, OTHER))
    for number in range(1, tries + 1):
        assert not closed(stream)
        assert len(stream.sent()) == number
        stream.send(not_available())
        stream.after(5).do("timeout")
    assert events(stream) == [(CALL, CallEventKind.NOT_AVAILABLE)]
    assert [end.reason for end in closed(stream)] == [Reason.OTHER]
    assert len(stream.sent()) == tries
    assert stream.machine.remaining == (OTHER,)


def test_tries_are_counted_anew_once_it_has_brought_audio():
    stream = connected(wanted=Wanted(tries=2))
    stream.send(not_available())
    stream.after(5).do("timeout")
    stream.send(packet(0))
    stream.do("disconnected", *LOST)
    stream.do("connected")
    stream.send(not_available())
    assert not closed(stream)
    stream.after(5).do("timeout")
    stream.send(not_available())
    # audio had come: it was available, and is over
    assert [end.reason for end in closed(stream)] == [Reason.END]


def test_an_answer_that_comes_twice_is_one_try():
    stream = connected(wanted=Wanted(tries=2))
    assert stream.send(not_available(), not_available()) == []
    stream.after(5).do("timeout")
    stream.send(not_available())
    assert len(closed(stream)) == 1


def test_a_session_over_a_lost_connection_survives_that_the_platform_needs_a_while():
    stream = connected(CALL, OTHER)
    stream.send(packet(0))
    stream.do("disconnected", *LOST)
    stream.after(1).do("connected")
    stream.send(not_available())
    stream.after(5).do("timeout")
    gap, audio = stream.send(packet(300))
    assert (gap.reason, audio.position_samples) == (Reason.RECONNECT, 300 * 160)


# --- one bad interaction among many ----------------------------------------------------------------------------------


class Platform:
    """Fifty interactions, one of them bad; what it says to a subscription, by what kind of platform it is."""

    ids = tuple(f"call-{number:02}" for number in range(50))
    bad = ids[17]

    def __init__(self, *, names: bool, whole: bool, closes: bool = False) -> None:
        self.stream = Stream(*self.ids)
        self.subscribed: set[str] = set()
        self._taken = 0
        self._names, self._whole, self._closes = names, whole, closes

    def run(self, seconds: float) -> None:
        """Let the time pass: answer what was asked, and send a packet of each stream every five seconds."""
        self.stream.do("connected")
        end_s, number = self.stream.now_s + seconds, 0
        while self.stream.now_s < end_s:
            self.stream.after(0.1)
            if (self.stream.machine.deadline_s() or math.inf) <= self.stream.now_s:
                self.stream.do("timeout")
            effects, self._taken = self.stream.effects[self._taken :], len(self.stream.effects)
            for text in [effect.text for effect in effects if isinstance(effect, SendText)]:
                self._answer([entry["interactionId"] for entry in json.loads(text)["interactions"]])
            number += 1
            if number % 50 == 0:
                for key in sorted(self.subscribed):
                    self.stream.send(packet(number * 5, key))

    def _answer(self, asked: list[str]) -> None:
        bad = self.bad in asked
        if not (bad and self._whole):
            self.subscribed.update(set(asked) - {self.bad})
        if not bad:
            return
        error = {"status": 400, "code": "mediaNotAvailable" if self._names else "badRequest"}
        self.stream.send(json.dumps({**error, "interactionId": self.bad} if self._names else error))
        if self._closes:
            self.subscribed.clear()
            self.stream.do("disconnected", 1008, "", ClosedBy.REMOTE)
            self.stream.after(1).do("connected")


@pytest.mark.parametrize(
    ("names", "whole", "closes"),
    [(True, False, False), (False, False, False), (False, True, False), (True, True, False), (False, True, True)],
    ids=["named", "unnamed", "unnamed and none subscribed", "named and none subscribed", "unnamed and closed"],
)
def test_one_bad_interaction_blocks_none_of_the_other_49(names, whole, closes):
    platform = Platform(names=names, whole=whole, closes=closes)
    stream = platform.stream
    platform.run(50)
    heard = {audio.key for audio in stream.effects if isinstance(audio, AudioReceived)}
    assert heard == set(platform.ids) - {platform.bad}
    platform.run(90)
    assert [(end.key, end.reason) for end in closed(stream)] == [(platform.bad, Reason.OTHER)]
    assert (platform.bad, CallEventKind.NOT_AVAILABLE) in events(stream)
    assert len(stream.machine.remaining) == 49


def test_of_several_errors_that_name_none_about_one_message_only_the_first_is_told():
    stream = connected(CALL, OTHER, "third")
    stream.send(BAD_REQUEST)
    assert [kind for _, kind in events(stream)] == [CallEventKind.PLATFORM_ERROR] * 3
    assert counted(stream.send(BAD_REQUEST)) == [(Observation.UNEXPECTED_MESSAGE, "")]
    asked = [stream.after(5).do("timeout"), *(stream.after(ALONE_S).do("timeout") for _ in range(3))]
    assert [len(effects) for effects in asked] == [1, 1, 1, 0]
    assert stream.sent()[1:] == [subscription(CALL), subscription(OTHER), subscription("third")]
    # nothing was said against the first two
    stream.do("disconnected", *LOST)
    stream.do("connected")
    assert stream.sent()[4:] == [subscription(CALL, OTHER), subscription("third")]


def test_an_error_of_the_server_that_names_none_asks_for_nothing_again():
    stream = connected(CALL, OTHER)
    stream.send('{"status":500,"code":"internal"}')
    assert len(events(stream)) == 2
    assert stream.after(5).do("timeout") == []
    assert len(stream.sent()) == 1


def test_a_malformed_error_changes_nothing():
    stream = connected(CALL, OTHER)
    for text in ('{"status":400,"code":"mediaNotAvailable"', '{"status":400,"code":7,"interactionId":[]}', "[]"):
        assert not closed(stream)
        stream.send(text)
    assert [effect.key for effect in stream.send(packet(0), packet(0, OTHER))] == [CALL, OTHER]


# --- lost connections, stops -----------------------------------------------------------------------------------------


def test_a_lost_connection_is_an_event_at_once_and_a_gap_before_the_next_packet():
    stream = connected(CALL, OTHER)
    stream.send(packet(0))
    stream.after(2).do("disconnected", 1001, "going", ClosedBy.REMOTE)
    told = stream.after(1).do("connected")[0]
    assert (told.event.kind, told.event.position_samples) == (CallEventKind.RECONNECT, 160)
    assert (told.event.code, told.event.message, told.event.closed_by) == (1001, "going", ClosedBy.REMOTE)
    assert (told.event.connection_age_ms, told.event.last_frame_age_ms) == (2000, 2000)
    gap, audio = stream.send(packet(151))
    assert gap == Mark(CALL, FrameKind.GAP, Reason.RECONNECT, 160, 150 * 160)
    assert audio.position_samples == 151 * 160
    # the other one had nothing yet: nothing is missing of it
    assert [type(effect) for effect in stream.send(packet(7, OTHER))] == [AudioReceived]


def test_a_gap_by_arrival_says_that_it_is_estimated():
    stream = connected()
    stream.send(packet(0))
    stream.after(0.02).do("disconnected", *LOST)
    stream.after(1.98).do("connected")
    gap, audio = stream.send(packet(0, base=2**31))
    assert gap == Mark(CALL, FrameKind.GAP, Reason.RECONNECT, 160, 16_000 - 160, estimated=True)
    assert audio.position_samples == 16_000


def test_a_restart_is_a_mark_of_its_own():
    stream = connected()
    stream.send(packet(0))
    gap, audio = stream.after(0.02).send(packet(1, timestamp=2**30))
    assert gap == Mark(CALL, FrameKind.GAP, Reason.RESTART, 160, 0, estimated=True)
    assert audio.position_samples == 160


def test_a_spent_budget_ends_the_sessions_and_a_return_goes_on_from_them():
    stream = connected(CALL, OTHER, wanted=ONCE)
    stream.send(packet(0), not_available(OTHER))
    stream.do("disconnected", *LOST)
    told, gap, end = stream.do("gave_up")
    assert told.event.kind is CallEventKind.RECONNECT_EXHAUSTED
    assert gap == Mark(CALL, FrameKind.GAP, Reason.RECONNECT, 160, -1)
    assert end == SessionClosed(CALL, Reason.BUDGET_SPENT, 160, ClosedBy.LOCAL)
    assert (stream.machine.remaining, stream.machine.finished) == ((CALL,), False)
    opened = stream.do("connected")[0]
    assert (opened.key, opened.info.continued_from) == (CALL, CALL)
    assert stream.sent()[-1] == subscription(CALL)
    assert [type(effect) for effect in stream.send(packet(5))] == [AudioReceived]


def test_a_budget_spent_before_any_connection_ends_nothing():
    stream = Stream()
    assert stream.do("gave_up") == []
    assert [type(effect) for effect in stream.do("connected")] == [SessionOpened, SendText]


def test_a_stop_ends_all_sessions_and_the_connection():
    stream = connected(CALL, OTHER)
    stream.send(packet(0))
    effects = stream.do("drain")
    assert effects == [
        SessionClosed(CALL, Reason.DRAIN, 160, ClosedBy.LOCAL),
        SessionClosed(OTHER, Reason.DRAIN, 0, ClosedBy.LOCAL),
        CloseConnection(1000),
    ]
    assert stream.machine.finished
    assert stream.do("drain") == []
    assert counted(stream.send(packet(1))) == [(Observation.AUDIO_OUTSIDE_SESSION, "")]
    assert stream.do("disconnected", 1000, "", ClosedBy.LOCAL) == []


def test_a_stop_without_a_connection_closes_none():
    stream = connected()
    stream.send(packet(0))
    stream.do("disconnected", *LOST)
    gap, end = stream.do("drain")
    assert (gap.reason, gap.duration_samples, end.reason) == (Reason.RECONNECT, -1, Reason.DRAIN)
    assert Stream().do("drain") == []


def test_a_silent_stream_is_counted_each_minute_and_stays():
    stream = connected(CALL, OTHER)
    assert stream.machine.deadline_s() == stream.now_s + QUIET_S
    stream.after(QUIET_S - 1)
    assert stream.do("timeout") == []
    stream.send(packet(0))
    (found,) = stream.after(1).do("timeout")
    assert (found.what, found.key, found.detail) == (Observation.DEADLINE_PASSED, OTHER, "")
    assert stream.machine.deadline_s() == stream.now_s + QUIET_S - 1
    assert [effect.key for effect in stream.after(QUIET_S - 1).do("timeout")] == [CALL]
    assert not closed(stream)


def test_without_a_connection_there_is_no_deadline():
    stream = Stream()
    assert stream.machine.deadline_s() is None
    assert stream.do("timeout") == []
    stream.do("connected")
    stream.do("disconnected", *LOST)
    assert stream.machine.deadline_s() is None


# --- golden run, properties ------------------------------------------------------------------------------------------


def test_two_percent_loss_disorder_and_copies_across_both_wraps_are_written_exactly():
    draw = random.Random(20)
    sent, bases = 6000, (2**32 - 3000, 2**32 - 3000 * 160)
    lost = set(draw.sample(range(1, sent - 1), sent // 50))
    kept = [number for number in range(sent) if number not in lost]
    late = set(draw.sample(kept[2:-2], 60))
    twice = set(draw.sample(kept[2:-2], 40))
    # a late packet arrives behind its second successor, a copy behind its first
    order = sorted([(n + 2.5 * (n in late), n) for n in kept] + [(n + 1.25 + 2.5 * (n in late), n) for n in twice])

    stream = connected()
    numbering = Numbering()
    highest = -1
    for at, number in order:
        stream.now_s = 100 + at * 0.02
        message = packet(
            number,
            sequenceNumber=(bases[0] + number) % 2**32,
            timestamp=(bases[1] + number * 160) % 2**32,
        )
        (audio,) = stream.send(message)
        assert audio.position_samples == number * 160
        assert audio.late is (number < highest)
        highest = max(highest, number)
        numbering.take(audio.source_sequence, audio.source_sequence_bits)

    assert (numbering.expected, numbering.lost, numbering.duplicates) == (sent, sent // 50, len(twice))
    assert numbering.restarts == 0
    frames = decode([record.value for record in stream.records if record.topic == topics.AUDIO.name], STORE)
    audio = frames.kind == FrameKind.AUDIO.code
    assert frames.position_samples[audio].tolist() == [number * 160 for _, number in order]
    missing = set(range(sent)) - {position // 160 for position in frames.position_samples[audio].tolist()}
    assert missing == lost


def test_loss_reads_what_was_lost_on_the_way_and_what_with_connections_apart():
    stream = connected()
    began_s = stream.now_s
    for number in range(1000):
        if number == 500:
            stream.do("disconnected", *LOST)
            stream.do("connected")
        if number not in (7, 8, 990) and not 500 <= number < 650:
            stream.now_s = began_s + number * 0.02
            stream.send(packet(number))
    stream.send(not_available())
    driver = Driver(LossProcessor(), clock=ManualClock())
    for record in stream.records:
        if record.topic == topics.AUDIO.name:
            driver.send_value(record.value, key=record.key, timestamp_ms=1_700_000_000_000)
    driver.run()
    reports = driver.records(topics.LOSS.name)
    final = next(r for r in reports if r.kind is LossReportKind.FINAL and r.channel is Channel.ALL)
    assert (final.expected, final.lost, final.duplicates, final.restarts) == (850, 3, 0, 0)
    assert final.gaps == (Gap(reason=Reason.RECONNECT, start_samples=80_000, duration_samples=24_000),)


ACTIONS = st.one_of(
    st.tuples(st.just("receive_text"), st.dictionaries(st.sampled_from(FIELDS), ANYTHING).map(json.dumps)),
    st.tuples(st.just("receive_text"), st.text(st.characters())),
    st.tuples(
        st.just("receive_text"),
        st.builds(
            packet,
            st.integers(0, 300),
            st.sampled_from([CALL, OTHER, "x"]),
            payload=st.binary(max_size=9),
            base=st.integers(0, 2**32 - 1),
        ),
    ),
    st.tuples(st.just("receive_text"), st.builds(not_available, st.sampled_from([CALL, OTHER, "x"]))),
    st.tuples(st.just("receive_binary"), st.binary()),
    st.tuples(
        st.just("disconnected"), st.integers(1000, 4999), st.text(st.characters()), st.sampled_from(list(ClosedBy))
    ),
    st.tuples(st.sampled_from(["connected", "timeout", "gave_up", "drain"])),
)


@given(st.sampled_from(["pcmu", "l16", "opus"]), st.lists(st.tuples(ACTIONS, st.floats(0, 200, width=32)), max_size=30))
def test_whatever_comes_the_facts_can_be_written_and_each_session_ends_once(codec, actions):
    stream = Stream(CALL, OTHER, wanted=Wanted(codecs=(codec,)))
    stream.do("connected")
    for (what, *arguments), passed_s in actions:
        stream.after(passed_s).do(what, *arguments)
    stream.do("drain")
    opened = [effect.key for effect in stream.effects if isinstance(effect, SessionOpened)]
    ends = [effect.key for effect in closed(stream)]
    assert sorted(opened) == sorted(ends)
    assert stream.machine.finished
