import pytest

from ingest.sources.capture.encryption import Encryption
from ingest.sources.capture.messages import Packet


def judged(*packets: tuple[int, int, int], sample_bytes: int = 1) -> tuple[bool, bool]:
    """Return what packets of (number, timestamp, bytes) show."""
    found = Encryption()
    for sequence, timestamp, size in packets:
        found.see(Packet(1, sequence, timestamp, 0, False, bytes(size)), sample_bytes)
    return found.looks_so, found.decided


@pytest.mark.parametrize("tag_bytes", [4, 8, 10, 16])
def test_a_payload_longer_by_a_tag_than_its_timestamps_go_on_looks_encrypted(tag_bytes: int) -> None:
    assert judged((65_535, 2**32 - 80, 160 + tag_bytes), (0, 80, 160 + tag_bytes)) == (True, False)
    assert judged((1, 0, 640 + tag_bytes), (2, 320, 640 + tag_bytes), sample_bytes=2) == (True, False)


def test_one_pair_that_fits_shows_that_a_stream_is_plain() -> None:
    assert judged((1, 0, 160), (2, 160, 160)) == (False, True)
    assert judged((1, 0, 170), (2, 160, 160), (3, 320, 160)) == (False, True)


@pytest.mark.parametrize(
    "packets",
    [
        [(1, 0, 170)],
        [(1, 0, 170), (3, 160, 170)],
        [(1, 0, 170), (1, 160, 170)],
        [(1, 0, 160), (2, 480, 160)],
        [(1, 0, 167), (2, 160, 160)],
    ],
)
def test_anything_else_shows_nothing(packets: list[tuple[int, int, int]]) -> None:
    assert judged(*packets) == (False, False)
