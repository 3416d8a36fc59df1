import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.audiohook.messages import Media
from simulators.audiohook.protocol import ClientProtocol, End, Phase

STEREO = Media(("external", "internal"))


class Bench:
    """A protocol with the server's part typed in by hand."""

    def __init__(self, *, paused_samples_per_s=0.0, opened=True):
        self.protocol = ClientProtocol("s", {"media": []}, [STEREO], 0.0, paused_samples_per_s)
        self.seq = 0
        self.sent = []
        self.drain()
        if opened:
            self.say("opened", {"media": [STEREO.as_json()], "startPaused": False})

    def say(self, kind, parameters=None, at_s=0.0, **changes):
        self.seq += 1
        message = {
            "version": "2",
            "id": "s",
            "type": kind,
            "seq": self.seq,
            "clientseq": len(self.sent),
            "parameters": parameters or {},
        }
        self.protocol.receive_text(json.dumps(message | changes), at_s)
        return self.drain()

    def tick(self, at_s):
        self.protocol.tick(at_s)
        return self.drain()

    def drain(self):
        texts = [json.loads(text) for text in self.protocol.outgoing]
        self.protocol.outgoing.clear()
        self.sent += texts
        return [text["type"] for text in texts]

    @property
    def faults(self):
        return [fault.code for fault in self.protocol.faults]


def test_open_is_number_one_at_position_zero():
    bench = Bench(opened=False)
    (opening,) = bench.sent
    assert (opening["type"], opening["seq"], opening["serverseq"], opening["position"]) == ("open", 1, 0, "PT0S")


def test_opened_later_than_five_seconds_is_a_408_and_a_close():
    bench = Bench(opened=False)
    assert bench.tick(4.999) == []
    assert bench.tick(5.0) == ["error", "close"]
    assert bench.faults == [408]
    assert bench.sent[-1]["parameters"] == {"reason": "error"}


def test_pings_come_after_one_second_then_at_once_then_every_five():
    bench = Bench()
    assert bench.protocol.deadline_s == 1.0
    assert bench.tick(1.0) == ["ping"]
    assert bench.sent[-1]["parameters"] == {}
    assert bench.say("pong", at_s=1.25) == ["ping"]
    assert bench.sent[-1]["parameters"] == {"rtt": "PT0.25S"}
    assert bench.say("pong", at_s=1.5) == []
    assert bench.protocol.deadline_s == 6.0
    assert bench.tick(5.9) == []
    assert bench.tick(6.0) == ["ping"]
    assert bench.say("pong", at_s=6.1) == []
    assert bench.protocol.deadline_s == 11.0
    assert bench.protocol.round_trips_s == pytest.approx([0.25, 0.25, 0.1])


def test_a_late_tick_does_not_shift_the_pings_that_follow():
    bench = Bench()
    bench.tick(1.0)
    bench.say("pong", at_s=1.0)
    bench.say("pong", at_s=1.0)
    assert bench.tick(13.0) == ["ping"]
    assert bench.protocol.deadline_s == 16.0


def test_a_pong_must_come_before_the_next_ping_is_due():
    bench = Bench()
    bench.tick(1.0)
    assert bench.tick(5.9) == []
    assert bench.tick(6.0) == ["error", "close"]
    assert bench.faults == [408]


def test_a_pong_for_another_message_is_a_400_and_leaves_the_ping_unanswered():
    bench = Bench()
    bench.tick(1.0)
    assert bench.say("pong", at_s=1.1, clientseq=1) == ["error"]
    assert bench.protocol.phase is Phase.ACTIVE
    assert bench.tick(6.0) == ["error", "close"]
    assert bench.faults == [400, 408]


@pytest.mark.parametrize("seq", [0, 1, 3, 9])
def test_a_server_number_out_of_order_ends_the_session(seq):
    bench = Bench()
    assert bench.say("updated", seq=seq) == ["error", "close"]
    assert bench.faults == [400]


@pytest.mark.parametrize("clientseq", [-1, 2, 99])
def test_a_client_number_never_sent_ends_the_session(clientseq):
    assert Bench().say("updated", clientseq=clientseq) == ["error", "close"]


def test_a_client_number_may_not_step_back():
    bench = Bench()
    bench.protocol.dtmf("1", 0.0)
    bench.drain()
    assert bench.say("updated") == []
    assert bench.say("updated", clientseq=1) == ["error", "close"]


@pytest.mark.parametrize("kind", ["pong", "pause", "resume", "updated", "closed"])
def test_nothing_but_opened_or_disconnect_may_come_first(kind):
    bench = Bench(opened=False)
    assert bench.say(kind) == ["error", "close"]
    assert bench.faults == [409]


def test_media_that_were_not_offered_end_the_session():
    bench = Bench(opened=False)
    inverted = Media(("internal", "external")).as_json()
    assert bench.say("opened", {"media": [inverted]}) == ["error", "close"]
    assert bench.faults == [400]


def test_a_second_opened_ends_the_session():
    assert Bench().say("opened", {"media": []}) == ["error", "close"]


def test_audio_from_the_server_ends_the_session():
    bench = Bench()
    bench.protocol.receive_binary(0.0)
    assert bench.drain() == ["error", "close"]
    assert bench.faults == [415]


@pytest.mark.parametrize("kind", ["reconnect", "updated"])
def test_messages_without_consequence_are_ignored(kind):
    bench = Bench()
    assert bench.say(kind) == []
    assert (bench.protocol.phase, bench.faults) == (Phase.ACTIVE, [])


def test_pause_and_resume_are_confirmed_as_often_as_they_come():
    bench = Bench()
    assert bench.say("pause") == ["paused"]
    assert bench.say("pause") == ["paused"]
    assert bench.protocol.phase is Phase.PAUSED
    assert bench.say("resume") == []
    assert not bench.protocol.server_pause
    bench.protocol.resume(80, 0.0)
    assert bench.drain() == ["resumed"]
    assert bench.say("resume") == ["resumed"]
    assert bench.sent[-1]["parameters"] == {"start": "PT0.01S", "discarded": "PT0S"}


def test_a_resume_during_the_clients_own_pause_is_answered_with_paused():
    bench = Bench()
    bench.protocol.pause(0.0)
    bench.drain()
    assert bench.say("resume") == ["paused"]
    assert bench.protocol.phase is Phase.PAUSED


def test_start_paused_is_confirmed_at_once():
    bench = Bench(opened=False)
    assert bench.say("opened", {"media": [], "startPaused": True}) == ["paused"]
    assert bench.sent[-1]["position"] == "PT0S"
    assert bench.protocol.server_pause


def test_while_paused_the_position_runs_on_up_to_what_the_pause_will_leave_out():
    bench = Bench(paused_samples_per_s=8000)
    bench.protocol.audio_sent(1600)
    bench.protocol.pause(0.5, 4000)
    assert bench.protocol.position_samples(0.75) == 3600
    assert bench.protocol.position_samples(9.0) == 5600
    bench.protocol.resume(4000, 9.0)
    bench.drain()
    assert bench.sent[-1]["parameters"] == {"start": "PT0.2S", "discarded": "PT0.5S"}
    assert bench.sent[-1]["position"] == "PT0.7S"


def test_a_disconnect_is_answered_once_and_what_follows_is_ignored():
    bench = Bench()
    assert bench.say("disconnect", {"reason": "completed"}) == ["close"]
    assert bench.sent[-1]["parameters"] == {"reason": "disconnect"}
    assert bench.say("disconnect", {"reason": "error"}) == []
    assert bench.say("pause") == []
    bench.say("closed")
    assert (bench.protocol.end, bench.protocol.disconnect_reason, bench.faults) == (End.CLOSED, "completed", [])


def test_an_unauthorized_client_is_told_in_place_of_opened():
    bench = Bench(opened=False)
    assert bench.say("disconnect", {"reason": "unauthorized"}) == ["close"]
    assert bench.protocol.disconnect_reason == "unauthorized"


def test_closed_must_answer_the_close_within_ten_seconds():
    bench = Bench()
    bench.protocol.dtmf("1", 0.0)
    bench.protocol.close("end", 2.0)
    bench.drain()
    assert bench.say("closed", clientseq=2, at_s=3.0) == ["error"]
    assert bench.protocol.phase is Phase.CLOSING
    assert bench.tick(11.9) == []
    bench.tick(12.0)
    assert bench.protocol.drop_socket
    assert (bench.protocol.end, bench.faults) == (End.CLOSE_TIMEOUT, [400, 408])


def test_after_a_wrong_number_the_session_still_ends_in_order():
    bench = Bench()
    bench.seq += 5
    bench.say("updated")
    bench.say("closed")
    assert (bench.protocol.end, bench.faults) == (End.CLOSED, [400])


def test_a_lost_socket_ends_the_session_wherever_it_stands():
    bench = Bench()
    bench.protocol.connection_lost()
    assert (bench.protocol.phase, bench.protocol.end, bench.protocol.deadline_s) == (Phase.ENDED, End.LOST, None)
    assert bench.say("pause") == []


samples = st.integers(min_value=0, max_value=100_000)
orders = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), samples),
        st.tuples(st.just("discard"), samples),
        st.tuples(st.just("paused"), samples),
        st.tuples(st.just("server"), st.sampled_from(["pause", "resume", "updated"])),
        st.tuples(st.just("dtmf"), st.just("7")),
        st.tuples(st.just("second"), st.just(1)),
    ),
    max_size=40,
)


def _drive(bench, moves, now_s=0.0):
    """Yield after each move the audio sent so far and the texts it caused."""
    audio = 0
    for move, value in moves:
        if move == "second":
            now_s += value
            bench.protocol.tick(now_s)
            bench.drain()
        elif move == "server":
            bench.say(value, at_s=now_s)
        elif move == "audio" and bench.protocol.phase is Phase.ACTIVE:
            bench.protocol.audio_sent(value)
            audio += value
        elif move == "discard":
            bench.protocol.discard(value, now_s)
        elif move == "dtmf":
            bench.protocol.dtmf(value, now_s)
        elif move == "paused":
            bench.protocol.pause(now_s, value)
            bench.protocol.resume(value, now_s)
        already = len(bench.sent) - len(bench.drain())
        yield audio, bench.sent[already:]


@given(orders, st.sampled_from([0.0, 8000.0]))
def test_every_position_is_audio_plus_discards_plus_pauses(moves, running):
    bench = Bench(paused_samples_per_s=running)
    seen, announced, paused = len(bench.sent), Decimal(0), False
    for audio, _ in _drive(bench, moves):
        for text in bench.sent[seen:]:
            if text["type"] in {"discarded", "resumed"}:
                start, left_out = (Decimal(text["parameters"][name][2:-1]) for name in ("start", "discarded"))
                assert start == Decimal(audio) / 8000 + announced
                announced += left_out
            paused = text["type"] == "paused" or (paused and text["type"] != "resumed")
            if text["type"] == "paused" or not paused or running == 0.0:
                drift = Decimal(text["position"][2:-1]) - Decimal(audio) / 8000 - announced
                assert drift == 0 or (paused and running)
        seen = len(bench.sent)
    assert [text["seq"] for text in bench.sent] == list(range(1, len(bench.sent) + 1))


@given(
    st.lists(
        st.sampled_from(["opened", "pong", "pause", "resume", "updated", "disconnect", "closed", "reconnect", "event"]),
        max_size=20,
    ),
    st.integers(min_value=0, max_value=19),
)
def test_any_order_of_server_messages_ends_in_an_answer_and_never_in_an_exception(kinds, close_at):
    parameters = {
        "opened": {"media": [STEREO.as_json()]},
        "disconnect": {"reason": "completed"},
        "event": {"entities": [{"type": "x", "data": {}}]},
    }
    bench = Bench(opened=False)
    for index, kind in enumerate(kinds):
        if index == close_at:
            bench.protocol.close("end", 0.0)
            bench.drain()
        bench.say(kind, parameters.get(kind))
    closes = [text for text in bench.sent if text["type"] == "close"]
    fatal = [code for code in bench.faults if code == 409]
    assert len(closes) <= 1
    assert closes or not fatal
    assert (bench.protocol.end is End.CLOSED) <= bool(closes)
