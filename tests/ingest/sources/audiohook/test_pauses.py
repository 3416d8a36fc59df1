import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.protocol import Mark, Observation, Observed, PausableProtocol
from ingest.sources.audiohook.pauses import Pauses
from ingest.sources.audiohook.states import State
from schemas.symbols import FrameKind, Reason
from tests.ingest.sources.audiohook.test_protocol import Conversation, facts, observed, of, sent, types

SKIPPED = {"start": "PT0S", "discarded": "PT3S"}


class Peer(Conversation):
    """A conversation in which we may ask for a pause."""

    def pause(self) -> list:
        return self._take(self.machine.pause(self.now_s))

    def resume(self, **known: bool) -> list:
        return self._take(self.machine.resume(self.now_s, **known))

    def resumed(self) -> list:
        return self.say("resumed", "PT3S", SKIPPED)


@pytest.fixture
def peer() -> Peer:
    found = Peer()
    found.open()
    return found


def marks(effects: list) -> list[tuple[FrameKind, Reason, int]]:
    return [(mark.kind, mark.reason, mark.duration_samples) for mark in of(Mark, effects)]


def test_the_machine_can_be_asked_for_a_pause(peer):
    assert isinstance(peer.machine, PausableProtocol)


def test_a_pause_of_ours_is_told_as_such_with_its_length(peer):
    assert [(message["type"], message["parameters"]) for message in sent(peer.pause())] == [("pause", {})]
    assert len(facts(peer.audio())) == 1
    begun = peer.say("paused", "PT0.2S")
    assert marks(begun) == [(FrameKind.PAUSED, Reason.OWN_PAUSE, -1)]
    assert observed(begun) == [Observation.OWN_PAUSE]
    assert [(message["type"], message["parameters"]) for message in sent(peer.resume())] == [("resume", {})]
    assert marks(peer.resumed()) == [(FrameKind.RESUMED, Reason.OWN_PAUSE, 24_000)]
    assert len(facts(peer.audio())) == 1


def test_to_want_the_same_twice_says_nothing_twice(peer):
    peer.pause()
    assert peer.pause() == []
    peer.say("paused")
    assert peer.pause() == []
    peer.resume()
    assert peer.resume() == []
    peer.resumed()
    assert peer.resume() == []


def test_nothing_is_resumed_while_the_clients_own_pause_holds(peer):
    peer.pause()
    peer.say("paused")
    assert marks(peer.say("paused")) == [(FrameKind.PAUSED, Reason.SECURE_PAUSE, -1)]
    assert peer.resume() == [Observed(Observation.RESUME_WITHHELD)]
    assert marks(peer.resumed()) == [(FrameKind.RESUMED, Reason.SECURE_PAUSE, 24_000)]
    assert types(peer.effects) == ["opened", "pause"]


def test_who_knows_that_the_clients_pause_is_over_may_resume(peer):
    peer.pause()
    peer.say("paused")
    peer.say("paused")
    assert peer.resume() == [Observed(Observation.RESUME_WITHHELD)]
    assert types(peer.resume(secure_is_over=True)) == ["resume"]
    assert peer.machine.state is State.PAUSED


def test_a_pause_wanted_in_the_clients_own_is_asked_for_when_that_one_is_over(peer):
    peer.say("paused")
    assert peer.pause() == []
    over = peer.resumed()
    assert marks(over) == [(FrameKind.RESUMED, Reason.SECURE_PAUSE, 24_000)]
    assert types(over) == ["pause"]
    assert marks(peer.say("paused")) == [(FrameKind.PAUSED, Reason.OWN_PAUSE, -1)]


def test_a_pause_no_longer_wanted_in_the_clients_own_is_not_asked_for(peer):
    peer.say("paused")
    peer.pause()
    assert peer.resume() == []
    assert types(peer.resumed()) == []


def test_a_pause_that_is_taken_back_before_it_began_is_resumed(peer):
    peer.pause()
    assert types(peer.resume()) == ["resume"]
    assert marks(peer.say("paused")) == [(FrameKind.PAUSED, Reason.OWN_PAUSE, -1)]
    assert marks(peer.resumed()) == [(FrameKind.RESUMED, Reason.OWN_PAUSE, 24_000)]
    assert peer.machine.state is State.ACTIVE


def test_a_pause_wanted_again_before_the_last_one_is_over_is_asked_for_again(peer):
    peer.pause()
    peer.say("paused")
    peer.resume()
    assert types(peer.pause()) == ["pause"]
    assert types(peer.resumed()) == []
    assert marks(peer.say("paused")) == [(FrameKind.PAUSED, Reason.OWN_PAUSE, -1)]


def test_when_both_begin_at_once_the_clients_own_is_known_by_its_second_word(peer):
    peer.pause()
    peer.say("paused")
    peer.say("paused")
    assert marks(peer.effects) == [
        (FrameKind.PAUSED, Reason.OWN_PAUSE, -1),
        (FrameKind.PAUSED, Reason.SECURE_PAUSE, -1),
    ]
    assert peer.resume() == [Observed(Observation.RESUME_WITHHELD)]


def test_a_session_that_opens_while_we_want_no_audio_starts_paused():
    late = Peer()
    assert late.pause() == []
    assert sent(late.open())[0]["parameters"]["startPaused"] is True
    assert marks(late.say("paused")) == [(FrameKind.PAUSED, Reason.OWN_PAUSE, -1)]
    assert types(late.resume()) == ["resume"]


def test_a_session_that_opens_when_we_want_audio_again_starts_at_once():
    late = Peer()
    late.pause()
    assert late.resume() == []
    assert sent(late.open())[0]["parameters"]["startPaused"] is False


@pytest.mark.parametrize("end", ["drain", "close", "lose", "odd"])
def test_nothing_is_asked_for_after_the_end_has_begun(peer, end):
    {"drain": peer.drain, "close": peer.close, "lose": peer.lose, "odd": lambda: peer.audio(b"odd")}[end]()
    assert peer.pause() == []
    assert peer.resume() == []


def test_a_drain_in_a_pause_of_ours_ends_by_the_protocol(peer):
    peer.pause()
    peer.say("paused")
    peer.drain()
    assert marks(peer.resumed()) == [(FrameKind.RESUMED, Reason.OWN_PAUSE, 24_000)]
    assert types(peer.close(reason="disconnect")) == ["closed"]
    assert "resume" not in types(peer.effects)


class Platform:
    """The client's side as its documentation has it: two pauses apart from each other, each message confirmed."""

    def __init__(self) -> None:
        self.asked = False
        self.own = False

    @property
    def paused(self) -> bool:
        return self.asked or self.own

    def hear(self, kind: str) -> str | None:
        before = self.paused
        self.asked = kind == "pause"
        if self.paused:
            return "paused"
        return "resumed" if before else None

    def turn(self) -> str | None:
        """Begin or end the client's own pause."""
        before = self.paused
        self.own = not self.own
        if self.own:
            return "paused"
        return "resumed" if before and not self.paused else None


class Both:
    """A session and its client, with messages under way between them."""

    def __init__(self) -> None:
        self.peer, self.platform = Peer(), Platform()
        self.peer.open()
        self.to_client: list[str] = []
        self.to_us: list[str] = []

    def want(self) -> None:
        self._collect(self.peer.pause())

    def want_no_more(self) -> None:
        self._collect(self.peer.resume())

    def turn(self) -> None:
        self._say(self.platform.turn())

    def deliver(self) -> None:
        if self.to_client:
            self._say(self.platform.hear(self.to_client.pop(0)))

    def answer(self) -> None:
        if self.to_us:
            word = self.to_us.pop(0)
            self._collect(self.peer.resumed() if word == "resumed" else self.peer.say(word))

    def settle(self) -> None:
        while self.to_client or self.to_us:
            self.deliver()
            self.answer()

    def _say(self, word: str | None) -> None:
        self.to_us += [word] if word else []

    def _collect(self, effects: list) -> None:
        kinds = types(effects)
        assert not ("resume" in kinds and self.peer.machine._pauses.secure)
        self.to_client += kinds


@given(st.lists(st.sampled_from(["want", "want_no_more", "turn", "deliver", "answer"]), max_size=40))
def test_however_both_sides_pause_no_resume_is_sent_in_a_pause_the_client_has_told_unasked(steps):
    both = Both()
    for step in steps:
        getattr(both, step)()
    both.settle()
    pauses = both.peer.machine._pauses
    assert (both.peer.machine.state is State.PAUSED) == both.platform.paused
    if pauses.wanted:
        assert both.platform.paused
    elif not both.platform.own and not pauses.secure:
        assert not both.platform.paused


def test_a_book_of_pauses_begins_without_one():
    assert not Pauses().wanted
    assert not Pauses().begin()
