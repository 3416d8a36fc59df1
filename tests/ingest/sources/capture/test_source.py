from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.wav import WavFormat
from ingest.protocol import AudioReceived, Mark, SessionClosed, SessionOpened
from ingest.sources.capture.findings import Defect, Findings
from ingest.sources.capture.source import begin
from ingest.sources.capture.wanted import Pair, Timed, Wanted, choice_of
from schemas.symbols import Channels, Codec, Reason
from tests.captures.files import (
    Link,
    enhanced,
    frame,
    interface,
    ip,
    pcap_header,
    pcap_record,
    section,
    udp,
    write_pcap,
    write_pcapng,
)
from tests.captures.packets import rtp
from tests.captures.scenarios import NAMES, scenario

FROM, TO = ("192.0.2.1", 5004), ("192.0.2.2", 5004)


def taken(data: bytes, piece: int = 4096, wanted: Wanted | None = None) -> tuple[list[Timed], Findings]:
    findings = Findings()
    source, start = begin(data, wanted or Wanted("file"), findings)
    timed = [one for at in range(start, len(data), piece) for one in source.feed(data[at : at + piece])]
    return timed + source.end(Reason.END), findings


def payloads(timed: list[Timed]) -> list[bytes]:
    return [fact.payload for _, fact in timed if isinstance(fact, AudioReceived)]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("several_wraps", "dynamic_type")])
def test_pcap_and_pcapng_say_the_same(name: str, tmp_path: Path) -> None:
    packets = scenario(name).packets
    one = write_pcap(tmp_path / "a", packets).read_bytes()
    other = write_pcapng(tmp_path / "b", packets, link=Link.RAW, resolution=9, order=">").read_bytes()
    assert taken(one) == taken(other)
    assert len(payloads(taken(one)[0])) == len(packets)


def test_any_pieces_say_the_same(tmp_path: Path) -> None:
    data = write_pcap(tmp_path / "a", scenario("two_ssrcs").packets).read_bytes()
    assert taken(data, 37) == taken(data, len(data))


def test_a_wav_file_is_taken_from_its_samples_on() -> None:
    form = WavFormat(Codec.L16_LE, Channels.EXTERNAL_INTERNAL, 8000)
    data = form.header(3) + b"abcdefghijkl"
    timed, _ = taken(data)
    assert payloads(timed) == [b"abcdefghijkl"]
    assert isinstance(timed[0].fact, SessionOpened)


def test_bad_frames_are_counted_and_the_rest_is_taken() -> None:
    packets = scenario("clean").packets[:4]
    good = [frame(udp(rtp(one), FROM, TO)) for one in packets]
    bad = [
        (good[0][:50], Defect.CUT_SHORT),
        (frame(udp(rtp(packets[0], version=1), FROM, TO)), Defect.NOT_RTP),
        (frame(udp(b"\x80\xc8" + bytes(26), FROM, TO)), Defect.RTCP),
        (frame(udp(b"\xa0\x00" + bytes(10) + b"\xff", FROM, TO)), Defect.BAD_RTP_HEADER),
        (frame(ip(bytes(20), FROM[0], TO[0], 6)), Defect.NOT_UDP),
        (frame(ip(bytes(20), FROM[0], TO[0], 17, fragment=0x2005)), Defect.FRAGMENT),
        (frame(udp(rtp(packets[0]), FROM, TO))[:-4], Defect.CUT_SHORT),
        (bytes(60), Defect.NOT_IP),
        (frame(ip(bytes(3), FROM[0], TO[0], 17)), Defect.CUT_SHORT),
        (frame(ip(bytes(8), FROM[0], TO[0], 17)), Defect.BAD_LENGTH),
    ]
    data = pcap_header()
    for index, (broken, _) in enumerate(bad):
        data += pcap_record(index, broken)
        data += pcap_record(index, good[index]) if index < len(good) else b""
    timed, findings = taken(data)
    # of the stream's own packet that was cut short the number is kept
    assert payloads(timed) == [*(one.payload for one in packets), b""]
    assert findings.frames == len(bad) + len(good)
    assert findings.passed_over == {defect: [each for _, each in bad].count(defect) for _, defect in bad}


def test_an_unknown_link_type_is_counted() -> None:
    data = section() + interface(147) + interface() + enhanced(1, bytes(60)) + enhanced(1, bytes(60), interface_id=1)
    assert taken(data)[1].passed_over == {Defect.UNKNOWN_LINK_TYPE: 1, Defect.NOT_IP: 1}


def test_damage_ends_the_sessions_behind_a_gap_and_what_was_read_stays(tmp_path: Path) -> None:
    packets = scenario("clean").packets[:10]
    data = write_pcapng(tmp_path / "a", packets).read_bytes()
    timed, findings = taken(data + bytes(100))
    assert payloads(timed) == [one.payload for one in packets]
    gap, closed = timed[-2].fact, timed[-1].fact
    assert isinstance(gap, Mark)
    assert (gap.reason, gap.duration_samples) == (Reason.OTHER, -1)
    assert isinstance(closed, SessionClosed)
    assert closed.reason is Reason.PEER_ERROR
    assert str(findings.damage) == f"damaged at byte {len(data)}: a block of 0 bytes"


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"", "is empty"),
        (b"hello, world, this is no capture", "is no pcap, pcapng or WAV file"),
        (pcap_header()[:20], "is no pcap, pcapng or WAV file"),
        (b"\x1f\x8b\x08", "is compressed with gzip; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "is compressed with zstd"),
        (b"RIFF\0\0\0\0WAVE", "has no samples"),
    ],
)
def test_a_file_of_another_kind_says_what_is_wrong(head: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        begin(head, Wanted("file"), Findings())


def test_streams_cannot_be_chosen_from_a_wav_file() -> None:
    data = WavFormat(Codec.PCMU, Channels.MIXED, 8000).header(0)
    with pytest.raises(ValueError, match="no streams to choose from"):
        begin(data, Wanted("file", pairs=(Pair(choice_of("1")),)), Findings())


def test_the_streams_of_a_capture_have_one_channel() -> None:
    with pytest.raises(ValueError, match="each of its streams has one channel"):
        begin(pcap_header(), Wanted("file", channels=Channels.EXTERNAL_INTERNAL), Findings())


def test_a_capture_of_headers_alone_gives_the_numbers() -> None:
    packets = scenario("random_loss").packets[:100]
    frames = [(one.arrival_us, frame(udp(rtp(one), FROM, TO))[:60]) for one in packets]
    timed, findings = taken(pcap_header() + b"".join(pcap_record(*one) for one in frames))
    records = [fact for _, fact in timed if isinstance(fact, AudioReceived)]
    assert [(one.source_sequence, one.position_samples, one.payload) for one in records] == [
        (one.sequence, one.timestamp - packets[0].timestamp, b"") for one in packets
    ]
    assert findings.passed_over == {Defect.CUT_SHORT: 100}


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=6), st.integers(1, 200))
def test_no_changed_bytes_make_it_raise(changes: list[tuple[int, int]], piece: int) -> None:
    packets = scenario("telephone_events").packets[98:104]
    data = bytearray(pcap_header())
    for one in packets:
        data += pcap_record(one.arrival_us, frame(udp(rtp(one, csrc=(1,), padding=3), FROM, TO)))
    for at, value in changes:
        data[24 + at] = value
    timed, findings = taken(bytes(data), piece)
    assert len(payloads(timed)) + findings.passed_over.total() <= 400
    assert findings.packets == len(payloads(timed))
