"""Transcription as the Forwarder hosts it: one `Partition` for each assigned partition, writes through the hands."""

from typing import Final, Literal

from processors.transcription.logic import Partition, Tuning, Work
from runtime import metrics
from runtime.errors import UsageError
from runtime.forwarding import Hands, Job, Received
from schemas.records import CallEvent
from schemas.topics import EVENTS, UTTERANCES

LOOKBACK_MS: Final = 40 * 60_000
"""A session is remembered for 15 minutes after its last record and 15 after its end; the rest is for outages."""


class Transcription:
    """The `Forward` of calls.utterances."""

    group = "transcription"
    outputs: tuple[str, ...] = (UTTERANCES.name,)
    first_start: Literal["earliest", "latest"] = "earliest"
    keeps_turns = False

    def __init__(
        self, tuning: Tuning | None = None, lookback_ms: int = LOOKBACK_MS, input_topic: str = EVENTS.name
    ) -> None:
        self.lookback_ms = lookback_ms
        self.input_topic = input_topic
        self._tuning = Tuning() if tuning is None else tuning
        self._partitions: dict[int, Partition] = {}

    def begin(self, partition: int) -> None:
        """Forget what was known about the partition."""
        self._partitions[partition] = Partition(self._tuning)

    def plan(self, received: Received) -> list[Job[Work]]:
        """Return the utterances of a record, by session. Raises `InvalidRecord` (see `Partition.plan`)."""
        if not isinstance(received.record, CallEvent):
            message = f"transcription reads {self.input_topic} alone"
            raise UsageError(message)
        jobs, noticed = self._partitions[received.partition].plan(received, received.record)
        for what in noticed:
            metrics.TRANSCRIPTION_OBSERVED.labels(what.value).inc()
        return jobs

    async def carry(self, job: Job[Work], hands: Hands) -> None:
        """Write the utterances of a job."""
        await hands.write(job.work)
        for utterance in job.work:
            metrics.TRANSCRIPTION_UTTERANCES.labels(utterance.kind.value, utterance.input.value).inc()
