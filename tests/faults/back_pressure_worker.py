"""What stands behind a slow broker or before a slow store.

`python -m tests.faults.back_pressure_worker ROLE TOPIC FOLDER`

ROLE `task` is the task host with silence, `sink` the sink host over a store in FOLDER that takes its time for each
record, and ten times as much while the file FOLDER/slow exists.
"""

import asyncio
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from runtime.config import Settings
from runtime.service import Service, main
from runtime.sink import Membership, Plan, SinkOptions, SourcePartition, SourceRecord
from runtime.sink_feed import run_sink
from runtime.tuning import ProcessorSettings
from runtime.worker import run_tasks
from tests.faults.processors_under_test import OUTPUTS, processor

SINK = "recording_sync"
RECORD_COST_S = 0.0001
SLOWNESS = 10
WAITING_RECORDS = 5_000


class SlowStore:
    """Keeps each write as one file with its marks; as slow as it is told to be."""

    group = SINK

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._slow = folder / "slow"
        self._marks: dict[SourcePartition, int] = {}

    async def marks(self, partitions: Collection[SourcePartition]) -> Mapping[SourcePartition, int]:
        return {partition: self._marks[partition] for partition in partitions if partition in self._marks}

    def plan(self, partition: SourcePartition, records: Sequence[SourceRecord]) -> Plan[bytes]:
        return Plan(tuple(record.value or b"" for record in records))

    async def write(self, entries: Sequence[bytes], marks: Mapping[SourcePartition, int]) -> None:
        for _ in entries[::100]:
            # looked at as it goes on, so that a store that recovers is fast at once
            await asyncio.sleep(100 * RECORD_COST_S * (SLOWNESS if self._slow.exists() else 1))
        self._marks.update(marks)
        await asyncio.to_thread(self._keep, b"".join(entries))

    async def release(self, partitions: Collection[SourcePartition]) -> None:
        """Forget nothing: another process never takes over here."""

    def _keep(self, data: bytes) -> None:
        (self._folder / "object").write_bytes(data)
        new = self._folder / "marks.new"
        new.write_text(json.dumps({str(partition.partition): mark for partition, mark in self._marks.items()}))
        new.replace(self._folder / "marks")


def run(role: str, topic: str, folder: Path) -> None:
    """Run until told to stop, and exit."""

    async def tasks(service: Service[ProcessorSettings]) -> None:
        await run_tasks(service, processor("silence", topic), outputs=OUTPUTS["silence"])

    async def sink(service: Service[Settings]) -> None:
        options = SinkOptions((topic,), Membership.GROUP, interval_s=0.2, waiting_records=WAITING_RECORDS)
        await run_sink(service, SlowStore(folder), options)

    if role == "task":
        main("silence", ProcessorSettings, tasks)
    else:
        main(SINK, Settings, sink)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    del sys.argv[1:]
    run(arguments[0], arguments[1], Path(arguments[2]))
