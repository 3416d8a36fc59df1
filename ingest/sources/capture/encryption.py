"""Payloads of a stream and their timestamps → whether it looks encrypted (SRTP, RFC 3711). Pure.

SRTP leaves the header as it is and puts an authentication tag behind the payload. So a payload of whole samples is
longer than the timestamp goes on to the next packet, by a tag's length, packet after packet. One pair of packets that
fit each other shows that a stream is plain, for good.
"""

from audio.numbers import serial_step
from ingest.sources.capture.messages import SEQUENCE_BITS, TIMESTAMP_BITS, Packet

_TAGS_BYTES = (4, 8, 10, 16)
"""RFC 3711 section 5.2, RFC 4568 section 6.2, RFC 7714 section 14.2."""


class Encryption:
    """What one stream's packets show."""

    def __init__(self) -> None:
        self.looks_so = False
        self.decided = False
        """Whether it is plain for good: no more packets need be seen."""
        self._before: tuple[int, int, int] | None = None

    def see(self, packet: Packet, sample_bytes: int) -> None:
        """Take the next packet whose payload is samples of so many bytes."""
        before, size = self._before, len(packet.payload)
        self._before = packet.sequence, packet.timestamp, size
        if before is None or serial_step(packet.sequence, before[0], SEQUENCE_BITS) != 1:
            return
        excess = before[2] - serial_step(packet.timestamp, before[1], TIMESTAMP_BITS) * sample_bytes
        if excess == 0:
            self.looks_so, self.decided = False, True
        elif excess in _TAGS_BYTES:
            self.looks_so = True
