"""A WAV file, in pieces of any size → one session of it. Pure.

The payloads are the file's bytes, cut into records of equal length; nothing is numbered. Its times count from the begin
that was stated for it.
"""

from audio.wav_reading import WavHead
from ingest.protocol import AudioReceived, SessionClosed, SessionOpened
from ingest.protocol import Mark as GapMark
from ingest.sources.capture.findings import Findings
from ingest.sources.capture.wanted import Timed, Wanted
from schemas.records import SessionInfo
from schemas.symbols import Channels, ClosedBy, FrameKind, Reason, Source

SOURCE_NAME = "wav"
_KEY = "wav"
STEREO = (Channels.EXTERNAL_INTERNAL, Channels.INTERNAL_EXTERNAL)


def layout(wanted: Channels | None, channel_count: int) -> Channels:
    """Return which channels the samples hold. Raises `ValueError` where what is wanted has another number."""
    if wanted is None:
        return Channels.EXTERNAL_INTERNAL if channel_count == 2 else Channels.MIXED  # noqa: PLR2004 - stereo
    if (wanted in STEREO) != (channel_count == 2):  # noqa: PLR2004 - stereo
        message = f"has {channel_count} channel{'s' * (channel_count > 1)}, which is not {wanted.lower()}"
        raise ValueError(message)
    return wanted


class RecordedAudio:
    """The session of a file. `feed` takes it from the byte on where its samples begin."""

    def __init__(self, head: WavHead, wanted: Wanted, findings: Findings) -> None:
        self._head = head
        self._wanted = wanted
        self._findings = findings
        self._channels = layout(wanted.channels, head.channel_count)
        self._left_bytes = head.data_bytes
        self._frame_bytes = max(1, wanted.frame_ms * head.sample_rate_hz // 1000) * head.block_bytes
        self._rest = b""
        self._samples = 0
        self._opened = False

    @property
    def missed(self) -> list[str]:
        """Nothing can be chosen."""
        return []

    def feed(self, data: bytes) -> list[Timed]:
        """Return the records that are complete with this piece."""
        if self._left_bytes >= 0:
            data = data[: self._left_bytes]
            self._left_bytes -= len(data)
        data = self._rest + data
        facts = self._begin()
        size = self._frame_bytes
        whole = len(data) - len(data) % size
        facts += [self._record(data[at : at + size]) for at in range(0, whole, size)]
        self._rest = data[whole:]
        return facts

    def end(self, reason: Reason, *, missing: Reason | None = None) -> list[Timed]:
        """Return what is left, and the end; with `missing`, behind a gap: the file goes on, unread."""
        facts = self._begin()
        cut = len(self._rest) % self._head.block_bytes
        if missing is None:
            whole = self._rest[: len(self._rest) - cut]
            facts += [self._record(whole)] if whole else []
            self._findings.cut_off_bytes = max(0, self._left_bytes) + cut
        else:
            gap = GapMark(_KEY, FrameKind.GAP, missing, self._samples, self._missing_samples())
            facts.append(Timed(self._at_s(), gap))
        facts.append(Timed(self._at_s(), SessionClosed(_KEY, reason, self._samples, ClosedBy.LOCAL)))
        return facts

    def _begin(self) -> list[Timed]:
        if self._opened:
            return []
        self._opened = True
        wanted, head = self._wanted, self._head
        self._findings.sessions += 1
        info = SessionInfo(
            conversation_id=wanted.conversation or wanted.name,
            source_name=SOURCE_NAME,
            organisation=wanted.organisation,
            queue=wanted.queue,
            agent=wanted.agent,
            correlation_id=wanted.import_id,
        )
        opened = SessionOpened(
            _KEY, info, Source.WAV, head.sample_rate_hz, head.codec, self._channels, states_pauses=False
        )
        return [Timed(self._at_s(), opened)]

    def _at_s(self) -> float:
        return self._wanted.began_s + self._samples / self._head.sample_rate_hz

    def _missing_samples(self) -> int:
        left = self._left_bytes
        return -1 if left < 0 else (left + len(self._rest)) // self._head.block_bytes

    def _record(self, payload: bytes) -> Timed:
        """Return a record. It was there when its last sample was."""
        head, position = self._head, self._samples
        samples = len(payload) // head.block_bytes
        self._samples += samples
        self._findings.packets += 1
        self._findings.audio_bytes += len(payload)
        at_s = self._at_s()
        self._findings.see(at_s)
        audio = AudioReceived(_KEY, payload, head.codec, self._channels, head.sample_rate_hz, position, samples)
        return Timed(at_s, audio)
