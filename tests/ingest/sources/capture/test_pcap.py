from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.capture.findings import Findings, Frame
from ingest.sources.capture.pcap import HEADER_BYTES, LONGEST_FRAME_BYTES, MAGICS, PcapReader
from tests.captures.files import Link, pcap_header, pcap_record, write_pcap
from tests.captures.scenarios import scenario

AT_US = 1_700_000_000_123_456


def read(data: bytes, piece: int | None = None) -> tuple[list[Frame], Findings]:
    findings = Findings()
    reader = PcapReader(findings)
    step = piece or max(1, len(data))
    frames = [frame for at in range(0, len(data), step) for frame in reader.feed(data[at : at + step])]
    reader.end()
    return frames, findings


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_frames_are_read_in_either_order_and_resolution(order: str, nanoseconds: bool) -> None:
    shape = {"order": order, "nanoseconds": nanoseconds}
    data = pcap_header(Link.LINUX_COOKED, **shape) + pcap_record(AT_US, b"one", **shape) + pcap_record(0, b"", **shape)
    frames, findings = read(data)
    assert [(round(frame.at_s * 1e6), frame.link, frame.data) for frame in frames] == [
        (AT_US, 113, b"one"),
        (0, 113, b""),
    ]
    assert (findings.damage, findings.cut_off_bytes) == (None, 0)


def test_the_length_of_a_check_sequence_beside_the_link_type_is_no_part_of_it() -> None:
    header = bytearray(pcap_header(Link.ETHERNET))
    header[23] = 0x14
    (frame,), _ = read(bytes(header) + pcap_record(AT_US, b"one"))
    assert frame.link == Link.ETHERNET


@pytest.mark.parametrize("piece", [1, 7, 24, 1000])
def test_frames_do_not_depend_on_the_pieces(piece: int, tmp_path: Path) -> None:
    data = write_pcap(tmp_path / "a.pcap", scenario("duplicates").packets[:20]).read_bytes()
    assert read(data, piece) == read(data)
    assert len(read(data)[0]) == 20


def test_a_file_that_ends_within_a_record_gives_those_before() -> None:
    data = pcap_header() + pcap_record(AT_US, b"one") + pcap_record(AT_US, b"two")
    frames, findings = read(data[:-1])
    assert [frame.data for frame in frames] == [b"one"]
    assert (findings.cut_off_bytes, findings.damage) == (18, None)


def test_a_length_that_cannot_be_is_damage_and_what_was_read_stays() -> None:
    whole = pcap_header() + pcap_record(AT_US, b"one")
    bad = pcap_record(AT_US, b"two").replace((3).to_bytes(4, "little"), (LONGEST_FRAME_BYTES + 1).to_bytes(4, "little"))
    for piece in (None, 5):
        frames, findings = read(whole + bad + pcap_record(AT_US, b"three"), piece)
        assert [frame.data for frame in frames] == [b"one"]
        assert str(findings.damage) == f"damaged at byte {len(whole)}: a record of {LONGEST_FRAME_BYTES + 1} bytes"


@given(st.sampled_from(sorted(MAGICS)), st.binary(min_size=HEADER_BYTES - 4, max_size=400), st.integers(1, 50))
def test_no_bytes_make_the_reader_raise(magic: bytes, rest: bytes, piece: int) -> None:
    frames, findings = read(magic + rest, piece)
    assert len(frames) * 16 + findings.cut_off_bytes <= len(rest) + 4
