"""A worker nobody touches, fed with new calls for as long as a run lasts: does its memory grow?"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from runtime.config import KafkaSettings
from runtime.kafka import KafkaError, start_producer, stop_quietly
from tests.faults.call_log import START_MS, Row, create_input, create_outputs
from tests.faults.fleet import Fleet, Member
from tests.faults.processors_under_test import OUTPUTS
from tests.faults.schedule import Timing

TOPIC = "veteran.audio"
ROWS_PER_S = 400
BEAT_S = 0.5
WARM_S = 60
"""What it needs to get going is not growth."""
LOOK_S = 5
_SESSION_ID = slice(32, 48)
_ROUND = slice(32, 36)


def renewed(row: Row, turn: int, span_ms: int) -> Row:
    """The same record as one of another call, later."""
    key, value, timestamp_ms = row
    if len(value) > _SESSION_ID.stop and any(value[_SESSION_ID]):
        value = value[: _ROUND.start] + turn.to_bytes(4, "big") + value[_ROUND.stop :]
    return key, value, timestamp_ms + turn * span_ms


class Veteran:
    """The worker and what it has grown by since it was warm."""

    def __init__(self, fleet: Fleet, records: Sequence[Sequence[Row]]) -> None:
        self.member: Member = fleet.start()
        self.fed = 0
        self.seconds = 0.0
        self._records = records
        self._fleet = fleet

    @property
    def growth_mb(self) -> float:
        return self.member.last_rss_mb - self.member.first_rss_mb

    async def measure(self) -> None:
        """Look at its memory until cancelled; raise when it ends."""
        await asyncio.sleep(WARM_S)
        while True:
            assert not self._fleet.deserters(), self._fleet.deserters()
            self.member.measure()
            await asyncio.sleep(LOOK_S)
            self.seconds += LOOK_S

    async def feed(self, kafka: KafkaSettings) -> None:
        """Write the log again and again, as new calls each time, until cancelled."""
        producer = await start_producer(kafka, client_id="veteran")
        rows = [(number, row) for number, records in enumerate(self._records) for row in records]
        rows.sort(key=lambda item: item[1][2])
        span_ms = rows[-1][1][2] - START_MS + 1_000
        turn, some = 1, round(ROWS_PER_S * BEAT_S)
        try:
            while True:
                for start in range(0, len(rows), some):
                    for number, row in rows[start : start + some]:
                        key, value, timestamp_ms = renewed(row, turn, span_ms)
                        # a client that waits for room longer than it may has taken nothing: an outage
                        with suppress(KafkaError):
                            await producer.send(
                                TOPIC, key=key, value=value, partition=number, timestamp_ms=timestamp_ms
                            )
                    self.fed += len(rows[start : start + some])
                    await asyncio.sleep(BEAT_S)
                turn += 1
        finally:
            await stop_quietly(producer)


@asynccontextmanager
async def veteran(servers: str, records: Sequence[Sequence[Row]], folder: Path) -> AsyncIterator[Veteran]:
    """Keep one going beside whatever is done in the block."""
    kafka = KafkaSettings(bootstrap_servers=servers, topic_prefix="replay.veteran.")
    await create_input(kafka, TOPIC, len(records))
    await create_outputs(kafka, OUTPUTS["silence"])
    (folder / "veteran").mkdir()
    fleet = Fleet(kafka, TOPIC, "silence", Timing(session_ms=10_000), False, folder / "veteran")
    fleet.set_pace(0)
    try:
        old = Veteran(fleet, records)
        async with asyncio.TaskGroup() as beside:
            tasks = [beside.create_task(old.measure()), beside.create_task(old.feed(kafka))]
            try:
                yield old
            finally:
                for task in tasks:
                    task.cancel()
        await fleet.leave_all()
    finally:
        fleet.end()
