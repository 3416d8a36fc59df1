import pytest

from ingest.sources.capture.payload_types import STATIC, Meaning, explained
from schemas.symbols import Codec


def test_without_explanations_the_static_types_are_known() -> None:
    assert explained([]) == STATIC
    assert {number: meaning.codec for number, meaning in STATIC.items()} == {
        0: Codec.PCMU,
        8: Codec.PCMA,
        11: Codec.L16_BE,
        13: Codec.COMFORT_NOISE,
        101: Codec.TELEPHONE_EVENT,
    }


@pytest.mark.parametrize(
    ("text", "number", "meaning"),
    [
        ("96=L16/16000/1", 96, Meaning(Codec.L16_BE, 16_000)),
        ("97=pcma/16000", 97, Meaning(Codec.PCMA, 16_000)),
        ("111=opus/48000/2", 111, Meaning(Codec.OPUS, 48_000)),
        ("96=telephone-event/8000", 96, Meaning(Codec.TELEPHONE_EVENT, 8000)),
        ("101=L16/8000", 101, Meaning(Codec.L16_BE, 8000)),
        ("98=CN/16000", 98, Meaning(Codec.COMFORT_NOISE, 16_000)),
    ],
)
def test_a_type_is_explained_as_in_sdp(text: str, number: int, meaning: Meaning) -> None:
    assert explained([text]) == {**STATIC, number: meaning}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("L16/16000", "is not of the form"),
        ("96=L16", "is not of the form"),
        ("96=L16/16000/1/1", "is not of the form"),
        ("٩٦=L16/16000", "is not of the form"),
        ("128=L16/16000", "no RTP payload type has this number"),
        ("72=PCMU/8000", "no RTP payload type has this number"),
        ("96=G722/8000", "known encodings are PCMU"),
        ("96=L16/16000/2", "only streams of one channel"),
        ("96=opus/16000", "the clock of Opus is 48000"),
    ],
)
def test_what_cannot_be_taken_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        explained([text])


def test_only_what_moves_the_media_clock_is_audio() -> None:
    assert [meaning.is_audio for meaning in STATIC.values()] == [True, True, True, True, False]
    assert [meaning.sample_bytes for meaning in STATIC.values()] == [1, 1, 2, 0, 0]
