"""What public AudioHook servers get wrong, each as a conversation in which it would show."""

import asyncio
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.protocol import Observation, SendBinary, SendText
from ingest.sources.audiohook.protocol import Limits
from ingest.sources.audiohook.states import MESSAGES, State
from schemas.symbols import FrameKind
from simulators.audiohook import messages as platform
from tests.ingest.sources.audiohook.test_protocol import Conversation, facts, in_state, observed, sent, types
from tests.ingest.sources.audiohook.words import OFFERS, PROBE, SESSION, Client, offer
from tests.ingest.test_server import FRAME, OPEN, dial, said, serving
from tests.ingest.test_session import FakeOutlet

CLOSE_REASONS = ("end", "error", "disconnect", "reconnect", "of_the_future")


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"open": ""}))
    return path


@pytest.mark.parametrize("reason", CLOSE_REASONS)
@pytest.mark.parametrize("state", [state for state in State if state not in (State.CLOSED, State.GONE)])
def test_closed_answers_every_close_whatever_its_reason_and_the_state(state, reason):
    call = in_state(state)
    (closed,) = sent(call.close(reason=reason))
    assert (closed["type"], closed["clientseq"], closed["parameters"]) == ("closed", call.client.seq, {})


def test_nothing_is_processed_after_a_sequence_number_that_is_wrong():
    call = in_state(State.ACTIVE)
    call.say("ping", seq=99)
    effects = [*call.audio(), *call.say("update", parameters={"language": "de-DE"}), *call.say("dtmf")]
    assert facts(effects) == []


def test_a_ping_before_open_takes_no_sequence_number_from_opened():
    call = Conversation()
    assert sent(call.say("ping")) == []
    (opened,) = sent(call.open())
    assert (opened["type"], opened["seq"], opened["clientseq"]) == ("opened", 1, 2)


@pytest.mark.parametrize("kind", ["pause", "resume", "opened", "pong", "closed", "disconnect", "event", "reconnect"])
def test_a_servers_word_from_the_client_is_counted_and_nothing_else(kind):
    call = in_state(State.ACTIVE)
    effects = call.say(kind)
    assert (observed(effects), sent(effects), facts(effects)) == ([Observation.UNKNOWN_MESSAGE], [], [])
    assert call.machine.state is State.ACTIVE


def test_the_length_of_a_pause_is_what_the_client_states_and_no_clocks():
    call = in_state(State.PAUSED)
    for _ in range(12):
        call.wait(5)
        call.say("ping", "PT1S")
    (mark,) = facts(call.say("resumed", "PT3S", {"start": "PT0S", "discarded": "PT3S"}))
    assert (mark.kind, mark.duration_samples) == (FrameKind.RESUMED, 24_000)
    assert call.machine.position_samples == 24_000


def test_a_ping_is_answered_while_the_client_says_that_we_are_too_fast():
    call = in_state(State.ACTIVE)
    call.say("error", parameters={"code": 429, "message": "Rate limit", "retryAfter": "PT5S"})
    assert types(call.say("ping")) == ["pong"]


def test_every_ping_of_a_burst_has_a_pong_with_its_own_number_whatever_lies_between():
    call = in_state(State.ACTIVE)
    answers = []
    for _ in range(20):
        answers += sent(call.say("ping", "PT0S"))
        call.audio()
        call.say("from_the_future", "PT0S")
    assert [answer["clientseq"] for answer in answers] == [2 + 2 * number for number in range(20)]
    assert [answer["seq"] for answer in answers] == list(range(2, 22))


def test_no_offer_we_know_is_answered_with_opened_and_no_media():
    call = Conversation()
    (opened,) = sent(call.open(media=[offer("external", form="OPUS")]))
    assert (opened["type"], opened["parameters"]) == ("opened", {"startPaused": False, "media": []})


@pytest.mark.parametrize(("length", "taken"), [(65_535, True), (65_536, False)])
def test_a_text_has_at_most_65535_characters(length, taken):
    call = in_state(State.ACTIVE)
    bare = call.client.say("ping", parameters={"x": ""})
    text = bare.replace('"x": ""', '"x": "' + "a" * (length - len(bare)) + '"')
    assert len(text) == length
    assert types(call.hear(text)) == (["pong"] if taken else ["disconnect"])


def test_to_a_monitor_no_binary_message_is_sent():
    call = Conversation()
    call.open()
    call.audio()
    call.close("PT0.2S")
    assert not any(isinstance(effect, SendBinary) for effect in call.effects)


STEPS = st.one_of(
    st.sampled_from(["open", "probe", "drain", "lose", "wait", "pause", "resume"]),
    st.tuples(st.sampled_from([*MESSAGES, "from_the_future"]), st.sampled_from(["", "seq", "id", "serverseq"])),
    st.binary(max_size=8),
    st.text(max_size=20),
)


class Strict:
    """A conversation whose client validates as the platform does: an unknown field or a wrong number ends a session."""

    def __init__(self) -> None:
        self.call = Conversation(Limits(supported_languages=("en-US",)))
        self.seq = 0
        self.stated = 0

    def step(self, step) -> None:
        call = self.call
        if isinstance(step, bytes):
            effects = call.audio(step)
        elif isinstance(step, tuple):
            self.stated = max(self.stated, 99 if step[1] == "seq" else 0)
            wrong = {"seq": {"seq": 99}, "id": {"id": PROBE}, "serverseq": {"serverseq": 99}}.get(step[1], {})
            effects = call.say(step[0], parameters={"start": "PT0S", "discarded": "PT1S"}, **wrong)
        else:
            effects = self.other(step)
        for effect in effects:
            if isinstance(effect, SendText):
                self.validate(effect.text)

    def other(self, step: str) -> list:
        call = self.call
        acts = {
            "open": lambda: call.open(supportedLanguages=True),
            "probe": lambda: call.open(conversationId=PROBE, participant={"id": PROBE}),
            "drain": call.drain,
            "lose": call.lose,
            "wait": lambda: call.wait(8),
            "pause": lambda: call._take(call.machine.pause(call.now_s)),
            "resume": lambda: call._take(call.machine.resume(call.now_s)),
        }
        return acts[step]() if step in acts else call.hear(step)

    def validate(self, text: str) -> None:
        message = platform.parse(text, SESSION)
        self.seq += 1
        assert message.seq == self.seq
        assert message.clientseq <= max(self.stated, self.call.client.seq)
        if message.kind == "opened":
            offers = [platform.Media(tuple(each["channels"])) for each in OFFERS]
            platform.choose_media(message.parameters["media"], offers)
            assert message.seq == 1


@given(st.lists(STEPS, max_size=30))
@example([("open", ""), ("ping", "seq")])
def test_whatever_comes_all_we_say_passes_a_validator_as_strict_as_the_platforms(steps):
    strict = Strict()
    for step in steps:
        strict.step(step)
    assert strict.seq == len(sent(strict.call.effects))


async def test_messages_of_many_kilobytes_arrive_whole(keys):
    client, outlet = Client(), FakeOutlet()
    large = bytes(60_000)
    async with serving(outlet, keys) as server, dial(server, fields=OPEN) as connection:
        await connection.send(client.open(customConfig={"queue": "sales", "more": "x" * 30_000}))
        assert (await said(connection))["type"] == "opened"
        await connection.send(large)
        await connection.send([large[start : start + 1000] for start in range(0, len(large), 1000)])
        await connection.send(client.say("ping", "PT7.5S"))
        assert (await said(connection))["type"] == "pong"
    assert outlet.kinds().count("AUDIO") == 2


async def test_a_ping_of_the_websocket_has_its_pong_wherever_it_comes(keys):
    client, outlet = Client(), FakeOutlet()
    async with serving(outlet, keys) as server, dial(server, fields=OPEN) as connection, asyncio.timeout(30):
        await (await connection.ping(b"before open"))
        await connection.send(client.open())
        await said(connection)

        async def halves():
            yield FRAME[:100]
            await (await connection.ping(b"within a message"))
            yield FRAME[100:]

        await connection.send(halves())
        await connection.send(client.say("ping", "PT0.2S"))
        assert (await said(connection))["type"] == "pong"
    assert outlet.kinds().count("AUDIO") == 1


async def test_no_line_is_logged_for_a_frame(keys, capfd):
    client, outlet = Client(), FakeOutlet()
    async with serving(outlet, keys) as server, dial(server, fields=OPEN) as connection:
        await connection.send(client.open())
        await said(connection)
        capfd.readouterr()
        for _ in range(50):
            await connection.send(FRAME)
        await connection.send(client.say("ping", "PT10S"))
        await said(connection)
        assert capfd.readouterr().err == ""


async def test_the_answers_do_not_wait_for_room_to_write_records(keys):
    client, outlet = Client(), FakeOutlet()
    outlet.has_room = False
    async with serving(outlet, keys) as server, dial(server, fields=OPEN) as connection:
        for text, answer in ((client.open(), "opened"), (client.say("ping"), "pong"), (client.close(), "closed")):
            await connection.send(FRAME)
            await connection.send(text)
            assert (await said(connection))["type"] == answer
