import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.capture.findings import Defect
from ingest.sources.capture.messages import Packet, parse
from tests.captures import packets

SENT = packets.Packet(0, 0xDEADBEEF, 65_535, 2**32 - 1, 0, True, b"media", ("192.0.2.1", 1), ("192.0.2.2", 2))
READ = Packet(0xDEADBEEF, 65_535, 2**32 - 1, 0, True, b"media")


@pytest.mark.parametrize("csrc", [(), (1,), tuple(range(15))])
@pytest.mark.parametrize("extension", [None, b"", bytes(4), bytes(40)])
@pytest.mark.parametrize("padding", [0, 1, 200])
def test_the_payload_is_what_lies_between_the_headers_and_the_padding(
    csrc: tuple[int, ...], extension: bytes | None, padding: int
) -> None:
    assert parse(packets.rtp(SENT, csrc=csrc, extension=extension, padding=padding)) == READ


def test_a_packet_without_a_payload_is_one() -> None:
    assert parse(packets.rtp(SENT._replace(payload=b""))) == READ._replace(payload=b"")


@pytest.mark.parametrize("version", [0, 1, 3])
def test_another_version_is_no_rtp(version: int) -> None:
    assert parse(packets.rtp(SENT, version=version)) is Defect.NOT_RTP


def test_too_few_bytes_are_no_rtp() -> None:
    assert parse(packets.rtp(SENT)[:11]) is Defect.NOT_RTP
    assert parse(b"") is Defect.NOT_RTP


@pytest.mark.parametrize("second", [192, 200, 201, 203, 207, 223])
def test_rtcp_between_the_packets_is_told_apart(second: int) -> None:
    assert parse(b"\x80" + bytes([second]) + bytes(26)) is Defect.RTCP
    assert parse(b"\x80" + bytes([second]) + bytes(6)) is Defect.RTCP


@pytest.mark.parametrize(
    "data",
    [
        b"\x8f" + bytes(11 + 14 * 4),
        b"\x90" + bytes(11),
        b"\x90" + bytes(11) + b"\xbe\xde\x00\x09" + bytes(35),
        b"\xa0" + bytes(11) + b"abc\x00",
        b"\xa0" + bytes(11) + b"abc\x05",
        b"\xaf" + bytes(11 + 15 * 4 - 1) + b"\x03",
    ],
)
def test_a_header_that_reaches_behind_the_packet_is_bad(data: bytes) -> None:
    found = parse(data)
    assert isinstance(found, Packet)
    assert (found.payload, found.lack) == (b"", Defect.BAD_RTP_HEADER)


@pytest.mark.parametrize("lack", [Defect.CUT_SHORT, Defect.FRAGMENT])
def test_of_a_datagram_whose_begin_is_there_the_header_is_read(lack: Defect) -> None:
    data = packets.rtp(SENT, csrc=(1, 2), extension=bytes(8), padding=9)
    for size in (12, 15, 25, 40):
        assert parse(data[:size], lack) == READ._replace(payload=b"", lack=lack)
    assert parse(data[:11], lack) is lack
    assert parse(b"\x80\xc8" + bytes(6), lack) is Defect.RTCP
    assert parse(bytes(12), lack) is Defect.NOT_RTP


@given(st.binary(max_size=100))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    found = parse(b"\x80" + data)
    assert isinstance(found, Defect) or len(found.payload) <= len(data) - 11
    assert isinstance(parse(data), (Packet, Defect))
