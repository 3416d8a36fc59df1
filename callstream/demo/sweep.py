"""Takes the scan through everything the demo left: all records of all topics, and all files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from callstream.demo.checks import Check
from callstream.demo.leak_scan import Scan, Sought, check_hidden, periodic, phrase
from runtime.config import KafkaSettings
from runtime.kafka import TopicPartition, partition_counts, start_consumer, stop_quietly, translated
from schemas.codec import SchemaStore
from schemas.errors import InvalidRecord
from schemas.topics import AUDIO, EVENTS, UTTERANCES, all_topics
from simulators.audiohook.demo_call import MARKER_DIGIT, MARKER_PERIOD, MARKER_TEXTS, demo, inputs
from simulators.audiohook.scenario import Frame

_CHUNK_BYTES = 2**20
_TEXT = {".json", ".jsonl", ".log", ".txt"}
_CONTROL_BYTES = 64
_LOGGED = "a session ended"
"""What ingest logs of each session."""

Starts = dict[TopicPartition, int]
"""Where the partitions of every topic ended when the demo began."""


async def ends(kafka: KafkaSettings) -> Starts:
    """Return where every partition of every topic of the catalogue ends now. Raises `Unavailable`."""
    counts = await partition_counts(kafka, [kafka.topic_prefix + topic.name for topic in all_topics()])
    partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    consumer = await start_consumer(kafka, client_id="callstream-demo")
    try:
        with translated():
            consumer.assign(partitions)  # so it asks for all topics at once
            return dict(await consumer.end_offsets(partitions))
    finally:
        await stop_quietly(consumer)


async def check_pause(kafka: KafkaSettings, starts: Starts, folder: Path, *, broker_files: bool) -> Check:
    """Look everywhere for what the demo's calls sent while paused; with `broker_files` Kafka's own lie in `folder`."""
    frame = max((step.payload for step in demo().steps() if isinstance(step, Frame)), key=lambda data: len(set(data)))
    hidden = [
        periodic("its sound", MARKER_PERIOD),
        Sought("its key", word=MARKER_DIGIT),
        *(phrase(f"its text {number}", text) for number, text in enumerate(MARKER_TEXTS, 1)),
    ]
    controls = [
        Sought("a frame of before", (frame[:_CONTROL_BYTES],)),
        Sought("a key of before", word="4"),
        phrase("a text of before", next(text for text in inputs(demo()) if len(text) > 1)),
    ]
    scan = await _swept(kafka, starts, folder, [*hidden, *controls])
    heard_in = [EVENTS.name, UTTERANCES.name]
    seen_in = [AUDIO.name, "recordings/", *(["kafka/"] if broker_files else [])]
    places = {"a frame of before": seen_in, "a key of before": heard_in, "a text of before": heard_in}
    return check_hidden(scan, [one.name for one in hidden], places)


async def check_secrets(
    kafka: KafkaSettings, starts: Starts, folder: Path, secrets: Mapping[str, str], conversation: str
) -> Check:
    """Look everywhere for tokens and secrets, by their names. One call's id shows that the scan sees."""
    hidden = [phrase(name, secret) for name, secret in secrets.items()]
    controls = [phrase("a call's id", conversation), phrase("an end", _LOGGED)]
    scan = await _swept(kafka, starts, folder, [*hidden, *controls])
    places = {"a call's id": [AUDIO.name, EVENTS.name, "recordings/"], "an end": ["logs/"]}
    return check_hidden(scan, list(secrets), places, f"{len(secrets)} tokens and secrets stand nowhere")


async def _swept(kafka: KafkaSettings, starts: Starts, folder: Path, sought: Sequence[Sought]) -> Scan:
    scan = Scan(sought)
    await _topics(kafka, starts, scan)
    sweep_files(folder, scan)
    return scan


def sweep_files(folder: Path, scan: Scan) -> None:
    """Look through every file below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            _file(path, str(path.relative_to(folder)), scan)


async def _topics(kafka: KafkaSettings, starts: Starts, scan: Scan) -> None:
    """Read every record since the start, those of aborted transactions too."""
    store, types = SchemaStore(), {topic.name: topic.record for topic in all_topics()}
    consumer = await start_consumer(kafka, client_id="callstream-demo", isolation_level="read_uncommitted")
    try:
        with translated():
            consumer.assign(list(starts))
            stops = await consumer.end_offsets(list(starts))
            for tp, offset in starts.items():
                consumer.seek(tp, offset)
            while any([await consumer.position(tp) < stop for tp, stop in stops.items()]):
                for tp, records in (await consumer.getmany(timeout_ms=100)).items():
                    topic = tp.topic.removeprefix(kafka.topic_prefix)
                    for record in records:
                        scan.count("records")
                        for data in (record.key, record.value, *(value for _, value in record.headers)):
                            scan.look(topic, data or b"")
                        _decoded(topic, record.value, types[topic], store, scan)
    finally:
        await stop_quietly(consumer)


def _decoded(topic: str, value: bytes | None, record_type: type | None, store: SchemaStore, scan: Scan) -> None:
    if record_type is None or value is None:
        return
    try:
        scan.record(topic, store.decode(value, record_type))
    except InvalidRecord:
        scan.count("unreadable records")


def _file(path: Path, where: str, scan: Scan) -> None:
    scan.count("files")
    is_text = path.suffix in _TEXT
    with path.open("rb", buffering=0) as file:
        for start, stop in _written(file.fileno(), path.stat().st_size):
            overlap = b""
            file.seek(start)
            while file.tell() < stop and (chunk := file.read(min(_CHUNK_BYTES, stop - file.tell()))):
                scan.look(where, overlap + chunk, text=is_text)
                overlap = chunk[-scan.longest :]


def _written(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Return the stretches of a file that were written: Kafka's indexes are mostly holes."""
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            return
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, at
