"""Replays beside live services on a real broker: equal bytes, named differences, nothing touched, nothing left behind.

One broker and one log for the module: calls of several codecs with marks, repeats and garbage, processed live by the
real hosts; some of the calls run when the stretch that is replayed begins.
"""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from audio.frames import FrameEncoder
from callstream.embedded_kafka import EmbeddedKafka
from callstream.replay import topics
from callstream.replay.run import Order, replay
from callstream.replay.span import Wanted
from callstream.topics_command import apply_catalogue
from processors.loss.__main__ import start as start_loss
from processors.loss.config import LossSettings
from processors.silence.__main__ import start as start_silence
from processors.silence.config import SilenceSettings
from processors.transcription.__main__ import start as start_transcription
from processors.transcription.config import TranscriptionSettings
from runtime.config import KafkaSettings, RegistrySettings, child_environment, load, prefix_of
from runtime.errors import ConfigError, Unavailable
from runtime.kafka import Partitioner, TopicPartition, admin_client, start_consumer, start_producer
from runtime.service import run
from schemas.codec import SchemaStore
from schemas.records import AuditEvent, CallEvent, RecordingEvent, SessionInfo, SilenceEvent
from schemas.symbols import AuditAction, AuditOutcome, CallEventKind, Channel, Channels, Codec, FrameKind, Reason
from schemas.topics import ACTIVITY, AUDIO, AUDIT, EVENTS, LOSS, RECORDINGS, SILENCE, UTTERANCES, changelog
from sinks.recording_sync.__main__ import start as start_recording
from sinks.recording_sync.config import RecordingSyncSettings
from tests.kafka_fixture import CACHE_DIR
from tests.processors.silence.calls import Call
from tests.reading import read_committed

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

PARTITIONS = 4
DEADLINE_S = 90
STORE = SchemaStore()
ENCODER = FrameEncoder(STORE)
NO_REGISTRY = RegistrySettings()
SERVICES = {
    "silence": (SilenceSettings, start_silence),
    "loss": (LossSettings, start_loss),
    "recording_sync": (RecordingSyncSettings, start_recording),
    "transcription": (TranscriptionSettings, start_transcription),
}
INPUTS = {"transcription": EVENTS.name}
OUTPUTS = [SILENCE.name, ACTIVITY.name, LOSS.name, RECORDINGS.name, UTTERANCES.name]
KINDS = [
    (Codec.PCMU, Channels.EXTERNAL_INTERNAL),
    (Codec.L16_LE, Channels.EXTERNAL),
    (Codec.PCMA, Channels.INTERNAL),
    (Codec.OPUS, Channels.EXTERNAL),
]


@dataclass
class Heard:
    """What a replay told."""

    lines: list[str] = field(default_factory=list)
    done: int = 0
    total: int = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    def begin(self, what: str, total: int) -> None:
        self.total += total

    def advance(self, records: int) -> None:
        self.done += records


@dataclass
class Deployment:
    """A broker whose topics were processed live, and where the stretch to replay begins."""

    servers: str
    folder: Path
    from_ms: int = 0

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.servers)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "RECORDING_SYNC_STORE_URL": str(self.folder / "store"),
            "RECORDING_SYNC_WORK_FOLDER": str(self.folder / "work"),
            "RECORDING_SYNC_WRITE_INTERVAL_S": "0.05",
        }

    def order(self, *components: str, name: str, **more) -> Order:
        return Order(components, name, more.pop("wanted", Wanted(from_ms=self.from_ms)), **more)


def said(number: int, chance: random.Random) -> Call:
    """A call of two halves, with a discard, a pause and speech that comes and goes."""
    codec, channels = KINDS[number % len(KINDS)]
    call = Call(number, codec, channels)
    call.open(organisation="org", queue=f"queue {number % 3}")
    for _ in range(5):
        # an Opus frame is 20 ms whatever it weighs
        loud = chance.random() < 0.6
        call.say(chance.randbytes(160 * call.width * 40) if loud else b"\xff" * (160 * call.width * 60), 320)
        if chance.random() < 0.5:
            call.mark(FrameKind.DISCARDED, 4000, reason=Reason.SOURCE_DISCARD)
        if chance.random() < 0.3:
            call.mark(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE)
            call.mark(FrameKind.RESUMED, 8000, reason=Reason.SECURE_PAUSE)
    call.close(reason=Reason.END)
    return call


def mixed(waiting: list[tuple[bytes, list[bytes]]], chance: random.Random) -> list[tuple[bytes, bytes]]:
    """Each call's records in order, merged at random, some twice, with garbage between."""
    merged: list[tuple[bytes, bytes]] = []
    waiting = [(key, list(values)) for key, values in waiting]
    while any(values for _, values in waiting):
        key, values = chance.choice([item for item in waiting if item[1]])
        count = chance.randint(1, 20)
        run_of = [(key, value) for value in values[:count]]
        del values[:count]
        merged += run_of
        if chance.random() < 0.05:
            merged += run_of[-3:]
        if chance.random() < 0.03:
            merged.append((key, chance.randbytes(chance.randrange(1, 200))))
    return merged


def halves() -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
    """What is appended before the stretch begins, and in it."""
    chance = random.Random(4)
    calls = [said(number, chance) for number in range(10)]
    values = [(call.key, [ENCODER.encode(frame) for frame in call.frames]) for call in calls]
    # 0 to 3 run when the stretch begins, 4 and 5 are over, the others open in it
    early = [(key, rows[: len(rows) // 2]) for key, rows in values[:4]] + values[4:6]
    late = [(key, rows[len(rows) // 2 :]) for key, rows in values[:4]] + values[6:]
    return mixed(early, chance), mixed(late, chance)


def pressed(number: int) -> list[tuple[bytes, bytes]]:
    """The events of a call in which keys are pressed."""
    call = Call(number)
    base = CallEvent(
        kind=CallEventKind.DTMF,
        conversation_id=call.key.decode(),
        session_id=f"0192f0c4-7a11-7cc3-98c4-dc0c0c0739{number:02x}",
        channel=Channel.EXTERNAL,
    )
    opened = replace(base, kind=CallEventKind.OPENED, session_info=SessionInfo(conversation_id=base.conversation_id))
    events = [opened, *(replace(base, digit=str(digit % 10)) for digit in range(12))]
    events.append(replace(base, kind=CallEventKind.CLOSED, reason=Reason.END))
    return [(call.key, STORE.encode(replace(event, event_counter=at))) for at, event in enumerate(events)]


async def append(kafka: KafkaSettings, topic: str, entries: list[tuple[bytes, bytes]]) -> list[int]:
    """Append entries; return the broker's timestamps."""
    producer = await start_producer(kafka, client_id="test")
    partitioner = Partitioner(PARTITIONS)
    sent = [
        await producer.send(topic, key=key, value=value, partition=partitioner.partition(key)) for key, value in entries
    ]
    stored = [await future for future in sent]
    await producer.stop()
    return [row.timestamp for row in stored]


async def ends(kafka: KafkaSettings, topic: str) -> dict[TopicPartition, int]:
    consumer = await start_consumer(kafka, client_id="test")
    found = await consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
    await consumer.stop()
    return dict(found)


async def committed(kafka: KafkaSettings, group: str) -> dict[TopicPartition, int]:
    # a young broker has no coordinator yet
    with contextlib.suppress(Unavailable):
        async with admin_client(kafka, "test") as admin:
            return {tp: place.offset for tp, place in (await admin.list_consumer_group_offsets(group)).items()}
    return {}


@contextlib.asynccontextmanager
async def live(deployment: Deployment, *names: str):
    """The real services in this loop; leaving the block stops them as SIGTERM would and demands exit code 0."""
    services = []

    async def serve(name: str) -> None:
        settings_type, start = SERVICES[name]
        settings = load(settings_type, prefix_of(name), environ=deployment.variables, env_file=None)

        async def begin(service) -> None:
            services.append(service)
            await start(service)

        assert await run(name, settings, begin, signals=False) == 0

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(serve(name))
        try:
            yield
        finally:
            for service in services:
                service.stopping.set()


async def caught_up(deployment: Deployment, *names: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        for name in names:
            wanted = await ends(deployment.kafka, INPUTS.get(name, AUDIO.name))
            while True:
                at = await committed(deployment.kafka, name)
                if all(at.get(tp, 0) >= end for tp, end in wanted.items()):
                    break
                await asyncio.sleep(0.1)


async def prepare(deployment: Deployment) -> None:
    """Append and process everything live."""
    kafka = deployment.kafka
    await apply_catalogue(kafka, PARTITIONS)
    early, late = halves()
    events = [pressed(number) for number in range(6)]
    before = await append(kafka, AUDIO.name, early)
    before += await append(kafka, EVENTS.name, [row for call in events[:3] for row in call[:6]])
    after: list[int] = []
    while not after or min(after) <= max(before):
        # garbage until the broker's clock has moved on
        after = await append(kafka, AUDIO.name, [(f"nobody {number}".encode(), b"?") for number in range(20)])
    deployment.from_ms = min(after)
    await append(kafka, AUDIO.name, late)
    await append(kafka, EVENTS.name, [row for call in events[:3] for row in call[6:]])
    await append(kafka, EVENTS.name, [row for call in events[3:] for row in call])
    async with live(deployment, *SERVICES):
        await caught_up(deployment, *SERVICES)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replay")
    broker = EmbeddedKafka(folder / "kafka", cache_dir=CACHE_DIR)
    broker.start_sync()
    deployment = Deployment(broker.bootstrap_servers, folder)
    asyncio.run(prepare(deployment))
    yield deployment
    broker.stop_sync()


@pytest.fixture
def deployment(prepared, monkeypatch, tmp_path):
    """The deployment, with its variables in the environment and no `.env` in the way."""
    for name, value in prepared.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return prepared


async def replayed(deployment: Deployment, order: Order, kafka: KafkaSettings | None = None):
    heard = Heard()
    result = await replay(kafka or deployment.kafka, NO_REGISTRY, order, heard)
    assert heard.done == heard.total
    return result, heard.lines


async def left_behind(deployment: Deployment, name: str) -> list[str]:
    prefixed = deployment.kafka.model_copy(update={"topic_prefix": f"replay.{name}."})
    places = [folder / f"replay.{name}" for folder in (deployment.folder / "store", deployment.folder / "work")]
    return [*await topics.existing(prefixed), *(str(place) for place in places if place.exists())]


async def rows(kafka: KafkaSettings, name: str) -> list[list[tuple]]:
    found = await read_committed(kafka, name, PARTITIONS)
    return [[(record.key, record.timestamp, record.value) for record in partition] for partition in found]


async def test_a_mixed_topic_is_replayed_byte_for_byte(deployment):
    order = deployment.order("silence", "loss", "recording_sync", name="audit1", compare=True)
    result, lines = await replayed(deployment, order)
    assert result.equal, lines
    equal = [line for line in lines if "byte for byte" in line]
    assert [line.split(":")[0] for line in equal] == ["silence", "loss", "recording_sync"]
    assert all(" 4 sessions" in line and ": 0 outputs" not in line for line in equal), equal
    assert result.outputs[SILENCE.name] > 20
    assert result.outputs[RECORDINGS.name] >= 6
    assert await left_behind(deployment, "audit1") == []


async def test_the_calls_that_run_at_the_beginning_are_warmed_up_and_their_outputs_are_the_live_ones(deployment):
    await replayed(deployment, deployment.order("silence", "loss", name="kept", keep=True))
    try:
        for topic in (SILENCE.name, ACTIVITY.name, LOSS.name):
            theirs, ours = await rows(deployment.kafka, topic), await rows(deployment.kafka, f"replay.kept.{topic}")
            for left, right in zip(theirs, ours, strict=True):
                # the end of what live wrote, withheld outputs missing in front of it
                assert left[len(left) - len(right) :] == right
            assert 0 < sum(map(len, ours)) < sum(map(len, theirs))
    finally:
        await remove(deployment, "kept")


async def remove(deployment: Deployment, name: str) -> None:
    prefixed = deployment.kafka.model_copy(update={"topic_prefix": f"replay.{name}."})
    await topics.remove(prefixed, await topics.existing(prefixed))


async def test_live_processing_is_untouched(deployment):
    async def seen():
        names = [*OUTPUTS, changelog("silence").name, changelog("loss").name]
        return (
            {name: await rows(deployment.kafka, name) for name in names},
            {name: await committed(deployment.kafka, name) for name in SERVICES},
        )

    async with live(deployment, "silence", "loss"):
        await caught_up(deployment, "silence", "loss")
        before = await seen()
        result, lines = await replayed(deployment, deployment.order("silence", "loss", name="quiet", compare=True))
        assert result.equal, lines
        assert await seen() == before


async def test_settings_that_differ_are_named_before_bytes_that_do(deployment, monkeypatch):
    monkeypatch.setenv("SILENCE_MIN_SILENCE_MS", "400")
    result, lines = await replayed(deployment, deployment.order("silence", name="other", compare=True))
    assert result.equal is False
    settings, *_, first = (line for line in lines if line.startswith("silence: "))
    assert "settings differ: live " in settings
    assert " differs at calls.audio/" in first
    assert await left_behind(deployment, "other") == []


async def tampered(deployment: Deployment, name: str) -> tuple[KafkaSettings, SilenceEvent]:
    """Live outputs of silence under a prefix, but for one value; the group stands where live stands."""
    copy = deployment.kafka.model_copy(update={"topic_prefix": f"replay.{name}."})
    await apply_catalogue(copy, PARTITIONS)
    producer = await start_producer(copy, client_id="test")
    wrong = None
    for topic in (SILENCE.name, ACTIVITY.name, "silence.dlq"):
        for number, partition in enumerate(await read_committed(deployment.kafka, topic, PARTITIONS)):
            for record in partition:
                value = record.value
                if topic == SILENCE.name and record.timestamp >= deployment.from_ms and wrong is None:
                    event = STORE.decode(value, SilenceEvent)
                    if event.conversation_id in {f"conversation-{n}" for n in range(6, 10)}:
                        wrong = event
                        value = STORE.encode(replace(event, start_samples=event.start_samples + 1))
                await producer.send_and_wait(
                    copy.topic_prefix + topic,
                    value,
                    key=record.key,
                    partition=number,
                    timestamp_ms=record.timestamp,
                    headers=list(record.headers),
                )
    await producer.stop()
    at = await ends(deployment.kafka, AUDIO.name)
    consumer = await start_consumer(copy, client_id="test", group_id=f"{copy.topic_prefix}silence")
    consumer.assign(list(at))
    await consumer.commit(at)
    await consumer.stop()
    return copy, wrong


async def test_a_tampered_output_is_named_by_its_origin(deployment):
    copy, wrong = await tampered(deployment, "copy")
    try:
        order = deployment.order("silence", name="against-copy", compare=True)
        result, lines = await replayed(deployment, order, copy)
        assert result.equal is False
        (line,) = (line for line in lines if line.startswith("silence: "))
        place = f"calls.audio/{wrong.origin.partition}/{wrong.origin.offset}, output {wrong.origin.index}"
        assert line.startswith(f"silence: calls.silence differs at {place}: start_samples (live ")
        assert "(first of 1; " in line
    finally:
        await remove(deployment, "copy")


async def test_offsets_and_a_conversation_cut_what_is_written(deployment):
    (number,) = {Partitioner(PARTITIONS).partition(b"conversation-7")}
    wanted = Wanted(firsts=((number, 0),))
    order = deployment.order("silence", "loss", name="one", wanted=wanted, conversation="conversation-7", keep=True)
    result, _ = await replayed(deployment, order)
    try:
        assert result.records == (await ends(deployment.kafka, AUDIO.name))[TopicPartition(AUDIO.name, number)]
        for topic in (SILENCE.name, ACTIVITY.name):
            live_rows = await rows(deployment.kafka, topic)
            mine = [row for row in live_rows[number] if row[0] == b"conversation-7"]
            expected = [mine if at == number else [] for at in range(PARTITIONS)]
            assert await rows(deployment.kafka, f"replay.one.{topic}") == expected
    finally:
        await remove(deployment, "one")


async def test_recordings_are_rebuilt_beside_the_live_ones(deployment):
    order = deployment.order("recording_sync", name="again", keep=True, wanted=Wanted())
    await replayed(deployment, order)
    store = deployment.folder / "store"
    theirs = {p.relative_to(store): p.read_bytes() for p in store.rglob("*.wav") if "replay." not in str(p)}
    again = store / "replay.again"
    assert {p.relative_to(again): p.read_bytes() for p in again.rglob("*.wav")} == theirs
    assert len(theirs) >= 7
    assert not (deployment.folder / "work" / "replay.again").exists()
    found = await read_committed(deployment.kafka, "replay.again.calls.recordings", PARTITIONS)
    assert Counter(STORE.decode(record.value, RecordingEvent).sha512 for part in found for record in part)
    result = call("--remove", "--name", "again")
    assert result.returncode == 0, result.stderr
    assert await left_behind(deployment, "again") == []


async def test_transcription_is_replayed_byte_for_byte(deployment):
    result, lines = await replayed(deployment, deployment.order("transcription", name="words", compare=True))
    assert result.equal, lines
    assert result.outputs[UTTERANCES.name] > 30
    assert any("transcription: equal: " in line and " 3 sessions" in line for line in lines), lines


async def test_who_replayed_what_is_audited(deployment):
    await replayed(deployment, deployment.order("loss", name="told"))
    found = await read_committed(deployment.kafka, AUDIT.name, PARTITIONS)
    events = [STORE.decode(record.value, AuditEvent) for part in found for record in part]
    begun, done = sorted((e for e in events if e.object_id == "told"), key=lambda event: event.writer_sequence)
    assert (begun.action, begun.outcome, done.outcome) == (
        AuditAction.REPLAY,
        AuditOutcome.UNKNOWN,
        AuditOutcome.SUCCESS,
    )
    assert begun.details["components"] == "loss"
    assert int(done.details["records"]) > 0


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "callstream", "replay", *arguments],
        env=child_environment({"PYTHONPATH": str(Path(__file__).parents[2])}),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


async def test_the_command_compares_and_ends_with_0_or_1(deployment, monkeypatch):
    begin = ["--from-offset", "0:0", "--from-offset", "1:0", "--from-offset", "2:0", "--from-offset", "3:0"]
    good = call("silence", "--name", "typed", *begin, "--compare")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "silence: equal: " in good.stdout
    assert "replaying calls.audio: " in good.stdout
    monkeypatch.setenv("SILENCE_ON_DBFS", "-30")
    bad = call("silence", "--name", "typed", *begin, "--compare")
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert "settings differ" in bad.stdout
    assert await left_behind(deployment, "typed") == []


@contextlib.contextmanager
def half_way(name: str):
    """A replay that has written its outputs and waits for a live group that never comes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "callstream", "replay", "silence", "--name", name, "--compare"],
        env=child_environment({"PYTHONPATH": str(Path(__file__).parents[2]), "TOPIC_PREFIX": "replay.nobody."}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def written(deployment: Deployment, name: str) -> None:
    """Wait until a replay has written."""
    prefixed = deployment.kafka.model_copy(update={"topic_prefix": f"replay.{name}."})
    async with asyncio.timeout(DEADLINE_S):
        while f"replay.{name}.calls.silence" not in await topics.existing(prefixed) or not any(
            (await ends(prefixed, f"replay.{name}.calls.silence")).values()
        ):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interruption_leaves_nothing_behind(deployment, number):
    nobody = deployment.kafka.model_copy(update={"topic_prefix": "replay.nobody."})
    await apply_catalogue(nobody, PARTITIONS)
    with half_way("stopped") as process:
        await written(deployment, "stopped")
        process.send_signal(number)
        assert await asyncio.to_thread(process.wait, DEADLINE_S) == 130
        assert "nothing is left behind" in process.stdout.read()
    assert await left_behind(deployment, "stopped") == []


async def test_a_killed_replay_is_removed_by_name_and_started_again(deployment):
    await apply_catalogue(deployment.kafka.model_copy(update={"topic_prefix": "replay.nobody."}), PARTITIONS)
    with half_way("killed") as process:
        await written(deployment, "killed")
        process.kill()
    order = deployment.order("silence", name="killed", compare=True)
    with pytest.raises(ConfigError, match="callstream replay --remove --name killed"):
        await replayed(deployment, order)
    removed = call("--remove", "--name", "killed")
    assert removed.returncode == 0, removed.stderr
    assert "removed replay.killed.calls.silence" in removed.stdout
    result, lines = await replayed(deployment, order)
    assert result.equal, lines
