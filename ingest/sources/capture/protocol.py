"""RTP packets of a file, in its order → facts of the sessions they belong to. Pure.

Without a choice each stream (SSRC and way) is a session of its own; it begins with the second packet whose number is
near to the one before, so that other traffic that looks like RTP makes no sessions. With a choice the streams of one
call's two directions share a session and its media clock, and everything else is passed over: also the chosen SSRC
between other ends, unless it has been silent between those where it was.

Digits: a telephone event is a record with its number and without a payload, and one DTMF event per key; which key it
was stands there only where that is asked for.
"""

from typing import Final

from audio.numbers import serial_step
from ingest.arrival import Gap
from ingest.protocol import AudioReceived, EventReceived, Mark, SessionClosed, SessionOpened
from ingest.sources.capture.findings import Defect, Findings
from ingest.sources.capture.messages import SEQUENCE_BITS, TIMESTAMP_BITS, Packet
from ingest.sources.capture.payload_types import Meaning
from ingest.sources.capture.streams import Session, Stream, Way
from ingest.sources.capture.wanted import Choice, Timed, Wanted
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, Channel, Channels, ClosedBy, Codec, FrameKind, Reason, Source

SOURCE_NAME: Final = "capture"
NEAR: Final = 100
"""Two packets whose numbers are no farther apart are of one stream (MAX_MISORDER of RFC 3550 A.1)."""
MOST_CANDIDATES: Final = 4096
MOST_STREAMS: Final = 20_000
_LOOK_EVERY_S = 10.0
_MOVED_S = 0.2
"""A chosen SSRC that had no packet for so long may have moved to other ends; longer than a border element takes."""
_LATE_EVENT_S = 10
"""A packet about an event before the newest one may come so late; what lies farther back is of a new beginning."""
_DIGITS = "0123456789*#ABCD"
_UNKNOWN = Meaning(Codec.UNKNOWN, 0)
_STRANGE = (_UNKNOWN, False, 0)
_SIDES = {Channels.EXTERNAL: Channel.EXTERNAL, Channels.INTERNAL: Channel.INTERNAL}


class CaptureProtocol:
    """The sessions of one file."""

    def __init__(self, wanted: Wanted, findings: Findings) -> None:
        self._wanted = wanted
        self._findings = findings
        # worked out once, and not for each packet
        self._readings = {number: (one, one.is_audio, one.sample_bytes) for number, one in wanted.meanings.items()}
        self._streams: dict[Way, Stream] = {}
        self._sessions: dict[str, Session] = {}
        self._candidates: dict[Way, tuple[float, Packet]] = {}
        self._chosen: dict[tuple[Choice, int], Stream] = {}
        self._unusable: set[Choice] = set()
        self._look_s = -1.0

    @property
    def missed(self) -> list[str]:
        """What is wrong with the choices that made no session."""
        choices = [choice for pair in self._wanted.pairs for choice in (pair.external, pair.internal) if choice]
        taken = {choice for choice, _ in self._chosen}
        why = {True: "has only payload types that nobody explained", False: "no packet of the file is from there"}
        return [f"{choice.text}: {why[choice in self._unusable]}" for choice in choices if choice not in taken]

    def take(self, at_s: float, source: bytes, destination: bytes, packet: Packet) -> list[Timed]:
        """Return what a packet says."""
        ended: list[Timed] = []
        if not self._look_s - _LOOK_EVERY_S <= at_s <= self._look_s:
            ended = self._expire(at_s)
        way = Way(packet.ssrc, source, destination)
        stream = self._streams.get(way)
        facts = self._strange(way, at_s, packet) if stream is None else self._packet(stream, at_s, packet)
        return ended + facts if ended else facts

    def end(self, reason: Reason, *, missing: Reason | None = None) -> list[Timed]:
        """End all sessions; with `missing`, behind a gap of unknown length: the file goes on, unread."""
        if self._candidates:
            self._findings.passed_over[Defect.STRAY] += len(self._candidates)
            self._candidates.clear()
        return [timed for key in list(self._sessions) for timed in self._close(key, reason, missing)]

    # --- streams that are not known yet

    def _strange(self, way: Way, at_s: float, packet: Packet) -> list[Timed]:
        found = self._choice(way)
        if self._wanted.pairs and found is None:
            self._findings.passed_over[Defect.NOT_CHOSEN] += 1
            return []
        meaning = self._wanted.meanings.get(packet.payload_type)
        if meaning is None:
            self._unexplained(packet)
            if found is not None:
                self._unusable.add(found[2])
            return []
        too_many = len(self._streams) >= MOST_STREAMS
        if too_many or packet.lack is Defect.BAD_RTP_HEADER:
            self._findings.passed_over[Defect.TOO_MANY_STREAMS if too_many else Defect.BAD_RTP_HEADER] += 1
            return []
        return self._candidate(way, at_s, packet) if found is None else self._take_chosen(way, at_s, packet, *found)

    def _candidate(self, way: Way, at_s: float, packet: Packet) -> list[Timed]:
        """Return the facts of a stream with its second packet, nothing with its first one."""
        before = self._candidates.pop(way, None)
        if before is not None and self._follows(at_s, packet, *before):
            first_s, first = before
            key = f"{way.ssrc:08x} {way.source.hex()} {way.destination.hex()}"
            opening = self._wanted.meanings[first.payload_type]
            channels = self._wanted.channels or Channels.MIXED
            opened = self._open(key, f"{way.ssrc:08x}", channels, opening, first_s)
            stream = self._streams[way] = Stream(way, self._sessions[key], channels, first_s)
            for one in (first, packet):
                # both before the first one is published
                self._look_for_encryption(stream, one)
            return [*opened, *self._packet(stream, first_s, first), *self._packet(stream, at_s, packet)]
        if before is not None:
            self._findings.passed_over[Defect.STRAY] += 1
        self._candidates[way] = at_s, packet
        if len(self._candidates) > MOST_CANDIDATES:
            del self._candidates[next(iter(self._candidates))]
            self._findings.passed_over[Defect.STRAY] += 1
        return []

    def _follows(self, at_s: float, packet: Packet, first_s: float, first: Packet) -> bool:
        """Tell whether a packet shows that the one before it is of a stream."""
        step = serial_step(packet.sequence, first.sequence, SEQUENCE_BITS)
        return 0 < abs(step) <= NEAR and at_s - first_s < self._wanted.idle_s

    def _take_chosen(  # noqa: PLR0913, PLR0917 - a packet, and what was chosen
        self, way: Way, at_s: float, packet: Packet, index: int, channels: Channels, choice: Choice
    ) -> list[Timed]:
        holder = self._chosen.get((choice, way.ssrc))
        if holder is not None and self._streams.get(holder.way) is holder:
            if at_s - holder.last_s < _MOVED_S:
                self._findings.passed_over[Defect.OTHER_WAY] += 1
                return []
            del self._streams[holder.way]
        key = f"pair {index}"
        opened: list[Timed] = []
        if key not in self._sessions:
            pair = self._wanted.pairs[index]
            both = pair.external is not None and pair.internal is not None
            named = pair.external or choice
            meaning = self._wanted.meanings[packet.payload_type]
            opened = self._open(key, named.text, Channels.UNKNOWN if both else channels, meaning, at_s)
        stream = Stream(way, self._sessions[key], channels, at_s)
        self._streams[way] = self._chosen[choice, way.ssrc] = stream
        return [*opened, *self._packet(stream, at_s, packet)]

    def _choice(self, way: Way) -> tuple[int, Channels, Choice] | None:
        for index, pair in enumerate(self._wanted.pairs):
            for choice, channels in ((pair.external, Channels.EXTERNAL), (pair.internal, Channels.INTERNAL)):
                if choice is not None and (choice.ssrc == way.ssrc or choice.source == way.source):
                    return index, channels, choice
        return None

    def _open(self, key: str, named: str, channels: Channels, meaning: Meaning, at_s: float) -> list[Timed]:
        wanted = self._wanted
        session = self._sessions[key] = Session(key, meaning, at_s)
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

    def _packet(self, stream: Stream, at_s: float, packet: Packet) -> list[Timed]:
        stream.last_s = at_s
        payload, findings = packet.payload, self._findings
        findings.packets += 1
        meaning, is_audio, size = self._readings.get(packet.payload_type, _STRANGE)
        if not stream.encryption.decided:
            self._look_for_encryption(stream, packet)
        if not is_audio:
            return self._number(stream, at_s, packet, meaning)
        samples = len(payload) // size if size else 0 if meaning.codec is Codec.COMFORT_NOISE else -1
        if packet.lack is not None or stream.encryption.looks_so or (size > 1 and len(payload) % size):
            why = Defect.LOOKS_ENCRYPTED if stream.encryption.looks_so else Defect.PART_OF_A_SAMPLE
            findings.passed_over[packet.lack or why] += 1
            payload, samples = b"", 0
        placed = stream.placement(meaning.clock_hz).place(packet.sequence, packet.timestamp, samples, at_s)
        findings.audio_bytes += len(payload)
        audio = _record(stream, packet, meaning, placed.position_samples, samples, payload, late=placed.late)
        if placed.gap is None:
            return [Timed(at_s, audio)]
        return [Timed(at_s, _gap(stream.session, placed.gap, meaning.clock_hz)), Timed(at_s, audio)]

    def _look_for_encryption(self, stream: Stream, packet: Packet) -> None:
        size = self._readings.get(packet.payload_type, _STRANGE)[2]
        if size and packet.lack is None:
            stream.encryption.see(packet, size)

    def _number(self, stream: Stream, at_s: float, packet: Packet, meaning: Meaning) -> list[Timed]:
        """Return a record of what is no audio, with the packet's number and no payload: so it is not taken for lost."""
        session, clock_hz = stream.session, meaning.clock_hz or stream.clock_hz or stream.session.rate_hz
        placement = stream.placements.get(clock_hz)
        position = -1 if placement is None else placement.locate(packet.timestamp)
        if position < 0:
            position = max(0, round((at_s - session.origin_s) * clock_hz))
        payload, told = b"", []
        if meaning.codec is Codec.TELEPHONE_EVENT:
            payload = packet.payload if self._wanted.publish_digits else b""
            told = self._digit(stream, at_s, packet, position, clock_hz)
            if packet.lack is not None:
                self._findings.passed_over[packet.lack] += 1
        else:
            self._unexplained(packet)
        known = meaning._replace(clock_hz=clock_hz)
        return [*told, Timed(at_s, _record(stream, packet, known, position, 0, payload, late=False))]

    def _digit(self, stream: Stream, at_s: float, packet: Packet, position: int, clock_hz: int) -> list[Timed]:
        """Return a pressed key with the first packet about it: all of them have the timestamp of its begin."""
        if not packet.payload or packet.payload[0] >= len(_DIGITS):
            return []
        if stream.event is not None:
            step = serial_step(packet.timestamp, stream.event, TIMESTAMP_BITS)
            if -_LATE_EVENT_S * clock_hz < step <= 0:
                return []
        stream.event = packet.timestamp
        event = CallEvent(
            kind=CallEventKind.DTMF,
            conversation_id="",
            session_id="",
            channel=_SIDES.get(stream.channels, Channel.UNKNOWN),
            digit=_DIGITS[packet.payload[0]] if self._wanted.publish_digits else None,
            sample_rate_hz=clock_hz,
            position_samples=position,
        )
        return [Timed(at_s, EventReceived(stream.session.key, event))]

    def _unexplained(self, packet: Packet) -> None:
        self._findings.passed_over[Defect.UNKNOWN_PAYLOAD_TYPE] += 1
        self._findings.payload_types[packet.payload_type] += 1

    # --- the end of sessions

    def _expire(self, at_s: float) -> list[Timed]:
        """End the sessions that had nothing for long."""
        # also where time went back, as after a packet with a wrong one
        self._look_s = at_s + _LOOK_EVERY_S
        before_s = at_s - self._wanted.idle_s
        idle = [key for key, session in self._sessions.items() if session.last_s < before_s]
        return [timed for key in idle for timed in self._close(key, Reason.IDLE, None)]

    def _close(self, key: str, reason: Reason, missing: Reason | None) -> list[Timed]:
        session = self._sessions.pop(key)
        for stream in session.streams:
            if self._streams.get(stream.way) is stream:
                del self._streams[stream.way]
        head, at_s = session.head_samples, session.last_s
        by = ClosedBy.TIMEOUT if reason is Reason.IDLE else ClosedBy.LOCAL
        closed = Timed(at_s, SessionClosed(key, reason, head, by))
        if missing is None:
            return [closed]
        return [Timed(at_s, _gap(session, Gap(missing, head, -1, estimated=False), session.rate_hz)), closed]


def _record(  # noqa: PLR0913, PLR0917 - what a record is made of
    stream: Stream, packet: Packet, meaning: Meaning, position: int, samples: int, payload: bytes, *, late: bool
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


def _gap(session: Session, gap: Gap, clock_hz: int) -> Mark:
    """Return a gap of a stream's clock as the session's mark."""
    start, duration = (session.in_own_rate(one, clock_hz) for one in (gap.start_samples, gap.duration_samples))
    return Mark(session.key, FrameKind.GAP, gap.reason, start, duration, estimated=gap.estimated)
