import pytest

from ingest.sources.capture.network import end_of
from ingest.sources.capture.wanted import Choice, choice_of


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("0x1F2E3D4C", Choice("1f2e3d4c", ssrc=0x1F2E3D4C)),
        ("42", Choice("0000002a", ssrc=42)),
        ("192.0.2.1:5004", Choice("192.0.2.1:5004", source=end_of("192.0.2.1:5004"))),
        (" [2001:db8::1]:5004", Choice("[2001:db8::1]:5004", source=end_of("[2001:db8::1]:5004"))),
    ],
)
def test_a_stream_is_chosen_by_its_ssrc_or_its_sender(text: str, choice: Choice) -> None:
    assert choice_of(text) == choice


@pytest.mark.parametrize("text", ["", "call", "-1", "0x100000000", "4294967296", "192.0.2.1", "192.0.2.1:x", "a:b:c"])
def test_anything_else_chooses_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        choice_of(text)
