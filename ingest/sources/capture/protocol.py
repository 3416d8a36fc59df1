"""RTP packets of a file, in its order → facts of the sessions they belong to. Pure.

Without a choice each stream (SSRC and way) is a session of its own; it begins with the second packet whose number is
near to the one before, so that other traffic that looks like RTP makes no sessions. With a choice the streams of one
call's two directions share a session and its media clock, and everything else is passed over.

Digits: a telephone event is a record with its number and without a payload, and one DTMF event per key; which key it
was stands there only where that is asked for.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from ingest.placement import Gap, Placement, Scale, serial_step
from ingest.protocol import AudioReceived, EventReceived, Mark, SessionClosed, SessionOpened
from ingest.sources.capture.findings import Defect, Findings
from ingest.sources.capture.messages import SEQUENCE_BITS, TIMESTAMP_BITS, Packet
from ingest.sources.capture.payload_types import Meaning
from ingest.sources.capture.wanted import Choice, Timed, Wanted
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, Channel, Channels, ClosedBy, Codec, FrameKind, Reason, Source

SOURCE_NAME: Final = "capture"
NEAR: Final = 100
"""Two packets whose numbers are no farther apart are of one stream (MAX_MISORDER of RFC 3550 A.1)."""
MOST_CANDIDATES: Final = 4096
MOST_STREAMS: Final = 20_000
_LOOK_EVERY_S = 10.0
_DIGITS = "0123456789*#ABCD"
_UNKNOWN = Meaning(Codec.UNKNOWN, 0)
_STRANGE = (_UNKNOWN, False, 0)
_SIDES = {Channels.EXTERNAL: Channel.EXTERNAL, Channels.INTERNAL: Channel.INTERNAL}


class _Way(NamedTuple):
    ssrc: int
    source: bytes
    destination: bytes


class _Session:
    """An open session: its key, its rate, when its media clock was 0."""

    def __init__(self, key: str, meaning: Meaning, at_s: float) -> None:
        self.key = key
        self.rate_hz = meaning.clock_hz
        self.origin_s = at_s
        self.last_s = at_s
        self.streams: list[_Stream] = []

    @property
    def head_samples(self) -> int:
        """Position behind the last sample of all streams, in the session's rate."""
        heads = [
            placement.head_samples * self.rate_hz // clock_hz
            for stream in self.streams
            for clock_hz, placement in stream.placements.items()
        ]
        return max(heads, default=0)


class _Stream:
    """An SSRC on its way, in its session. It has a count of positions for each clock that it used."""

    def __init__(self, way: _Way, session: _Session, channels: Channels) -> None:
        self.way = way
        self.session = session
        self.channels = channels
        self.placements: dict[int, Placement] = {}
        self.clock_hz = 0
        self.event: int | None = None
        session.streams.append(self)

    def placement(self, clock_hz: int) -> Placement:
        """Return the count of a clock; a new one goes on behind all audio so far."""
        found = self.placements.get(clock_hz)
        if found is not None and clock_hz == self.clock_hz:
            return found
        if found is None:
            scale = Scale(clock_hz, clock_hz, SEQUENCE_BITS, TIMESTAMP_BITS)
            found = self.placements[clock_hz] = Placement(scale, self.session.origin_s)
            if self.clock_hz:
                found.head_samples = self.placements[self.clock_hz].head_samples * clock_hz // self.clock_hz
        self.clock_hz = clock_hz
        return found


class CaptureProtocol:
    """The sessions of one file."""

    def __init__(self, wanted: Wanted, findings: Findings) -> None:
        self._wanted = wanted
        self._findings = findings
        # worked out once, and not for each packet
        self._readings = {number: (one, one.is_audio, one.sample_bytes) for number, one in wanted.meanings.items()}
        self._streams: dict[_Way, _Stream] = {}
        self._sessions: dict[str, _Session] = {}
        self._candidates: dict[_Way, tuple[float, Packet]] = {}
        self._seen: set[str] = set()
        self._look_s = -1.0

    @property
    def unseen(self) -> list[str]:
        """The choices that no packet of the file fits."""
        choices = [choice for pair in self._wanted.pairs for choice in (pair.external, pair.internal) if choice]
        return [choice.text for choice in choices if choice.text not in self._seen]

    def take(self, at_s: float, source: bytes, destination: bytes, packet: Packet) -> list[Timed]:
        """Return what a packet says."""
        way = _Way(packet.ssrc, source, destination)
        stream = self._streams.get(way)
        if stream is not None:
            if not self._look_s - _LOOK_EVERY_S <= at_s <= self._look_s:
                return [*self._expire(at_s, way), *self._packet(stream, at_s, packet)]
            return self._packet(stream, at_s, packet)
        return [*self._expire(at_s, way), *self._strange(way, at_s, packet)]

    def end(self, reason: Reason, *, missing: Reason | None = None) -> list[Timed]:
        """End all sessions; with `missing`, behind a gap of unknown length: the file goes on, unread."""
        if self._candidates:
            self._findings.passed_over[Defect.STRAY] += len(self._candidates)
            self._candidates.clear()
        return [timed for key in list(self._sessions) for timed in self._close(key, reason, missing)]

    # --- streams that are not known yet

    def _strange(self, way: _Way, at_s: float, packet: Packet) -> list[Timed]:
        meaning = self._wanted.meanings.get(packet.payload_type)
        if meaning is None:
            self._unexplained(packet)
            return []
        if len(self._streams) >= MOST_STREAMS:
            self._findings.passed_over[Defect.TOO_MANY_STREAMS] += 1
            return []
        if self._wanted.pairs:
            return self._chosen(way, at_s, packet, meaning)
        before = self._candidates.pop(way, None)
        if before is not None and 0 < abs(serial_step(packet.sequence, before[1].sequence, SEQUENCE_BITS)) <= NEAR:
            first_s, first = before
            key = f"{way.ssrc:08x} {way.source.hex()} {way.destination.hex()}"
            opening = self._wanted.meanings[first.payload_type]
            channels = self._wanted.channels or Channels.MIXED
            opened = self._open(key, f"{way.ssrc:08x}", channels, opening, first_s)
            stream = self._streams[way] = _Stream(way, self._sessions[key], channels)
            return [*opened, *self._packet(stream, first_s, first), *self._packet(stream, at_s, packet)]
        if before is not None:
            self._findings.passed_over[Defect.STRAY] += 1
        self._candidates[way] = at_s, packet
        if len(self._candidates) > MOST_CANDIDATES:
            del self._candidates[next(iter(self._candidates))]
            self._findings.passed_over[Defect.STRAY] += 1
        return []

    def _chosen(self, way: _Way, at_s: float, packet: Packet, meaning: Meaning) -> list[Timed]:
        found = self._choice(way)
        if found is None:
            self._findings.passed_over[Defect.NOT_CHOSEN] += 1
            return []
        index, channels, choice = found
        self._seen.add(choice.text)
        key = f"pair {index}"
        opened: list[Timed] = []
        if key not in self._sessions:
            pair = self._wanted.pairs[index]
            both = pair.external is not None and pair.internal is not None
            named = pair.external or choice
            opened = self._open(key, named.text, Channels.UNKNOWN if both else channels, meaning, at_s)
        stream = self._streams[way] = _Stream(way, self._sessions[key], channels)
        return [*opened, *self._packet(stream, at_s, packet)]

    def _choice(self, way: _Way) -> tuple[int, Channels, Choice] | None:
        for index, pair in enumerate(self._wanted.pairs):
            for choice, channels in ((pair.external, Channels.EXTERNAL), (pair.internal, Channels.INTERNAL)):
                if choice is not None and (choice.ssrc == way.ssrc or choice.source == way.source):
                    return index, channels, choice
        return None

    def _open(self, key: str, named: str, channels: Channels, meaning: Meaning, at_s: float) -> list[Timed]:
        wanted = self._wanted
        session = self._sessions[key] = _Session(key, meaning, at_s)
        self._findings.sessions += 1
        info = SessionInfo(
            conversation_id=wanted.conversation or f"{wanted.name}-{named}",
            source_name=SOURCE_NAME,
            organisation=wanted.organisation,
            queue=wanted.queue,
            agent=wanted.agent,
            correlation_id=wanted.import_id,
        )
        opened = SessionOpened(key, info, Source.CAPTURE, session.rate_hz, meaning.codec, channels, states_pauses=False)
        return [Timed(at_s, opened)]

    # --- packets of a known stream

    def _packet(self, stream: _Stream, at_s: float, packet: Packet) -> list[Timed]:
        session = stream.session
        session.last_s = max(session.last_s, at_s)
        payload, findings = packet.payload, self._findings
        findings.packets += 1
        meaning, is_audio, size = self._readings.get(packet.payload_type, _STRANGE)
        if not is_audio or (size > 1 and len(payload) % size):
            return self._number(stream, at_s, packet, meaning)
        samples = len(payload) // size if size else 0 if meaning.codec is Codec.COMFORT_NOISE else -1
        placed = stream.placement(meaning.clock_hz).place(packet.sequence, packet.timestamp, samples, at_s)
        findings.audio_bytes += len(payload)
        audio = _record(stream, packet, meaning, placed.position_samples, samples, payload, late=placed.late)
        if placed.gap is None:
            return [Timed(at_s, audio)]
        return [Timed(at_s, _gap(session.key, placed.gap)), Timed(at_s, audio)]

    def _number(self, stream: _Stream, at_s: float, packet: Packet, meaning: Meaning) -> list[Timed]:
        """Return a record with the packet's number and no payload: so it is not taken for lost."""
        session, clock_hz = stream.session, meaning.clock_hz or stream.clock_hz or stream.session.rate_hz
        placement = stream.placements.get(clock_hz)
        position = -1 if placement is None else placement.locate(packet.timestamp)
        if position < 0:
            position = max(0, round((at_s - session.origin_s) * clock_hz))
        payload, told = b"", []
        if meaning.codec is Codec.TELEPHONE_EVENT:
            payload = packet.payload if self._wanted.publish_digits else b""
            told = self._digit(stream, at_s, packet, position)
        elif meaning is _UNKNOWN:
            self._unexplained(packet)
        else:
            self._findings.passed_over[Defect.PART_OF_A_SAMPLE] += 1
        known = meaning._replace(clock_hz=clock_hz)
        return [*told, Timed(at_s, _record(stream, packet, known, position, 0, payload, late=False))]

    def _digit(self, stream: _Stream, at_s: float, packet: Packet, position: int) -> list[Timed]:
        """Return a pressed key with the first packet about it: all of them have the timestamp of its begin."""
        if packet.timestamp == stream.event or not packet.payload or packet.payload[0] >= len(_DIGITS):
            return []
        stream.event = packet.timestamp
        event = CallEvent(
            kind=CallEventKind.DTMF,
            conversation_id="",
            session_id="",
            channel=_SIDES.get(stream.channels, Channel.UNKNOWN),
            digit=_DIGITS[packet.payload[0]] if self._wanted.publish_digits else None,
            position_samples=position,
        )
        return [Timed(at_s, EventReceived(stream.session.key, event))]

    def _unexplained(self, packet: Packet) -> None:
        self._findings.passed_over[Defect.UNKNOWN_PAYLOAD_TYPE] += 1
        self._findings.payload_types[packet.payload_type] += 1

    # --- the end of sessions

    def _expire(self, at_s: float, way: _Way) -> Iterable[Timed]:
        """End the sessions that had nothing for long, but not the one that has something now."""
        if self._look_s - _LOOK_EVERY_S <= at_s <= self._look_s:
            return []
        # also where time went back, as after a packet with a wrong one
        self._look_s = at_s + _LOOK_EVERY_S
        before_s = at_s - self._wanted.idle_s
        own = self._streams.get(way)
        idle = [
            key
            for key, session in self._sessions.items()
            if session.last_s < before_s and (own is None or own.session is not session)
        ]
        return [timed for key in idle for timed in self._close(key, Reason.IDLE, None)]

    def _close(self, key: str, reason: Reason, missing: Reason | None) -> list[Timed]:
        session = self._sessions.pop(key)
        for stream in session.streams:
            del self._streams[stream.way]
        head, at_s = session.head_samples, session.last_s
        by = ClosedBy.TIMEOUT if reason is Reason.IDLE else ClosedBy.LOCAL
        closed = Timed(at_s, SessionClosed(key, reason, head, by))
        if missing is None:
            return [closed]
        return [Timed(at_s, _gap(key, Gap(missing, head, -1, estimated=False))), closed]


def _record(  # noqa: PLR0913, PLR0917 - what a record is made of
    stream: _Stream, packet: Packet, meaning: Meaning, position: int, samples: int, payload: bytes, *, late: bool
) -> AudioReceived:
    return AudioReceived(
        stream.session.key,
        payload,
        meaning.codec,
        stream.channels,
        meaning.clock_hz,
        position,
        samples,
        packet.ssrc,
        packet.sequence,
        packet.timestamp,
        meaning.clock_hz,
        SEQUENCE_BITS,
        TIMESTAMP_BITS,
        packet.payload_type,
        packet.marker,
        late,
    )


def _gap(key: str, gap: Gap) -> Mark:
    return Mark(key, FrameKind.GAP, gap.reason, gap.start_samples, gap.duration_samples, estimated=gap.estimated)
