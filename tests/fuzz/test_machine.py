"""The AudioHook machine under everything a client, the time and this process can do, in any order."""

import json

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ingest.protocol import AudioReceived, Fact, SendText
from ingest.sources.audiohook.messages import format_duration, to_samples
from ingest.sources.audiohook.protocol import AudioHookProtocol, Limits
from ingest.sources.audiohook.states import ACTIVE_STATES, LIVE_STATES, MESSAGES, State
from schemas.symbols import ClosedBy
from tests.fuzz.rules import Judge
from tests.ingest.sources.audiohook.words import (
    CORRELATION,
    OFFERS,
    ORGANIZATION,
    PROBE,
    SESSION,
    Client,
    offer,
    open_parameters,
)

MAX_BYTES = 4096
SERVERS_WORDS = ("opened", "pong", "pause", "resume", "updated", "event", "disconnect", "closed", "reconnect")
KINDS = (*MESSAGES, *SERVERS_WORDS, "of_the_future", "")

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["\ud800", "PT1S", "PT-1S", "PT1e9S", "PT1M", "PT999999999.99999999999999999999S", PROBE, SESSION, "2"]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
ENVELOPE = ("version", "id", "type", "seq", "serverseq", "position", "parameters")
OPEN = ("organizationId", "conversationId", "participant", "media", "language", "supportedLanguages", "customConfig")
PARAMETERS = (*OPEN, "continuedSessions", "start", "discarded", "reason", "digit", "code", "message", "rtt")
MEDIA = st.one_of(
    st.just(OFFERS),
    st.just([]),
    st.lists(
        st.one_of(
            st.builds(
                lambda names, form, rate: offer(*names, form=form, rate=rate),
                st.sampled_from([("external", "internal"), ("internal", "external"), ("external",), ("internal",), ()]),
                st.sampled_from(["PCMU", "L16", "OPUS"]),
                st.sampled_from([1, 7, 8000, 16000, 48000, 48001, 0, True]),
            ),
            JSON,
        ),
        max_size=3,
    ),
)
DURATIONS = st.one_of(
    st.just("PT0S"),
    st.decimals(0, 100, places=9).map(format_duration),
    st.sampled_from(["PT.5S", "PT0.00001S", "PT0.000062499999S"]),
)
DEEP = st.integers(1, 1100).map(lambda levels: "[" * levels + "]" * levels)


class Session(RuleBasedStateMachine):
    """One call after the other. Broken input ends a call in one way only, so most of the input is sound."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0
        self.begin()

    @initialize(publish_digits=st.booleans(), languages=st.sampled_from([(), ("en-US", "de-DE")]))
    def settings_are(self, publish_digits, languages):
        self.begin(publish_digits=publish_digits, supported_languages=languages)

    @precondition(lambda self: self.machine.state not in LIVE_STATES)
    @rule()
    def begin(self, **limits):
        self.client = Client()
        self.machine = AudioHookProtocol(
            ORGANIZATION, SESSION, CORRELATION, Limits(max_message_bytes=MAX_BYTES, **limits)
        )
        self.judge = Judge(self.machine)
        self.judge.take(self.machine.connected(self.now_s), 0)

    def hear(self, text: str) -> list:
        if self.machine.finished:
            return []
        effects = self.judge.take(self.machine.receive_text(text, self.now_s), self.highest_seq)
        self.client.serverseq = len(self.judge.texts)
        return effects

    def say(self, kind: str, parameters: dict | None = None, position: object = None, **envelope) -> list:
        stated = format_duration(to_samples(self.machine.position_samples, 1) / 8000)
        return self.hear(self.client.say(kind, position or stated, parameters, **envelope))

    @property
    def highest_seq(self) -> int:
        return max(self.client.seq, self.machine._client_seq)

    @precondition(lambda self: self.machine.state is State.OPENING)
    @rule(
        media=MEDIA,
        extra=st.dictionaries(st.sampled_from(OPEN[4:]), JSON, max_size=2),
        probe=st.sampled_from([0, 0, 0, 1]),
    )
    def opens(self, media, extra, probe):
        changes = {"media": media, **extra}
        if probe:
            changes |= {"conversationId": PROBE, "participant": {"id": PROBE}}
        effects = self.say("open", open_parameters(**changes))
        assert [message.kind for message in self.judge.texts[-1:]] in (["opened"], ["disconnect"])
        assert not probe or not [effect for effect in effects if isinstance(effect, Fact)]

    @rule(position=st.one_of(st.none(), DURATIONS, st.just("PT999999999S")))
    def pings(self, position):
        answers = self.machine.state in (*LIVE_STATES, State.DISCONNECTING) and not self.machine.finished
        said = len(self.judge.texts)
        self.say("ping", {}, position)
        assert [(text.kind, text.clientseq) for text in self.judge.texts[said:]] == [
            ("pong", self.client.seq)
        ] * answers

    @rule(kind=st.sampled_from(["resumed", "discarded"]), start=DURATIONS, discarded=DURATIONS)
    def skips(self, kind, start, discarded):
        self.say(kind, {"start": start, "discarded": discarded})

    @rule(kind=st.sampled_from(KINDS), parameters=st.dictionaries(st.sampled_from(PARAMETERS), JSON, max_size=3))
    def says(self, kind, parameters):
        self.say(kind, parameters)

    @rule()
    def pauses(self):
        self.say("paused", {})

    @rule(size=st.one_of(st.integers(0, 40).map(lambda n: n * 4), st.integers(0, MAX_BYTES * 5)))
    def sends_audio(self, size):
        if self.machine.finished:
            return
        before = self.machine.state
        for effect in self.judge.take(self.machine.receive_binary(b"\x7f" * size, self.now_s), self.highest_seq):
            if isinstance(effect, AudioReceived):
                assert (len(effect.payload), before in ACTIVE_STATES, size <= MAX_BYTES) == (size, True, True)

    @rule(reason=st.sampled_from(["end", "error", "disconnect", "reconnect", "of_the_future", None, [], 1.5]))
    def closes(self, reason):
        answers = self.machine.state is not State.CLOSED and not self.machine.finished
        effects = self.say("close", {"reason": reason})
        assert any(isinstance(effect, SendText) for effect in effects) == answers

    @rule(kind=st.sampled_from(KINDS), field=st.sampled_from(ENVELOPE), value=st.one_of(st.just(...), JSON))
    def breaks_the_envelope(self, kind, field, value):
        message = json.loads(self.client.say(kind)) | {field: value}
        self.hear(json.dumps({name: inside for name, inside in message.items() if inside is not ...}))

    @rule(text=st.one_of(st.text(max_size=50), JSON.map(json.dumps), st.integers(0, MAX_BYTES).map("é".__mul__), DEEP))
    def says_no_message(self, text):
        self.hear(text)

    @precondition(lambda self: self.machine.state is State.OPENING)
    @rule(levels=st.integers(1, 1000), field=st.sampled_from(["extra", "format", "channels"]))
    def opens_with_what_is_deep(self, levels, field):
        text = self.client.open(media=[offer("external") | {field: "@"}])
        self.hear(text.replace('"@"', "[" * levels + "]" * levels))

    @rule(where=st.sampled_from(PARAMETERS), kind=st.sampled_from(list(MESSAGES)), levels=st.integers(1, 1000))
    def says_what_is_deep(self, where, kind, levels):
        text = self.client.say(kind, parameters={where: "@"})
        self.hear(text.replace('"@"', "[" * levels + "]" * levels))

    @rule(seconds=st.sampled_from([0.0, 0.001, 1.0, 9.99, 10.0, 15.0, 3600.0]))
    def time_passes(self, seconds):
        self.now_s += seconds
        due = self.machine.deadline_s() is not None and self.now_s >= self.machine.deadline_s()
        assert bool(self.judge.take(self.machine.timeout(self.now_s), self.highest_seq)) == due

    @rule()
    def drains(self):
        self.judge.take(self.machine.drain(self.now_s), self.highest_seq)

    @rule()
    def wants_a_pause(self):
        self.judge.take(self.machine.pause(self.now_s), self.highest_seq)

    @rule(secure_is_over=st.booleans())
    def wants_audio_again(self, secure_is_over):
        effects = self.machine.resume(self.now_s, secure_is_over=secure_is_over)
        self.judge.take(effects, self.highest_seq)

    @rule(code=st.sampled_from([1000, 1001, 1006, 1011]), by=st.sampled_from(list(ClosedBy)))
    def is_lost(self, code, by):
        self.judge.take(self.machine.disconnected(self.now_s, code, "", by), self.highest_seq)
        assert self.machine.state is State.GONE

    def teardown(self):
        self.judge.take(self.machine.disconnected(self.now_s, 1006, "", ClosedBy.NETWORK), self.highest_seq)


TestSession = pytest.mark.timeout(600)(Session.TestCase)
TestSession.settings = settings(
    max_examples=400, stateful_step_count=50, suppress_health_check=list(HealthCheck), print_blob=True
)
