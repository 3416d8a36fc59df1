"""What is cut out here against what the library's machine alone makes of the same bytes."""

import itertools
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Opcode, apply_mask
from websockets.protocol import State
from websockets.server import ServerProtocol

from ingest import receive
from ingest.receive import FrameSplitter
from tests.fuzz.wire import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame, message

LONGEST = 70_000
AUDIO = os.urandom(3200)
MASK = b"\x01\x80\xff\x37"

frames = st.builds(
    frame,
    st.sampled_from([CONTINUATION, TEXT, BINARY, BINARY, BINARY, CLOSE, PING, 0x3, 0xB]),
    st.binary(max_size=300) | st.sampled_from([b"", b"\x03\xe8", b"x" * 125, b"y" * 126, AUDIO, b"z" * 65_536]),
    st.sampled_from([bytes(4), MASK]),
    fin=st.sampled_from([True, True, True, False]),
)
broken = st.builds(
    lambda whole, first: bytes([whole[0] ^ first]) + whole[1:], frames, st.sampled_from([0x10, 0x40, 0x70])
)
naked = st.binary(max_size=100).map(lambda payload: bytes([0x82, len(payload)]) + payload)
endless = st.sampled_from([b"\x82\xff" + bytes([0, 0, 0, 0, 0, 1, 17, 113]), b"\x82\xff" + b"\xff" * 8])
usual = st.lists(frames, max_size=12)
streams = st.lists(frames | st.binary(max_size=20) | broken | naked | endless, max_size=12) | usual


class Machine:
    """The library's machine of an open connection, and what it said; alone, or behind a splitter."""

    def __init__(self) -> None:
        self.protocol = ServerProtocol(state=State.OPEN, max_size=LONGEST)
        self.splitter = FrameSplitter(LONGEST)
        self.seen: list[tuple[Opcode, bytes, bool]] = []
        self.fed: list[bytes] = []

    def take(self, data) -> None:
        self.fed.append(bytes(data))
        self.protocol.receive_data(bytes(data))
        self.splitter.loose = self.splitter.loose or self.protocol.state is not State.OPEN
        self.seen += [(one.opcode, bytes(one.data), one.fin) for one in self.protocol.events_received()]

    def hear(self, data: bytes) -> None:
        assert type(data) is bytes
        self.seen.append((Opcode.BINARY, data, True))

    def split(self, data: bytes) -> None:
        self.splitter.feed(memoryview(bytearray(data)), self.hear, self.take)

    @property
    def end(self) -> tuple[object, ...]:
        """What came of the connection."""
        protocol = self.protocol
        return protocol.state, protocol.close_sent, protocol.close_rcvd, protocol.data_to_send()


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted({min(cut, len(stream)) for cut in cuts}), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(bounds) if a < b]


@given(streams, st.lists(st.integers(0, 10_000), max_size=10))
@example([b"\x00~"], [])
@example([b"\x83\xfe"], [])
def test_with_the_splitter_before_it_a_connection_goes_as_the_machine_alone_would_have_it(parts, cuts):
    stream = b"".join(parts)
    alone, behind = Machine(), Machine()
    for piece in pieces(stream, cuts):
        alone.take(piece)
        behind.split(piece)
    assert behind.seen == alone.seen
    assert behind.end == alone.end
    for each in (alone, behind):
        each.protocol.receive_eof()
    assert behind.end == alone.end


@pytest.mark.parametrize("size", [0, 1, 125, 126, 3200, 65_535, 65_536, LONGEST])
def test_audio_never_comes_before_the_machine(size):
    machine, payload = Machine(), os.urandom(size)
    stream = frame(BINARY, payload, MASK) * 3
    for start in range(0, len(stream), 8192):
        machine.split(stream[start : start + 8192])
    assert machine.seen == [(Opcode.BINARY, payload, True)] * 3
    assert machine.fed == []


def test_of_what_is_not_audio_the_machine_gets_whole_frames():
    machine = Machine()
    parts = [frame(TEXT, b"text", MASK), frame(PING, b"", MASK)]
    for byte in b"".join([parts[0], frame(BINARY, AUDIO, MASK), parts[1]]):
        machine.split(bytes([byte]))
    assert machine.fed == parts


def test_a_frame_in_the_midst_of_fragments_is_the_machines():
    machine, parts = Machine(), message(AUDIO, MASK, cuts=[5], between=frame(BINARY, b"no", MASK))
    machine.split(parts)
    assert machine.seen == [(Opcode.BINARY, AUDIO[:5], False)]
    assert machine.protocol.close_sent.code == 1002


def test_of_a_frame_that_is_too_long_nothing_is_kept():
    machine = Machine()
    machine.split(b"\x82\xff" + (LONGEST + 1).to_bytes(8, "big"))
    assert machine.protocol.close_sent.code == 1009
    assert not machine.splitter._kept


def test_the_buffer_may_be_used_again_at_once():
    machine, buffer = Machine(), bytearray(frame(BINARY, AUDIO, MASK)[:2000])
    machine.splitter.feed(memoryview(buffer), machine.hear, machine.take)
    buffer[:] = bytes(len(buffer))
    machine.split(frame(BINARY, AUDIO, MASK)[2000:])
    assert machine.seen == [(Opcode.BINARY, AUDIO, True)]


def test_masks_are_taken_off_by_the_compiled_part():
    assert receive.apply_mask is apply_mask
    assert receive.apply_mask.__module__ != "websockets.utils"
