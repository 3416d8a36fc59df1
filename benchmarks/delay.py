"""From a frame's arrival to the window it closes in a reader's hand, through ingest's topic and the task host.

A producer writes stereo 20-ms frames in real time, silence runs as a process of its own, a read_committed reader takes
the windows. The delay of a window runs from `captured_at_us`, the arrival of the frame that closed it, to its receipt.
Claim: p99 ≤ 300 ms with 4 partitions. `./dev bench delay [calls] [seconds]`.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.rig import PARTITIONS, Calls, broker, result
from callstream.demo.services import ServiceProcess, free_port
from runtime.clock import SystemClock
from runtime.config import KafkaSettings
from runtime.http import HttpClient
from runtime.kafka import TopicPartition, start_consumer, start_producer
from schemas.records import ActivityWindow
from schemas.symbols import ActivityKind
from schemas.topics import ACTIVITY, AUDIO

FRAME_MS = 20
_WARM_UP_S = 3.0
_clock = SystemClock()


async def produce(kafka: KafkaSettings, calls: Calls, seconds: float) -> None:
    """Append each call's frames when they are due, one batch per partition and 20 ms."""
    producer = await start_producer(kafka, client_id="bench", max_batch_size=256 * 1024)
    began_s = _clock.monotonic_s()
    for number in range(round(seconds * 1000 / FRAME_MS)):
        await asyncio.sleep(max(0.0, began_s + number * FRAME_MS / 1000 - _clock.monotonic_s()))
        batches = {partition: producer.create_batch() for partition in range(PARTITIONS)}
        now_s = _clock.wall_s()
        for call, key in enumerate(calls.keys):
            batch = batches[calls.partitions[call]]
            if number == 0:
                batch.append(key=key, value=calls.opened(call, now_s), timestamp=None, headers=[])
            batch.append(key=key, value=calls.audio(call, number, now_s), timestamp=None, headers=[])
        for partition, batch in batches.items():
            if batch.record_count():
                await producer.send_batch(batch, AUDIO.name, partition=partition)
    await producer.flush()
    await producer.stop()


async def read(kafka: KafkaSettings, calls: Calls, delays_ms: list[float]) -> None:
    """Note the delay of every window, until cancelled."""
    consumer = await start_consumer(kafka, client_id="reader", auto_offset_reset="earliest", fetch_max_wait_ms=20)
    consumer.assign([TopicPartition(ACTIVITY.name, number) for number in range(PARTITIONS)])
    try:
        while True:
            for records in (await consumer.getmany(timeout_ms=20)).values():
                now_s = _clock.wall_s()
                for record in records:
                    window = calls.store.decode(record.value, ActivityWindow)
                    if window.kind is ActivityKind.WINDOW and window.start_samples >= _WARM_UP_S * 8000:
                        delays_ms.append(1000 * now_s - window.captured_at_us / 1000)
    finally:
        await consumer.stop()


async def main(count: int, seconds: float) -> None:
    """Run producer, silence and reader together, and print the percentiles."""
    calls = Calls(count, FRAME_MS)
    delays_ms: list[float] = []
    with tempfile.TemporaryDirectory(prefix="callstream-bench-") as folder:
        async with broker() as kafka, HttpClient("admin", timeout_s=2.0, any_status=True) as http:
            silence = ServiceProcess(
                module="processors.silence",
                variables={"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers},
                admin_port=free_port(),
                log=Path(folder) / "silence.log",
                folder=Path(folder),
            )
            silence.start()
            await silence.until_ready(http, 30)
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(read(kafka, calls, delays_ms))
                await produce(kafka, calls, seconds)
                await asyncio.sleep(1)
                reader.cancel()
            await silence.stop()
    delays_ms.sort()
    print(f"{len(delays_ms)} windows of {count} stereo calls at {FRAME_MS}-ms frames")
    p50, p99 = (delays_ms[int(len(delays_ms) * ratio)] for ratio in (0.5, 0.99))
    result("delay", p50_ms=round(p50), p99_ms=round(p99), max_ms=round(delays_ms[-1]), windows=len(delays_ms))


if __name__ == "__main__":
    numbers = [float(value) for value in sys.argv[1:]]
    count, seconds = numbers + [100.0, 20.0][len(numbers) :]
    asyncio.run(main(int(count), seconds))
