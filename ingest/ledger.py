"""What the sessions of one connection came to: metrics, and a line in the log at the end of each."""

from dataclasses import dataclass

from ingest.protocol import AudioReceived, Observation, Observed, SessionClosed, SessionOpened
from runtime.clock import Clock
from runtime.log import Logger
from runtime.metrics import INGEST_DRIFT_SAMPLES, INGEST_ENDED, INGEST_OBSERVED, INGEST_SESSIONS
from schemas.symbols import Codec, Reason


@dataclass(slots=True)
class _Account:
    opened_s: float
    conversation: str
    correlation: str | None
    frames: int = 0
    received_bytes: int = 0
    drift_samples: int = 0


class Ledger:
    """The accounts of the sessions that are open, by key."""

    def __init__(self, source_name: str, clock: Clock, log: Logger) -> None:
        self._source = source_name
        self._clock = clock
        self._log = log
        self._accounts: dict[str, _Account] = {}

    @property
    def open(self) -> tuple[str, ...]:
        """The keys of the sessions that are open."""
        return tuple(self._accounts)

    def opened(self, fact: SessionOpened, session_id: str | None) -> None:
        """Take a session that has begun; where its audio is not analysed, say so."""
        if fact.key in self._accounts:
            return
        INGEST_SESSIONS.labels(self._source).inc()
        info = fact.info
        self._accounts[fact.key] = _Account(self._clock.monotonic_s(), info.conversation_id, info.correlation_id)
        if fact.codec is Codec.OPUS:
            self._log.warning(
                "the audio of a session is stored as it comes, but not analysed",
                source=self._source,
                session=session_id,
                conversation=info.conversation_id,
                cause=fact.codec.lower(),
            )

    def heard(self, audio: AudioReceived) -> None:
        """Take a message of audio."""
        account = self._accounts.get(audio.key)
        if account is not None:
            account.frames += 1
            account.received_bytes += len(audio.payload)

    def observe(self, observed: Observed) -> None:
        """Count what a protocol noticed; where it names a defect, log it."""
        if observed.what is Observation.DRIFT_SAMPLES:
            account = self._accounts.get(observed.key)
            if account is not None:
                INGEST_DRIFT_SAMPLES.labels(self._source).inc(abs(observed.amount - account.drift_samples))
                account.drift_samples = observed.amount
            return
        INGEST_OBSERVED.labels(self._source, observed.what.value).inc(observed.amount)
        if observed.detail:
            account = self._accounts.get(observed.key)
            self._log.warning(
                "a peer broke its protocol",
                source=self._source,
                reason=observed.what.value,
                defect=observed.detail,
                correlation=observed.correlation,
                conversation=None if account is None else account.conversation,
            )

    def closed(self, fact: SessionClosed, session_id: str | None) -> None:
        """Take the end of a session."""
        account = self._accounts.pop(fact.key, None)
        if account is None:
            return
        INGEST_SESSIONS.labels(self._source).dec()
        INGEST_ENDED.labels(self._source, fact.reason.lower()).inc()
        write = self._log.info if fact.reason in (Reason.END, Reason.DRAIN) else self._log.warning
        write(
            "a session ended",
            source=self._source,
            session=session_id,
            conversation=account.conversation,
            correlation=account.correlation,
            reason=fact.reason.lower(),
            close_code=fact.code,
            seconds=round(self._clock.monotonic_s() - account.opened_s, 3),
            media_frames=account.frames,
            media_bytes=account.received_bytes,
            position_samples=fact.position_samples,
            drift_samples=account.drift_samples,
        )
