"""A frozen owner that comes back: a plain transaction over the group's offsets repeats its work, ours does not."""

import asyncio
import uuid
from pathlib import Path

import pytest

from runtime.config import KafkaSettings
from runtime.kafka import KafkaError, start_admin
from tests.faults import orders
from tests.faults.call_log import InputLog, create_outputs, rows, undisturbed, write
from tests.faults.fleet import SLOWEST_US, Fleet
from tests.faults.processors_under_test import OUTPUTS, processor
from tests.faults.schedule import Timing
from tests.faults.verdict import Verdict, compare

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

DEADLINE_S = 150
TIMING = Timing(session_ms=1_500)
ENGINE, PLAIN = "tests.faults.chaos_worker", "tests.faults.plain_worker"
UNFENCED = "tests.faults.unfenced_worker"


@pytest.fixture
async def log(kafka: str) -> InputLog:
    records = rows(calls=20, frames=2_000)
    topic = f"audio.{uuid.uuid4().hex}"
    await write(KafkaSettings(bootstrap_servers=kafka), topic, records)
    return undisturbed(topic, "mirror", processor("mirror", topic), records)


async def processed(kafka: KafkaSettings) -> list[int]:
    """The group's committed offset of each partition: outputs behind an open transaction cannot be seen."""
    admin = await start_admin(kafka, client_id="faults")
    try:
        offsets = await admin.list_consumer_group_offsets(f"{kafka.topic_prefix}silence")
    except KafkaError:
        # the group's coordinator is being made
        return []
    finally:
        await admin.close()
    found = {tp.partition: entry.offset for tp, entry in offsets.items()}
    return [found[number] for number in sorted(found)]


async def zombie(kafka: str, log: InputLog, module: str, step: str, folder: Path) -> Verdict:
    """Freeze the only worker before a step of a commit, let another do all the work, then let the first go on."""
    name = f"{module.rpartition('.')[2]}-{step}".replace("_", "-")
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{name}-{uuid.uuid4().hex[:8]}.")
    (folder / name).mkdir()
    await create_outputs(settings, OUTPUTS["mirror"])
    fleet = Fleet(settings, log.topic, "mirror", TIMING, False, folder / name, module)
    # nobody is to be through before the order to freeze is out
    fleet.set_pace(SLOWEST_US)
    try:
        async with asyncio.timeout(DEADLINE_S):
            first = fleet.start()
            while not any(offset > 0 for offset in await processed(settings)):
                await asyncio.sleep(0.05)
            orders.give(first.orders, "freeze", step)
            while not first.stopped:
                await asyncio.sleep(0.02)
            first.frozen = True
            fleet.start()
            fleet.set_pace(0)
            while await processed(settings) != log.ends:
                assert not fleet.deserters()
                await asyncio.sleep(0.1)
            fleet.thaw(first)
            await fleet.leave_all()
        return await compare(settings, log, states=module == ENGINE)
    finally:
        fleet.end()


@pytest.mark.parametrize("step", ["offsets", "commit"])
async def test_a_zombie_repeats_its_work_on_plain_transactions_and_not_on_ours(
    kafka: str, log: InputLog, tmp_path: Path, step: str
) -> None:
    async with asyncio.TaskGroup() as group:
        plain = group.create_task(zombie(kafka, log, PLAIN, step, tmp_path))
        ours = group.create_task(zombie(kafka, log, ENGINE, step, tmp_path))
    assert plain.result().repeated > 0
    assert not plain.result().lost
    assert ours.result() == Verdict(lost=0, repeated=0, disordered=0, wrong_states=0)


async def test_a_zombie_repeats_its_work_on_the_engine_without_its_fence(
    kafka: str, log: InputLog, tmp_path: Path
) -> None:
    assert (await zombie(kafka, log, UNFENCED, "commit", tmp_path)).repeated > 0
