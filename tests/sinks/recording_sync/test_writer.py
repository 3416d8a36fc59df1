import json

import pytest

from runtime.errors import ConfigError, Unavailable
from schemas.symbols import FrameKind, Reason
from sinks.recording_sync.logic import Recorder, Rules
from tests.sinks.recording_sync.calls import OTHER, PARTITION, SESSION, STORE, Call, Crash, Desk, record


@pytest.fixture
def log():
    """Two calls with everything in them, one of which is still open at the end."""
    records = []
    first, second = Call(records).open(), Call(records, OTHER, "other").open()
    first.audio(9)
    second.audio(4)
    first.skip(FrameKind.DISCARDED, Reason.SOURCE_DISCARD, 4000).audio(5)
    second.pause(1600).audio(6)
    first.position += 800
    first.audio(4).close()
    second.audio(5).skip(FrameKind.DISCARDED, Reason.SOURCE_DISCARD, 401).close()
    Call(records, bytes(range(32, 48)), "third").open().audio(3)
    return records


def steps_of_a_run() -> list[tuple[str, int]]:
    """Each step, and which time it comes, in a run over the log above in steps of seven."""
    return [(step, count) for step in ("data", "mark", "clean") for count in range(1, 8)] + [
        (step, count) for step in ("wav", "sidecar", "event") for count in (1, 2)
    ]


class CrashAt:
    def __init__(self, step: str, count: int) -> None:
        self.step, self.left = step, count

    def __call__(self, step: str) -> None:
        self.left -= step == self.step
        if step == self.step and self.left == 0:
            raise Crash


@pytest.mark.parametrize(("step", "count"), steps_of_a_run())
async def test_a_crash_before_any_step_changes_no_byte_and_repeats_no_recording(step, count, log, tmp_path):
    undisturbed = await record(tmp_path / "undisturbed", log, size=7)
    desk = Desk(tmp_path / "crashed")
    with pytest.raises(Crash):
        await desk.run(log, before_step=CrashAt(step, count))
    await desk.run(log)
    assert desk.found() == undisturbed.found()
    assert len(desk.found()) == 4
    assert set(desk.events.ids) == set(undisturbed.events.ids)
    assert {repr(event) for event in desk.events.written} == {repr(event) for event in undisturbed.events.written}


async def test_a_crash_between_write_and_sync_is_repaired_when_the_bytes_are_written_again(log, tmp_path):
    undisturbed = await record(tmp_path / "undisturbed", log)
    desk = Desk(tmp_path / "torn")
    with pytest.raises(Crash):
        await desk.run(log, before_step=CrashAt("mark", 3))
    folder = tmp_path / "torn" / "work" / "calls.audio-3"
    vouched_for = Recorder(PARTITION, STORE, Rules(), json.loads((folder / "mark.json").read_text())["state"]).files()
    torn = 0
    for name, least in vouched_for.items():
        content = (folder / f"{name}.wav").read_bytes()
        (folder / f"{name}.wav").write_bytes(content[:least] + b"\x55" * (len(content) - least))
        torn += len(content) - least
    assert torn > 0
    with pytest.raises(Crash):
        await desk.run(log, size=3, before_step=CrashAt("clean", 2))
    await desk.run(log)
    assert desk.found() == undisturbed.found()


async def test_work_files_are_gone_once_the_mark_says_so_and_open_ones_stay(log, tmp_path):
    desk = await record(tmp_path, log)
    names = sorted(path.name for path in (tmp_path / "work" / "calls.audio-3").iterdir())
    assert names == ["20212223-2425-2627-2829-2a2b2c2d2e2f.wav", "lock", "mark.json"]
    assert json.loads((tmp_path / "work" / "calls.audio-3" / "mark.json").read_text())["next_offset"] == len(log)
    assert len(desk.found()) == 4


async def test_everything_on_disk_is_readable_by_its_owner_only(log, tmp_path):
    await record(tmp_path, log)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (tmp_path / "work" / "calls.audio-3").stat().st_mode & 0o077 == 0


async def test_an_event_that_could_not_be_written_is_tried_again_with_the_same_bytes(log, tmp_path):
    desk = Desk(tmp_path)
    desk.events.failures = 1
    sink = desk.sink()
    await sink.marks([PARTITION])
    plan = sink.plan(PARTITION, log)
    with pytest.raises(Unavailable):
        await sink.write(plan.entries, {PARTITION: len(log)})
    assert not (tmp_path / "work" / "calls.audio-3" / "mark.json").exists()
    await sink.write(plan.entries, {PARTITION: len(log)})
    await sink.release([PARTITION])
    assert len(desk.events.written) == 2
    assert desk.found() == (await record(tmp_path / "other", log)).found()


async def test_a_second_process_waits_until_the_first_gives_the_partition_back(log, tmp_path):
    desk = Desk(tmp_path)
    first, second = desk.sink(), desk.sink()
    await first.marks([PARTITION])
    with pytest.raises(Unavailable, match="held by another process"):
        await second.marks([PARTITION])
    plan = first.plan(PARTITION, log[:20])
    await first.write(plan.entries, {PARTITION: 20})
    await first.release([PARTITION])
    assert await second.marks([PARTITION]) == {PARTITION: 20}
    await second.release([PARTITION])


async def test_many_open_sessions_share_few_open_files(tmp_path):
    log = []
    calls = [Call(log, bytes([number] * 16), f"call {number}").open() for number in range(1, 13)]
    for _ in range(3):
        for call in calls:
            call.audio(1)
    for call in calls:
        call.close()
    desk = Desk(tmp_path)
    await desk.run(log, size=11, most_open_files=4)
    assert [desk.samples(call.session) == bytes(call.truth) for call in calls] == [True] * 12


async def test_a_mark_whose_files_are_gone_stops_with_the_folder_named(log, tmp_path):
    desk = Desk(tmp_path)
    await desk.run(log[:10])
    for path in (tmp_path / "work").rglob("*.wav"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigError, match=r"RECORDING_SYNC_WORK_FOLDER: .*calls\.audio-3.*shorter than its mark"):
        await desk.run(log)


@pytest.mark.parametrize("mark", ["", "{}", '{"version": 2}', '{"version": 1, "next_offset": 3, "state": "{}"}'])
async def test_a_mark_that_cannot_be_read_stops_with_the_folder_named(mark, tmp_path):
    desk = Desk(tmp_path)
    await desk.run([])
    (tmp_path / "work" / "calls.audio-3" / "mark.json").write_text(mark)
    with pytest.raises(ConfigError, match=r"calls\.audio-3.*its mark cannot be read"):
        await desk.run([])


async def test_a_full_disk_is_tried_again(log, tmp_path, monkeypatch):
    desk = Desk(tmp_path)
    sink = desk.sink()
    await sink.marks([PARTITION])
    plan = sink.plan(PARTITION, log)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("sinks.recording_sync.work_folder.os.pwrite", full)
        with pytest.raises(Unavailable, match="No space left"):
            await sink.write(plan.entries, {PARTITION: len(log)})
    await sink.write(plan.entries, {PARTITION: len(log)})
    await sink.release([PARTITION])
    assert len(desk.samples(SESSION)) == 2 * desk.sidecar()["end_samples"]
