import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.capture import pcapng
from ingest.sources.capture.findings import Defect, Findings, Frame
from ingest.sources.capture.pcapng import LONGEST_BLOCK_BYTES, PcapngReader
from tests.captures.files import Link, block, enhanced, interface, option, section, simple, write_pcapng
from tests.captures.scenarios import scenario

AT_US = 1_700_000_000_123_456


def read(data: bytes, piece: int | None = None) -> tuple[list[Frame], Findings]:
    findings = Findings()
    reader = PcapngReader(findings)
    step = piece or max(1, len(data))
    frames = [frame for at in range(0, len(data), step) for frame in reader.feed(data[at : at + step])]
    reader.end()
    return frames, findings


def seen(frames: list[Frame]) -> list[tuple[int, bytes]]:
    return [(round(frame.at_s * 1e6), frame.data) for frame in frames]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("resolution", "offset_s"), [(None, 0), (6, 0), (9, 0), (3, 0), (0x80 | 20, 0), (0x80 | 30, 5), (9, -1_000_000)]
)
def test_times_follow_the_resolution_and_offset_of_the_interface(
    order: str, resolution: int | None, offset_s: int, tmp_path: Path
) -> None:
    packets = scenario("jitter").packets[:30]
    data = write_pcapng(
        tmp_path / "a.pcapng", packets, order=order, resolution=resolution, offset_s=offset_s
    ).read_bytes()
    frames, findings = read(data)
    within_us = 1000 if resolution == 3 else 1
    assert len(frames) == 30
    assert all(abs(frame.at_s * 1e6 - one.arrival_us) <= within_us for frame, one in zip(frames, packets, strict=True))
    assert findings.damage is None


def test_each_section_has_its_own_order_and_interfaces() -> None:
    one = section("<") + interface(Link.ETHERNET, "<") + enhanced(AT_US, b"one", "<")
    two = section(">") + interface(Link.RAW, ">") + interface(Link.IPV4, ">") + enhanced(1, b"two", ">", interface_id=1)
    frames, findings = read(one + two + enhanced(2, b"lost", ">", interface_id=2))
    assert [(frame.link, frame.data) for frame in frames] == [(Link.ETHERNET, b"one"), (Link.IPV4, b"two")]
    assert findings.passed_over == {Defect.BAD_BLOCK: 1}


@pytest.mark.parametrize(("resolution", "offset_s"), [(0, 0), (6, -(2**62)), (6, 2**62), (6, -1_700_000_001)])
def test_a_time_that_no_calendar_has_is_counted(resolution: int, offset_s: int) -> None:
    data = section() + interface(resolution=resolution, offset_s=offset_s) + enhanced(AT_US, b"one")
    frames, findings = read(data)
    assert not frames
    assert findings.passed_over == {Defect.BAD_BLOCK: 1}
    assert findings.damage is None


def test_a_simple_block_has_the_time_of_the_packet_before_it() -> None:
    data = section() + interface() + simple(b"early") + enhanced(AT_US, b"one") + simple(b"later")
    assert seen(read(data)[0]) == [(-1_000_000, b"early"), (AT_US, b"one"), (AT_US, b"later")]


def test_a_simple_block_holds_no_more_than_its_interface_captures() -> None:
    limited = block(1, struct.pack("<HHI", Link.ETHERNET, 0, 4))
    cut = block(3, struct.pack("<I", 100) + b"abcd")
    assert [frame.data for frame in read(section() + limited + cut)[0]] == [b"abcd"]


def test_an_obsolete_packet_block_is_read() -> None:
    old = block(2, struct.pack("<HHIIII", 0, 0, AT_US >> 32, AT_US & 0xFFFFFFFF, 3, 3) + b"old")
    assert seen(read(section() + interface() + old)[0]) == [(AT_US, b"old")]


def test_other_blocks_and_options_are_passed_over() -> None:
    named = block(1, struct.pack("<HHI", Link.ETHERNET, 0, 0) + option(2, b"eth0") + option(9, b"\x09") + b"\x07\0\xff")
    data = section() + block(4, b"names") + named + block(0x0BAD, b"") + enhanced(AT_US * 1000, b"one")
    frames, findings = read(data)
    assert seen(frames) == [(AT_US, b"one")]
    assert not findings.passed_over


def test_a_packet_that_claims_more_than_its_block_holds_is_counted() -> None:
    lying = block(6, struct.pack("<IIIII", 0, 0, 0, 99, 99) + b"short")
    frames, findings = read(section() + interface() + lying + enhanced(1, b"one"))
    assert [frame.data for frame in frames] == [b"one"]
    assert findings.passed_over == {Defect.BAD_BLOCK: 1}


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (struct.pack("<II", 6, 8) + b"more", "a block of 8 bytes"),
        (struct.pack("<II", 6, 35) + bytes(40), "a block of 35 bytes"),
        (struct.pack("<II", 6, LONGEST_BLOCK_BYTES + 4) + bytes(40), f"a block of {LONGEST_BLOCK_BYTES + 4} bytes"),
        (enhanced(1, b"two")[:-4] + bytes(4), "a block whose two lengths differ"),
        (pcapng.MAGIC + bytes(40), "a section of no known byte order"),
    ],
)
def test_damage_names_its_place_and_what_was_read_stays(bad: bytes, what: str) -> None:
    whole = section() + interface() + enhanced(AT_US, b"one")
    for piece in (None, 3):
        frames, findings = read(whole + bad + enhanced(AT_US, b"three"), piece)
        assert seen(frames) == [(AT_US, b"one")]
        assert str(findings.damage) == f"damaged at byte {len(whole)}: {what}"


def test_a_file_that_ends_within_a_block_gives_those_before() -> None:
    data = section() + interface() + enhanced(AT_US, b"one") + enhanced(AT_US, b"two")
    frames, findings = read(data[:-5])
    assert [frame.data for frame in frames] == [b"one"]
    assert (findings.cut_off_bytes, findings.damage) == (31, None)


@pytest.mark.parametrize("piece", [1, 13, 500])
def test_frames_do_not_depend_on_the_pieces(piece: int, tmp_path: Path) -> None:
    data = write_pcapng(tmp_path / "a.pcapng", scenario("duplicates").packets[:20]).read_bytes()
    assert read(data, piece) == read(data)


@given(st.binary(max_size=400), st.integers(1, 50), st.sampled_from("<>"))
def test_no_bytes_make_the_reader_raise(rest: bytes, piece: int, order: str) -> None:
    frames, _ = read(section(order) + interface(order=order) + rest, piece)
    assert len(frames) * 16 <= len(rest)


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 6]), st.binary(max_size=60)), max_size=8), st.sampled_from("<>"))
def test_no_blocks_make_the_reader_raise(blocks: list[tuple[int, bytes]], order: str) -> None:
    data = section(order) + interface(order=order) + b"".join(block(kind, body, order) for kind, body in blocks)
    frames, findings = read(data)
    assert len(frames) + findings.passed_over.total() <= len(blocks)
