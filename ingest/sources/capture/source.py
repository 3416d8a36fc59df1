"""A file of any kind that can be imported, in pieces of any size → the facts in it. Pure."""

from typing import Final, Protocol

from audio.wav_reading import HEAD_BYTES, NotReadable, is_wav, read_head
from ingest.sources.capture import pcapng
from ingest.sources.capture.findings import Defect, Findings, Frame
from ingest.sources.capture.messages import parse
from ingest.sources.capture.network import datagram
from ingest.sources.capture.pcap import HEADER_BYTES, MAGICS, PcapReader
from ingest.sources.capture.protocol import CaptureProtocol
from ingest.sources.capture.recorded import STEREO, RecordedAudio
from ingest.sources.capture.wanted import Timed, Wanted
from schemas.symbols import Reason

LONGEST_HEAD_BYTES: Final = HEAD_BYTES
"""So many bytes of a file are enough to tell what it is."""
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


class Import(Protocol):
    """A file on its way to be sessions."""

    @property
    def missed(self) -> list[str]:
        """What is wrong with what was chosen, as far as the file was read, a sentence each."""

    def feed(self, data: bytes) -> list[Timed]:
        """Take the next piece."""

    def end(self, reason: Reason, *, missing: Reason | None = None) -> list[Timed]:
        """Take the end, or with `missing` the decision to read no further."""


def begin(head: bytes, wanted: Wanted, findings: Findings) -> tuple[Import, int]:
    """Return who takes a file that begins with `head`, and from which byte on. Raises `ValueError` with the reason."""
    if is_wav(head):
        if wanted.pairs:
            message = "is a WAV file, which has no streams to choose from"
            raise ValueError(message)
        found = read_head(head)
        return RecordedAudio(found, wanted, findings), found.data_offset
    reader: _Reader | None = None
    if head[:4] in MAGICS and len(head) >= HEADER_BYTES:
        reader = PcapReader(findings)
    elif head[:4] == pcapng.MAGIC:
        reader = pcapng.PcapngReader(findings)
    if reader is not None:
        if wanted.channels in STEREO:
            message = f"is a capture: each of its streams has one channel, not {wanted.channels.lower()}"
            raise ValueError(message)
        return CapturedPackets(reader, wanted, findings), 0
    packed = next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), None)
    message = "is empty" if not head else "is no pcap, pcapng or WAV file"
    raise NotReadable(message if packed is None else f"is compressed with {packed}; unpack it first")


class _Reader(Protocol):
    def feed(self, data: bytes) -> list[Frame]: ...

    def end(self) -> None: ...


class CapturedPackets:
    """The frames of a capture, through UDP and RTP, to their sessions."""

    def __init__(self, reader: _Reader, wanted: Wanted, findings: Findings) -> None:
        self._reader = reader
        self._protocol = CaptureProtocol(wanted, findings)
        self._findings = findings

    @property
    def missed(self) -> list[str]:
        """What is wrong with the choices that made no session."""
        return self._protocol.missed

    def feed(self, data: bytes) -> list[Timed]:
        """Return what a piece of the file says."""
        facts: list[Timed] = []
        take, passed_over = self._protocol.take, self._findings.passed_over
        frames = self._reader.feed(data)
        if frames:
            self._findings.frames += len(frames)
            self._findings.see(frames[0].at_s)
            self._findings.see(frames[-1].at_s)
        for at_s, link, frame in frames:
            found = datagram(link, frame)
            if isinstance(found, Defect):
                passed_over[found] += 1
                continue
            packet = parse(found.payload, found.lack)
            if isinstance(packet, Defect):
                passed_over[packet] += 1
                continue
            facts += take(at_s, found.source, found.destination, packet)
        return facts

    def end(self, reason: Reason, *, missing: Reason | None = None) -> list[Timed]:
        """Take the end. Behind damage nobody knows what there was."""
        self._reader.end()
        if self._findings.damage is not None and missing is None:
            return self._protocol.end(Reason.PEER_ERROR, missing=Reason.OTHER)
        return self._protocol.end(reason, missing=missing)
