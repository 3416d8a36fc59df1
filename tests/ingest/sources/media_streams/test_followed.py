import pytest

from ingest.protocol import AudioReceived, Call, Mark
from ingest.sources.media_streams.followed import CODECS, Followed, Wanted
from ingest.sources.media_streams.messages import Failure, Packet
from ingest.text import MalformedMessage
from schemas.symbols import CallEventKind, ClosedBy, Codec, Reason

GONE = Failure("i", 400, "mediaNotAvailable", "gone")


def followed(wanted: Wanted | None = None, **call) -> Followed:
    return Followed(Call("i", **call), wanted or Wanted(), 0.0)


def packet(number: int = 0, payload: bytes = bytes(160)) -> Packet:
    return Packet("i", number, number * 160, payload)


def test_what_the_call_says_is_in_the_sessions_info():
    opened = followed(organisation="o", queue="q", agent="a").opened("before")
    info = opened.info
    assert (info.conversation_id, info.organisation, info.queue, info.agent) == ("i", "o", "q", "a")
    assert (info.continued_from, opened.codec) == ("before", Codec.PCMU)


@pytest.mark.parametrize(("name", "codec"), CODECS.items())
def test_the_first_codec_is_the_calls_own_or_else_the_settings(name, codec):
    assert followed(codecs=(name.upper(), "pcmu")).opened(None).codec is codec
    assert followed(Wanted(codecs=(name, "pcmu"))).opened(None).codec is codec


def test_a_packet_that_comes_makes_good_what_was_refused():
    found = followed()
    found.refusals, found.alone = 3, True
    assert (found.is_suspect, found.flows) == (False, False)
    found.ask_s = None
    assert found.is_suspect
    (audio,) = found.take(packet(), 1.0)
    assert isinstance(audio, AudioReceived)
    assert (found.refusals, found.alone, found.flows, found.is_suspect) == (0, False, True, False)
    assert (found.heard_s, found.frame_s) == (1.0, 1.0)


@pytest.mark.parametrize("payload", [b"", b"abc"])
def test_a_packet_without_whole_samples_is_none(payload):
    found = followed(codecs=("l16",))
    with pytest.raises(MalformedMessage):
        found.take(packet(payload=payload), 1.0)
    assert (found.flows, found.frame_s) == (False, -1.0)


def test_media_that_never_came_was_not_available_and_media_that_came_is_over():
    told, end = followed().over(GONE)
    assert (told.event.kind, told.event.code) == (CallEventKind.NOT_AVAILABLE, 400)
    assert (end.reason, end.closed_by, end.message) == (Reason.OTHER, ClosedBy.REMOTE, "mediaNotAvailable: gone")
    found = followed()
    found.take(packet(), 1.0)
    (end,) = found.over(GONE)
    assert (end.reason, end.position_samples) == (Reason.END, 160)


def test_a_session_that_ends_without_its_connection_has_a_gap_of_unknown_length():
    found = followed()
    found.take(packet(), 1.0)
    found.placement.interrupt()
    gap, end = found.closed(Reason.DRAIN)
    assert isinstance(gap, Mark)
    assert (gap.reason, gap.duration_samples, end.reason) == (Reason.RECONNECT, -1, Reason.DRAIN)
