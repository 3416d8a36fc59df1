import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.protocol import (
    AudioReceived,
    CloseConnection,
    EventReceived,
    Fact,
    Mark,
    Observation,
    Observed,
    SendText,
    SessionClosed,
    SessionInfoChanged,
    SessionOpened,
)
from ingest.sources.audiohook.messages import format_duration
from ingest.sources.audiohook.protocol import AudioHookProtocol, Limits
from ingest.sources.audiohook.states import MEANINGFUL, MESSAGES, State, Trigger, after
from schemas.symbols import CallEventKind, Channels, ClosedBy, Codec, FrameKind, Reason
from tests.ingest.sources.audiohook.words import (
    CONVERSATION,
    CORRELATION,
    OFFERS,
    ORGANIZATION,
    PROBE,
    SESSION,
    STEREO,
    Client,
    offer,
)

FRAME = b"\xff" * 3200


class Conversation:
    """A machine with the client that talks to it."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.client = Client()
        self.machine = AudioHookProtocol(ORGANIZATION, SESSION, CORRELATION, limits or Limits())
        self.now_s = 100.0
        self.effects = list(self.machine.connected(self.now_s))

    def hear(self, text: str) -> list:
        return self._take(self.machine.receive_text(text, self.now_s))

    def say(self, kind: str, position: str = "PT0S", parameters: dict | None = None, **envelope) -> list:
        return self.hear(self.client.say(kind, position, parameters, **envelope))

    def open(self, **changes) -> list:
        return self.hear(self.client.open(**changes))

    def audio(self, data: bytes = FRAME) -> list:
        return self._take(self.machine.receive_binary(data, self.now_s))

    def close(self, position: str = "PT0S", reason: str = "end") -> list:
        return self.hear(self.client.close(position, reason))

    def wait(self, seconds: float) -> list:
        self.now_s += seconds
        return self._take(self.machine.timeout(self.now_s))

    def drain(self) -> list:
        return self._take(self.machine.drain(self.now_s))

    def lose(self) -> list:
        return self._take(self.machine.disconnected(self.now_s, 1006, "", ClosedBy.NETWORK))

    def _take(self, effects: list) -> list:
        self.effects += effects
        return effects


@pytest.fixture
def call() -> Conversation:
    conversation = Conversation()
    conversation.open()
    return conversation


def sent(effects: list) -> list[dict]:
    return [json.loads(effect.text) for effect in effects if isinstance(effect, SendText)]


def types(effects: list) -> list[str]:
    return [message["type"] for message in sent(effects)]


def of(kind: type, effects: list) -> list:
    return [effect for effect in effects if isinstance(effect, kind)]


def observed(effects: list) -> list[Observation]:
    return [effect.what for effect in of(Observed, effects)]


def facts(effects: list) -> list:
    return [effect for effect in effects if isinstance(effect, Fact)]


def test_open_is_answered_with_opened_as_the_first_message_and_opens_a_session():
    effects = Conversation().open()
    assert sent(effects) == [
        {
            "version": "2",
            "id": SESSION,
            "type": "opened",
            "seq": 1,
            "clientseq": 1,
            "parameters": {"startPaused": False, "media": [STEREO]},
        }
    ]
    (opened,) = facts(effects)
    assert isinstance(opened, SessionOpened)
    assert (opened.info.conversation_id, opened.channels) == (CONVERSATION, Channels.EXTERNAL_INTERNAL)


def test_audio_is_given_on_as_received_with_positions_counted_in_samples(call):
    frames = [b"\x01" * 3200, b"\x02" * 2, b"\x03" * 320]
    received = [fact for frame in frames for fact in call.audio(frame)]
    assert [(fact.payload, fact.position_samples, fact.duration_samples) for fact in received] == [
        (frames[0], 0, 1600),
        (frames[1], 1600, 1),
        (frames[2], 1601, 160),
    ]


@pytest.mark.parametrize(
    ("entry", "codec", "channels", "samples"),
    [
        (offer("internal"), Codec.PCMU, Channels.INTERNAL, 400),
        (offer("internal", "external"), Codec.PCMU, Channels.INTERNAL_EXTERNAL, 200),
        (offer("external", "internal", form="L16"), Codec.L16_LE, Channels.EXTERNAL_INTERNAL, 100),
    ],
)
def test_audio_is_described_by_the_accepted_offer(entry, codec, channels, samples):
    call = Conversation()
    assert sent(call.open(media=[entry]))[0]["parameters"]["media"] == [entry]
    (fact,) = call.audio(bytes(400))
    assert (fact.codec, fact.channels, fact.duration_samples) == (codec, channels, samples)


def test_an_empty_offer_keeps_the_session_open_without_audio():
    call = Conversation()
    assert sent(call.open(media=[]))[0]["parameters"] == {"startPaused": False, "media": []}
    assert observed(call.audio()) == [Observation.AUDIO_OUTSIDE_SESSION]
    assert observed(call.say("ping", "PT5S")) == []
    assert types(call.close()) == ["closed"]


def test_a_pong_answers_the_seq_of_its_ping_and_leaves_a_mark_with_the_stated_position(call):
    call.audio()
    effects = call.say("ping", "PT0.25S")
    assert sent(effects)[0] | {"parameters": {}} == {
        "version": "2",
        "id": SESSION,
        "type": "pong",
        "seq": 2,
        "clientseq": 2,
        "parameters": {},
    }
    assert of(Mark, effects) == [Mark(SESSION, FrameKind.ALIVE, position_samples=1600, stated_position_samples=2000)]
    assert of(Observed, effects) == [Observed(Observation.DRIFT_SAMPLES, 400, key=SESSION)]


def test_binary_messages_do_not_count_in_the_sequence(call):
    call.audio()
    call.audio()
    assert [message["clientseq"] for message in sent(call.say("ping", "PT0.4S"))] == [2]


def test_pause_resume_and_discard_move_the_timeline_by_what_the_client_states(call):
    call.audio()
    call.say("discarded", "PT1.4S", {"start": "PT0.2S", "discarded": "PT1.2S"})
    call.say("paused", "PT1.4S")
    call.say("resumed", "PT4.4S", {"start": "PT1.4S", "discarded": "PT3S"})
    (after_resume,) = of(AudioReceived, call.audio())
    assert of(Mark, call.effects) == [
        Mark(SESSION, FrameKind.DISCARDED, Reason.SOURCE_DISCARD, 1600, 9600, 11200),
        Mark(SESSION, FrameKind.PAUSED, Reason.SECURE_PAUSE, 11200, -1, 11200),
        Mark(SESSION, FrameKind.RESUMED, Reason.SECURE_PAUSE, 11200, 24000, 35200),
    ]
    assert after_resume.position_samples == 35200
    assert call.machine.drift_samples == 0


def test_a_repeated_paused_and_an_empty_discard_leave_no_second_mark(call):
    call.say("paused")
    assert facts(call.say("paused")) == []
    call.say("resumed", parameters={"start": "PT0S", "discarded": "PT0S"})
    assert facts(call.say("discarded", parameters={"start": "PT0S", "discarded": "PT0S"})) == []


def test_nothing_that_arrives_while_the_client_pauses_becomes_a_fact(call):
    call.say("paused")
    effects = [*call.audio(), *call.say("dtmf", parameters={"digit": "5"})]
    assert facts(effects) == []
    assert observed(effects) == [Observation.AUDIO_WHILE_PAUSED, Observation.EVENT_WHILE_PAUSED]
    assert call.machine.position_samples == 0


def test_drift_is_not_evaluated_while_paused(call):
    call.say("paused")
    assert observed(call.say("ping", "PT60S")) == []
    assert observed(call.say("resumed", "PT60S", {"start": "PT0S", "discarded": "PT60S"})) == []


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("audio"), st.integers(1, 2000)),
            st.tuples(st.just("discarded"), st.integers(0, 20_000)),
            st.tuples(st.just("pause"), st.integers(0, 20_000)),
            st.tuples(st.just("ping"), st.just(0)),
        ),
        max_size=40,
    )
)
def test_for_a_client_that_keeps_the_invariant_drift_is_zero_and_the_facts_cover_the_timeline(steps):
    call = Conversation()
    call.open()
    position = 0

    def stated(samples: int) -> str:
        return format_duration(Decimal(samples) / 8000)

    for kind, samples in steps:
        if kind == "audio":
            call.audio(bytes(2 * samples))
        elif kind == "ping":
            call.say("ping", stated(position))
        else:
            if kind == "pause":
                call.say("paused", stated(position))
            moved = {"start": stated(position), "discarded": stated(samples)}
            call.say("resumed" if kind == "pause" else kind, stated(position + samples), moved)
        position += samples
    call.close(stated(position))
    assert Observation.DRIFT_SAMPLES not in observed(call.effects)
    ends = 0
    for fact in facts(call.effects):
        if isinstance(fact, AudioReceived | Mark):
            assert fact.position_samples == ends
            ends += max(fact.duration_samples, 0)
    assert ends == position == of(SessionClosed, call.effects)[0].position_samples


def test_update_repeats_the_info_with_the_new_language(call):
    effects = call.say("update", parameters={"language": "de-DE"})
    (changed,) = of(SessionInfoChanged, effects)
    assert changed.info == replace(of(SessionOpened, call.effects)[0].info, language="de-DE")
    assert facts(call.say("update", parameters={"language": "de-DE"})) == []
    assert facts(call.say("update")) == []


def test_dtmf_playback_and_errors_become_events_and_the_digit_only_where_allowed():
    call, allowed = Conversation(), Conversation(Limits(publish_digits=True))
    for conversation in (call, allowed):
        conversation.open()
        conversation.say("dtmf", parameters={"digit": "#"})
    call.say("playback_started")
    call.say("playback_completed")
    call.say("error", parameters={"code": 429, "message": "slow", "retryAfter": "PT1S"})
    events = [fact.event for fact in of(EventReceived, call.effects)]
    assert [event.kind for event in events] == [
        CallEventKind.DTMF,
        CallEventKind.PLAYBACK_STARTED,
        CallEventKind.PLAYBACK_COMPLETED,
        CallEventKind.PLATFORM_ERROR,
    ]
    assert events[0].digit is None
    assert of(EventReceived, allowed.effects)[0].event.digit == "#"


def test_an_error_in_a_pause_is_told_without_its_words(call):
    error = {"code": 409, "message": "heard 4111"}
    call.say("paused")
    (paused,) = of(EventReceived, call.say("error", parameters=error))
    assert (paused.event.code, paused.event.message) == (409, None)
    call.say("resumed", parameters={"start": "PT0S", "discarded": "PT0S"})
    (active,) = of(EventReceived, call.say("error", parameters=error))
    assert active.event.message == "heard 4111"


def test_an_unknown_message_is_counted_and_the_sequence_goes_on(call):
    assert call.say("from_the_future") == [Observed(Observation.UNKNOWN_MESSAGE)]
    assert sent(call.say("ping"))[0]["clientseq"] == 3


def test_a_second_open_is_ignored(call):
    assert call.open() == [Observed(Observation.UNEXPECTED_MESSAGE)]


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("kind", [*MESSAGES, "from_the_future"])
def test_every_message_in_every_state_follows_the_table(state, kind):
    call = in_state(state)
    before = len(call.effects)
    moved = {"start": "PT0S", "discarded": "PT0S"} if kind in ("resumed", "discarded") else {}
    if kind == "open":
        call.open()
    else:
        call.say(kind, parameters=moved)
    effects = call.effects[before:]
    trigger = MESSAGES.get(kind)
    if trigger is None or trigger not in MEANINGFUL[state]:
        assert call.machine.state is state
        assert sent(effects) == []
        assert set(observed(effects)) <= {Observation.UNEXPECTED_MESSAGE, Observation.UNKNOWN_MESSAGE}
        assert observed(effects)
    else:
        assert call.machine.state is after(state, trigger)
        answers = {"open": ["opened"], "ping": ["pong"], "close": ["closed"]}
        assert types(effects) == answers.get(kind, [])


def in_state(state: State) -> Conversation:
    call = Conversation()
    if state is State.OPENING:
        return call
    call.open()
    if state in (State.PAUSED, State.DRAINING_PAUSED):
        call.say("paused")
    if state in (State.DRAINING, State.DRAINING_PAUSED):
        call.drain()
    if state is State.DISCONNECTING:
        call.audio(b"odd")
    if state is State.CLOSED:
        call.close()
    if state is State.GONE:
        call.lose()
    assert call.machine.state is state
    return call


@pytest.mark.parametrize("state", list(State))
def test_binary_is_kept_only_in_the_active_states(state):
    call = in_state(state)
    effects = call.audio()
    if state in (State.ACTIVE, State.DRAINING):
        assert [type(effect) for effect in effects] == [AudioReceived]
    else:
        assert facts(effects) == []
        assert len(observed(effects)) == 1


@pytest.mark.parametrize("state", list(State))
def test_a_session_is_closed_exactly_once_however_it_goes_on(state):
    call = in_state(state)
    call.close()
    call.lose()
    call.lose()
    opened = len(of(SessionOpened, call.effects))
    assert len(of(SessionClosed, call.effects)) == opened
    assert call.machine.finished


DEFECTS = {
    "seq_gap": {"seq": 9},
    "seq_repeated": {"seq": 1},
    "serverseq_ahead": {"serverseq": 5},
    "other_id": {"id": CORRELATION},
    "other_version": {"version": "1"},
    "bad_position": {"position": "1"},
    "no_type": {"type": ...},
    "bad_parameters": {"parameters": 3},
}


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_answered_by_one_disconnect_and_close_is_still_answered(call, defect):
    effects = [*call.say("ping", **defect), *call.say("ping", **defect), *call.audio()]
    disconnects = [message for message in sent(effects) if message["type"] == "disconnect"]
    assert [message["parameters"]["reason"] for message in disconnects] == ["error"]
    assert [fact.reason for fact in facts(effects)] == [Reason.PEER_ERROR]
    closing = call.close()
    assert types(closing) == ["closed"]
    assert facts(closing) == []


@pytest.mark.parametrize(
    "text",
    ["not json", "[]", '{"type":"ping","x":"' + "a" * 65_536 + '"}', '"' + "é" * 40_000 + '"'],
    ids=["no_json", "no_object", "too_long", "too_long_in_bytes"],
)
@pytest.mark.parametrize("opened", [True, False])
def test_a_text_that_is_no_message_ends_the_session(text, opened):
    call = in_state(State.ACTIVE if opened else State.OPENING)
    effects = call.hear(text)
    assert types(effects) == ["disconnect"]
    assert call.machine.state is State.DISCONNECTING


@pytest.mark.parametrize("data", [b"odd", bytes(65_538)])
def test_a_frame_without_whole_samples_or_too_long_ends_the_session(call, data):
    effects = call.audio(data)
    assert types(effects) == ["disconnect"]
    assert of(AudioReceived, effects) == []


def test_audio_that_runs_too_far_ahead_of_time_ends_the_session_and_a_live_call_of_any_length_does_not():
    flood, live = Conversation(Limits(max_ahead_s=2.0)), Conversation(Limits(max_ahead_s=2.0))
    flood.open()
    live.open()
    for _ in range(50):
        live.wait(0.2)
        assert len(facts(live.audio())) == 1
    assert [len(facts(flood.audio())) for _ in range(10)] == [1] * 10
    end = flood.audio()
    assert [message["parameters"]["info"] for message in sent(end)] == ["audio comes faster than time"]
    assert of(SessionClosed, end)[0].position_samples == 16_000


def test_what_a_client_left_out_is_not_ahead_of_time():
    call = Conversation(Limits(max_ahead_s=1.0))
    call.open()
    call.say("discarded", "PT60S", {"start": "PT0S", "discarded": "PT60S"})
    assert len(facts(call.audio())) == 1


def test_an_empty_frame_is_no_fact(call):
    assert call.audio(b"") == []


@pytest.mark.parametrize("parameters", [{}, {"start": "PT0S"}, {"discarded": "PT0S"}, {"start": "x", "discarded": "y"}])
@pytest.mark.parametrize("kind", ["resumed", "discarded"])
def test_a_skip_that_does_not_say_how_long_ends_the_session(call, kind, parameters):
    assert types(call.say(kind, parameters=parameters)) == ["disconnect"]


def test_whatever_is_logged_of_a_peer_names_its_connection():
    call = Conversation()
    call.open(organizationId=PROBE)
    late = Conversation()
    late.wait(60)
    broken = Conversation()
    broken.hear("{")
    for effects in (call.effects, late.effects, broken.effects):
        noticed = [effect for effect in effects if isinstance(effect, Observed) and effect.detail]
        assert noticed
        assert {effect.correlation for effect in noticed} == {CORRELATION}


def test_another_organisation_is_unauthorized_and_no_session_opens():
    call = Conversation()
    effects = call.open(organizationId=CORRELATION)
    assert [message["parameters"] for message in sent(effects)] == [{"reason": "unauthorized"}]
    assert facts(effects) == []
    assert types(call.close(reason="disconnect")) == ["closed"]


def test_a_connection_probe_is_answered_in_full_and_leaves_no_fact():
    call = Conversation()
    call.open(conversationId=PROBE, participant={"id": PROBE, "ani": "", "aniName": "", "dnis": ""})
    call.audio()
    call.say("ping", "PT0.2S")
    call.say("update", "PT0.2S", {"language": "xx"})
    call.close("PT0.2S")
    call.lose()
    assert types(call.effects) == ["opened", "pong", "closed"]
    assert facts(call.effects) == []
    assert observed(call.effects) == [Observation.CONNECTION_PROBE]


def test_a_probe_that_breaks_the_protocol_or_vanishes_leaves_no_fact_either():
    broken, lost = Conversation(), Conversation()
    for call in (broken, lost):
        call.open(conversationId=PROBE, participant={"id": PROBE})
    broken.hear("{")
    lost.lose()
    assert facts(broken.effects) == facts(lost.effects) == []


def test_a_probe_is_told_the_supported_languages_too():
    call = Conversation(Limits(supported_languages=("en-US",)))
    (opened,) = sent(call.open(conversationId=PROBE, participant={"id": PROBE}, supportedLanguages=True))
    assert opened["parameters"]["supportedLanguages"] == ["en-US"]


def test_an_open_with_all_that_the_platform_may_send_is_answered():
    call = Conversation()
    more = {"inputVariables": {"a": "b"}, "customConfig": '{"queue": "q"}', "continuedSessions": [{"id": PROBE}]}
    (opened,) = sent(call.open(**more))
    assert opened["type"] == "opened"
    assert set(opened["parameters"]) == {"startPaused", "media"}


def test_supported_languages_are_named_only_where_asked_for():
    limits = Limits(supported_languages=("en-US", "de-DE"))
    asked = sent(Conversation(limits).open(supportedLanguages=True))[0]["parameters"]
    assert asked["supportedLanguages"] == ["en-US", "de-DE"]
    assert "supportedLanguages" not in sent(Conversation(limits).open())[0]["parameters"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [("end", Reason.END), ("error", Reason.PEER_ERROR), ("reconnect", Reason.RECONNECT), ("?", Reason.OTHER)],
)
def test_close_ends_the_session_with_its_reason_at_its_position(call, said, reason):
    call.audio()
    (closed,) = facts(call.close("PT0.2S", said))
    assert closed == SessionClosed(SESSION, reason, 1600, ClosedBy.REMOTE)


def test_a_lost_connection_ends_the_session_with_a_mark_that_says_so(call):
    call.audio()
    assert call.lose() == [SessionClosed(SESSION, Reason.SOCKET_LOST, 1600, ClosedBy.NETWORK, 1006)]


def test_a_drain_keeps_what_is_under_way_and_ends_by_the_protocol(call):
    assert sent(call.drain())[0]["parameters"] == {"reason": "completed"}
    assert len(of(AudioReceived, call.audio())) == 1
    assert types(call.say("ping", "PT0.2S")) == ["pong"]
    closing = call.close("PT0.2S", "disconnect")
    assert types(closing) == ["closed"]
    assert facts(closing) == [SessionClosed(SESSION, Reason.DRAIN, 1600, ClosedBy.LOCAL)]
    assert call.drain() == []


def test_a_client_that_does_not_answer_a_drain_is_cut_off(call):
    call.drain()
    assert of(CloseConnection, call.wait(10)) == [CloseConnection(1001)]
    assert call.machine.finished
    assert [fact.reason for fact in call.lose()] == [Reason.DRAIN]


def test_without_open_in_time_the_connection_is_ended():
    call = Conversation()
    assert call.wait(9.9) == []
    assert types(call.wait(0.1)) == ["disconnect"]
    assert of(CloseConnection, call.wait(10)) == [CloseConnection(1000)]


def test_without_pings_the_session_is_given_up_and_audio_alone_does_not_keep_it(call):
    call.wait(14)
    call.audio()
    effects = call.wait(1)
    assert types(effects) == ["disconnect"]
    assert [(fact.reason, fact.closed_by) for fact in facts(effects)] == [(Reason.SOCKET_LOST, ClosedBy.TIMEOUT)]


def test_pings_keep_a_session_without_audio_for_ever(call):
    for _ in range(100):
        call.wait(5)
        assert types(call.say("ping")) == ["pong"]
    assert call.machine.state is State.ACTIVE


def test_a_client_that_does_not_end_the_connection_behind_closed_is_cut_off(call):
    call.close()
    assert call.wait(9) == []
    assert of(CloseConnection, call.wait(1)) == [CloseConnection(1000)]


@given(st.lists(st.one_of(st.text(max_size=80), st.binary(max_size=40), st.sampled_from(list(Trigger))), max_size=20))
def test_whatever_the_peer_sends_nothing_is_raised_and_sequences_stay_whole(inputs):
    call = Conversation()
    for item in inputs:
        if isinstance(item, str):
            call.hear(item)
        elif isinstance(item, bytes):
            call.audio(item)
        elif item is Trigger.OPEN:
            call.open(media=OFFERS)
        elif item.value in MESSAGES:
            call.say(item.value, parameters={"start": "PT0S", "discarded": "PT1S", "reason": "end", "digit": "1"})
        elif item is Trigger.DRAIN:
            call.drain()
    call.lose()
    messages = sent(call.effects)
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    assert len([1 for message in messages if message["type"] == "disconnect"]) <= 1
    assert len(of(SessionClosed, call.effects)) == len(of(SessionOpened, call.effects)) <= 1
