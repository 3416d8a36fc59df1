import pytest

from ingest.sources.audiohook import facts
from ingest.sources.audiohook.messages import parse_open
from schemas.symbols import CallEventKind, Channels, Codec, ParticipantRole, Reason
from tests.ingest.sources.audiohook.words import CONVERSATION, ORGANIZATION, PARTICIPANT, open_parameters


def test_session_info_says_who_calls_as_the_platform_said_it():
    info = facts.session_info(parse_open(open_parameters(), Codec.L16_LE), "audiohook", "s", "c")
    assert (info.conversation_id, info.organisation, info.language) == (CONVERSATION, ORGANIZATION, "en-US")
    (participant,) = info.participants
    assert (participant.id, participant.role) == (PARTICIPANT, ParticipantRole.CUSTOMER)
    assert (participant.address, participant.name, participant.dialled) == ("tel:+4930901820", "Ann", "tel:+493023125")
    assert (info.platform_session_id, info.correlation_id) == ("s", "c")


def test_a_session_without_accepted_media_opens_without_codec_and_channels():
    info = facts.session_info(parse_open(open_parameters(), Codec.L16_LE), "audiohook", "s", "c")
    opened = facts.session_opened("s", info, None, 8000)
    assert (opened.codec, opened.channels) == (Codec.UNKNOWN, Channels.UNKNOWN)


@pytest.mark.parametrize(("code", "wanted"), [(429, 429), (True, -1), ("429", -1), (-5, -1), (2**31, -1), (None, -1)])
def test_an_error_of_the_platform_keeps_its_code_where_it_is_one(code, wanted):
    event = facts.platform_error("s", {"code": code, "message": "slow down"}, quotes=True).event
    assert (event.kind, event.code, event.message) == (CallEventKind.PLATFORM_ERROR, wanted, "slow down")


@pytest.mark.parametrize(("allowed", "digit"), [(True, "5"), (False, None)])
def test_a_digit_is_told_only_where_that_is_allowed(allowed, digit):
    assert facts.dtmf("s", {"digit": "5"}, publish_digits=allowed).event.digit == digit


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("end", Reason.END),
        ("error", Reason.PEER_ERROR),
        ("reconnect", Reason.RECONNECT),
        ("disconnect", Reason.OTHER),
        (None, Reason.OTHER),
        ([], Reason.OTHER),
    ],
)
def test_the_reason_of_a_close_is_translated(reason, wanted):
    assert facts.close_reason({"reason": reason}) is wanted
