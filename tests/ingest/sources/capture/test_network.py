import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.capture.findings import Defect
from ingest.sources.capture.network import Datagram, datagram, end_of, end_text
from tests.captures.files import Link, frame, ip, udp

FROM, TO = ("192.0.2.1", 5004), ("192.0.2.2", 6000)
FROM_6, TO_6 = ("2001:db8::1", 5004), ("2001:db8::2", 6000)
FOUR, SIX = udp(b"media", FROM, TO), udp(b"media", FROM_6, TO_6)


@pytest.mark.parametrize("link", list(Link))
@pytest.mark.parametrize("packet", [FOUR, SIX])
def test_a_datagram_is_found_in_every_link_type(link: Link, packet: bytes) -> None:
    found = datagram(link, frame(packet, link))
    assert isinstance(found, Datagram)
    assert found.payload == b"media"
    assert end_text(found.source) in ("192.0.2.1:5004", "[2001:db8::1]:5004")
    assert found.destination == end_of("192.0.2.2:6000" if packet is FOUR else "[2001:db8::2]:6000")


@pytest.mark.parametrize("vlans", [[7], [7, 8], [7, 8, 9]])
def test_vlan_tags_are_stepped_over(vlans: list[int]) -> None:
    found = datagram(Link.ETHERNET, frame(FOUR, vlans=vlans))
    assert isinstance(found, Datagram)
    assert found.payload == b"media"


def test_what_the_network_card_added_behind_the_packet_is_no_payload() -> None:
    found = datagram(Link.ETHERNET, frame(FOUR) + bytes(20))
    assert isinstance(found, Datagram)
    assert found.payload == b"media"


def test_extension_headers_of_ipv6_are_stepped_over() -> None:
    body = FOUR[20:]
    chain = bytes([60, 0]) + bytes(6) + bytes([51, 1]) + bytes(14) + bytes([17, 1]) + bytes(10)
    packet = ip(chain + body, FROM_6[0], TO_6[0], 0)
    found = datagram(Link.RAW, packet)
    assert isinstance(found, Datagram)
    assert found.payload == b"media"


@pytest.mark.parametrize(
    ("link", "data", "defect"),
    [
        (147, frame(FOUR), Defect.UNKNOWN_LINK_TYPE),
        (Link.ETHERNET, bytes(12) + b"\x08\x06" + bytes(28), Defect.NOT_IP),
        (Link.LINUX_COOKED, bytes(14) + b"\x08\x06" + bytes(28), Defect.NOT_IP),
        (Link.RAW, b"\x00" * 40, Defect.NOT_IP),
        (Link.RAW, ip(FOUR[20:], FROM[0], TO[0], 6), Defect.NOT_UDP),
        (Link.RAW, ip(FOUR[20:], FROM_6[0], TO_6[0], 58), Defect.NOT_UDP),
        (Link.RAW, ip(FOUR[20:], FROM[0], TO[0], 17, fragment=0x2005), Defect.FRAGMENT),
        (Link.RAW, ip(FOUR[20:], FROM[0], TO[0], 17, fragment=5), Defect.FRAGMENT),
        (Link.RAW, ip(bytes([17, 0, 0, 8]) + bytes(4) + FOUR[20:], FROM_6[0], TO_6[0], 44), Defect.FRAGMENT),
        (Link.RAW, FOUR[:27], Defect.CUT_SHORT),
        (Link.RAW, SIX[:30], Defect.CUT_SHORT),
        (Link.ETHERNET, frame(FOUR)[:13], Defect.CUT_SHORT),
        (Link.ETHERNET, b"", Defect.CUT_SHORT),
        (Link.RAW, b"\x44" + FOUR[1:], Defect.BAD_LENGTH),
        (Link.RAW, FOUR[:24] + struct.pack(">H", 7) + FOUR[26:], Defect.BAD_LENGTH),
        (Link.RAW, FOUR[:24] + struct.pack(">H", 99) + FOUR[26:], Defect.BAD_LENGTH),
        (Link.RAW, FOUR[:2] + struct.pack(">H", 19) + FOUR[4:], Defect.BAD_LENGTH),
    ],
)
def test_a_frame_without_a_datagram_says_why(link: int, data: bytes, defect: Defect) -> None:
    assert datagram(link, data) is defect


@pytest.mark.parametrize("link", [Link.LINUX_COOKED, Link.LINUX_COOKED_2])
def test_vlan_tags_of_cooked_frames_are_stepped_over(link: Link) -> None:
    at, start = (14, 16) if link == Link.LINUX_COOKED else (0, 20)
    plain = frame(FOUR, link)
    tagged = plain[:at] + b"\x81\x00" + plain[at + 2 : start] + b"\x00\x07\x08\x00" + plain[start:]
    found = datagram(link, tagged)
    assert isinstance(found, Datagram)
    assert found.payload == b"media"


@pytest.mark.parametrize("packet", [FOUR, SIX])
def test_of_a_frame_that_was_cut_short_the_begin_is_there(packet: bytes) -> None:
    found = datagram(Link.RAW, packet[:-2])
    assert isinstance(found, Datagram)
    assert (found.payload, found.lack) == (b"med", Defect.CUT_SHORT)


def test_the_first_fragment_has_the_begin_of_the_datagram() -> None:
    long = udp(b"media" * 10, FROM, TO)[20:]
    four = ip(long[:16], FROM[0], TO[0], 17, fragment=0x2000)
    six = ip(bytes([17, 0, 0, 1]) + bytes(4) + long[:16], FROM_6[0], TO_6[0], 44)
    for packet in (four, six):
        found = datagram(Link.RAW, packet + b"beyond")
        assert isinstance(found, Datagram)
        assert (found.payload, found.lack) == (b"mediamed", Defect.FRAGMENT)


def test_a_packet_captured_before_its_length_was_filled_in_reaches_to_the_end() -> None:
    found = datagram(Link.RAW, FOUR[:2] + bytes(2) + FOUR[4:])
    assert isinstance(found, Datagram)
    assert found.payload == b"media"


@pytest.mark.parametrize("text", ["192.0.2.1", "192.0.2.1:", "192.0.2.1:70000", "host:5004", ":5004", "1:²"])
def test_an_end_needs_an_address_and_a_port(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        end_of(text)


@given(st.sampled_from([0, 1, 12, 101, 108, 113, 228, 229, 276, 9]), st.binary(max_size=120))
def test_no_bytes_make_it_raise(link: int, data: bytes) -> None:
    found = datagram(link, data)
    assert isinstance(found, Defect) or len(found.payload) <= len(data) - 8


@given(st.sampled_from([FOUR, SIX]), st.data())
def test_no_changed_byte_makes_it_raise(packet: bytes, draw: st.DataObject) -> None:
    changed = bytearray(packet)
    for at in draw.draw(st.lists(st.integers(0, len(packet) - 1), max_size=4)):
        changed[at] = draw.draw(st.integers(0, 255))
    found = datagram(Link.RAW, bytes(changed))
    assert isinstance(found, (Defect, Datagram))
