"""A worker as the client's own example of read-process-write has it: what the engine guards against.

A transactional id of its own, one transaction a poll over whatever was polled, and the group's offsets in it. Same
arguments as `chaos_worker`; it keeps no state, so only processors without any can be compared on it.
"""

import sys
import uuid
from pathlib import Path
from typing import Any

from runtime.checkpoint import Application
from runtime.kafka import start_consumer, start_producer
from runtime.service import main
from runtime.task import Task
from runtime.tuning import ProcessorSettings
from tests.faults.chaos_worker import fetch_little, slowed
from tests.faults.orders import obey


async def work(service: Any, processor: Any, orders: Path) -> None:
    """Read, process, write until told to stop."""
    kafka, host = service.settings.kafka, service.settings.task_host
    application = Application(processor.group, kafka.topic_prefix)
    group = application.application_id
    producer = await start_producer(
        kafka,
        client_id=group,
        transactional_id=f"{group}.{uuid.uuid4()}",
        transaction_timeout_ms=host.transaction_timeout_ms,
    )
    consumer = await start_consumer(
        kafka,
        client_id=group,
        group=group,
        topics=[processor.input_topic],
        auto_offset_reset="earliest",
        session_timeout_ms=host.session_timeout_ms,
        heartbeat_interval_ms=host.heartbeat_interval_ms,
    )
    try:
        while not service.stopping.is_set():
            batches = await consumer.getmany(timeout_ms=100, max_records=host.max_records)
            if not batches:
                continue
            obey(orders, "begin")
            async with producer.transaction():
                offsets = {}
                obey(orders, "outputs")
                for tp, records in batches.items():
                    task = Task(processor, service.store, tp.partition, None, records[0].offset)
                    task.step(records, {})
                    for output in task.outputs:
                        await producer.send(
                            application.topic(output.topic),
                            key=output.key,
                            value=output.value,
                            partition=tp.partition,
                            timestamp_ms=output.timestamp_ms,
                            headers=list(output.headers),
                        )
                    offsets[tp] = records[-1].offset + 1
                obey(orders, "offsets")
                await producer.send_offsets_to_transaction(offsets, group)
                obey(orders, "commit")
    finally:
        await consumer.stop()
        await producer.stop()


if __name__ == "__main__":
    topic, kind, orders, pace = sys.argv[1:]
    del sys.argv[1:]
    fetch_little()
    processor = slowed(kind, topic, Path(pace))
    main("silence", ProcessorSettings, lambda service: work(service, processor, Path(orders)))
