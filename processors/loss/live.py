"""The live metrics of calls.loss: what the reports say, counted as they are emitted. The processor itself stays pure.

Reports that are written again after a failed commit count again: exact numbers are those of the topic.
"""

from processors.loss.logic import LossProcessor
from processors.loss.state import LossState
from runtime import metrics
from runtime.processor import Batch, Emit, ExpireEmit
from schemas.records import Derived, LossReport
from schemas.symbols import Channel, LossReportKind

_ALARMS = {LossReportKind.ALARM_RAISED: "raised", LossReportKind.ALARM_CLEARED: "cleared"}


class MeteredLoss(LossProcessor):
    """The same processor; whatever it emits is counted."""

    def process(self, batch: Batch, state: LossState, emit: Emit) -> None:
        """Take the batch, and count what is emitted."""

        def counted(row: int, record: Derived) -> None:
            count(record)
            emit(row, record)

        super().process(batch, state, counted)

    def expire(self, stream_time_ms: int, state: LossState, emit: ExpireEmit) -> None:
        """Let stream time pass, and count what is emitted."""

        def counted(record: Derived) -> None:
            count(record)
            emit(record)

        super().expire(stream_time_ms, state, counted)


def count(record: Derived) -> None:
    """Count a report or an alarm. Labels are symbols of the contract: no call is told from another."""
    if not isinstance(record, LossReport):
        return
    labels = (record.source.value, record.codec.value, record.channel.value)
    if record.kind in _ALARMS:
        metrics.LOSS_ALARMS.labels(record.source.value, record.alarm.value, _ALARMS[record.kind]).inc()
    if record.kind is not LossReportKind.WINDOW:
        return
    own = record.channel is not Channel.ALL or record.gap_density_ratio >= 0  # sums over streams would count twice
    if record.duplicates >= 0 and own:
        metrics.LOSS_EXPECTED_PACKETS.labels(*labels).inc(record.expected)
        metrics.LOSS_LOST_PACKETS.labels(*labels).inc(record.lost)
        metrics.LOSS_LATE_PACKETS.labels(*labels).inc(record.late)
        metrics.LOSS_REORDERED_PACKETS.labels(*labels).inc(record.reordered)
        metrics.LOSS_DUPLICATE_PACKETS.labels(*labels).inc(record.duplicates)
    for what, value_ms in (
        ("discarded", record.discarded_ms),
        ("paused", record.paused_ms),
        ("reconnect", record.reconnect_ms),
        ("dropped", record.dropped_ms),
        ("stalled", record.stall_ms),
    ):
        if value_ms > 0:
            metrics.LOSS_MEDIA_SECONDS.labels(*labels, what).inc(value_ms / 1000)
    if record.jitter_ms >= 0:
        metrics.LOSS_JITTER_SECONDS.labels(*labels).observe(record.jitter_ms / 1000)
    if record.delay_p95_ms >= 0:
        metrics.LOSS_DELAY_SECONDS.labels(*labels).observe(record.delay_p95_ms / 1000)
