"""A capture through `callstream import`, a real broker and the loss service, as tshark and the truth have it."""

import asyncio
import uuid
from pathlib import Path

import pytest

from callstream.topics_command import apply_catalogue
from processors.loss.config import LossSettings, tuning
from processors.loss.logic import LossProcessor
from runtime.config import KafkaSettings
from runtime.service import Service, run
from runtime.worker import run_tasks
from schemas.codec import SchemaStore
from schemas.records import LossReport
from schemas.symbols import LossReportKind
from schemas.topics import AUDIO, LOSS
from tests.captures.scenarios import NAMES
from tests.integration.test_import import DEADLINE_S, PARTITIONS, Command, read
from tests.oracle.tshark import answers, capture, made

pytestmark = pytest.mark.kafka
STORE = SchemaStore()
CHOSEN = ("jitter_reordered", "two_ssrcs", "loss_across_wrap", "dynamic_type")
"""Captures tshark is right about, jitter and all."""


@pytest.fixture
async def settings(kafka: str) -> KafkaSettings:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    await apply_catalogue(settings, PARTITIONS)
    return settings


async def finals(settings: KafkaSettings) -> dict[tuple[str, int], LossReport]:
    """The final reports of streams that calls.loss holds, by conversation and SSRC."""
    found = [STORE.decode(record.value, LossReport) for record in await read(settings, LOSS.name)]
    return {
        (one.conversation_id, one.stream): one for one in found if one.kind is LossReportKind.FINAL and one.stream >= 0
    }


async def reported(settings: KafkaSettings, streams: int) -> dict[tuple[str, int], LossReport]:
    """Run the loss service until it has reported so many streams."""
    begun: asyncio.Future[Service[LossSettings]] = asyncio.get_running_loop().create_future()

    async def begin(service: Service[LossSettings]) -> None:
        begun.set_result(service)
        processor = LossProcessor(tuning(service.settings))
        processor.input_topic = f"{settings.topic_prefix}{AUDIO.name}"
        await run_tasks(service, processor, outputs=[LOSS.name])

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run("loss", LossSettings(kafka=settings), begin, signals=False))
        service = await begun
        async with asyncio.timeout(DEADLINE_S):
            while len(found := await finals(settings)) < streams:
                await asyncio.sleep(0.2)
        service.stopping.set()
        assert await running == 0
    return found


async def test_the_reports_on_the_topic_are_what_tshark_says_of_the_file(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    assert set(CHOSEN) <= set(NAMES)
    said = answers()
    for name in CHOSEN:
        found = made(name)
        types = [
            part for number, text in found.payload_types.items() for part in ("--payload-type", f"{number}={text}")
        ]
        code, _, errors = await Command(settings, capture(found, tmp_path), "--conversation", name, *types).run()
        assert code == 0, errors
    expected = {(name, ssrc): stream for name in CHOSEN for ssrc, stream in said[name].streams.items()}
    ours = await reported(settings, len(expected))
    assert {
        key: (one.expected, one.received, one.lost_signed, f"{one.jitter_mean_ms:.3f}", f"{one.jitter_max_ms:.3f}")
        for key, one in ours.items()
    } == {
        key: (one.expected, one.packets, one.lost, one.jitter_mean_ms, one.jitter_max_ms)
        for key, one in expected.items()
    }
