import pytest

from callstream.replay.recording_stage import RecordingStage, remove_everything
from runtime.errors import ConfigError
from schemas.records import RecordingEvent
from schemas.topics import RECORDINGS
from sinks.recording_sync.config import RecordingSyncSettings
from tests.sinks.recording_sync.calls import OTHER, SESSION, STORE, Call

PLACE = "replay.one"


@pytest.fixture
def settings(tmp_path):
    return RecordingSyncSettings(store_url=str(tmp_path / "store"), work_folder=tmp_path / "work")


def calls():
    """Two calls, the first over before the second begins."""
    log = []
    Call(log, SESSION, "first").open().audio(3).close()
    cut = len(log)
    Call(log, OTHER, "second").open().audio(3).close()
    return log, cut


async def events(stage, log, cut):
    await stage.begin([(3, 0)])
    found = await stage.take(3, log[:cut], keep=False) + await stage.take(3, log[cut:], keep=True)
    assert all(output.topic == RECORDINGS.name for output in found)
    return [STORE.decode(output.value, RecordingEvent) for output in found]


def stored(settings):
    root = settings.work_folder.parent / "store"
    return sorted(path.suffix for path in root.rglob("*") if path.is_file())


async def test_only_recordings_of_the_stretch_are_stored_and_announced(settings):
    stage = RecordingStage(settings, STORE, PLACE, lambda _: True)
    (event,) = await events(stage, *calls())
    assert event.conversation_id == "second"
    assert stored(settings) == [".json", ".wav"]
    assert (settings.work_folder.parent / "store" / PLACE / event.location).exists()
    await stage.end(kept=True)
    assert not (settings.work_folder / PLACE).exists()
    assert stored(settings) == [".json", ".wav"]
    remove_everything(settings, PLACE)
    assert stored(settings) == []


async def test_recordings_nobody_keeps_go_with_the_replay(settings):
    stage = RecordingStage(settings, STORE, PLACE, lambda _: True)
    await events(stage, *calls())
    await stage.end(kept=False)
    assert stored(settings) == []
    assert not (settings.work_folder / PLACE).exists()


async def test_other_conversations_are_not_stored(settings):
    stage = RecordingStage(settings, STORE, PLACE, lambda key: key == b"first")
    log, _ = calls()
    await stage.begin([(3, 0)])
    (output,) = await stage.take(3, log, keep=True)
    assert output.key == b"first"
    assert len(stored(settings)) == 2
    await stage.end(kept=False)


async def test_records_that_are_no_frames_are_dead_letters(settings):
    log, _ = calls()
    stage = RecordingStage(settings, STORE, PLACE, lambda _: True)
    await stage.begin([(3, 0)])
    bad = type(log[0])(log[0].offset, log[0].timestamp, b"k", b"garbage")
    (letter,) = await stage.take(3, [bad], keep=True)
    assert (letter.topic, letter.key, letter.value) == ("recording-sync.dlq", b"k", b"garbage")
    assert await stage.take(3, [bad], keep=False) == []
    await stage.end(kept=False)


async def test_a_stage_that_never_began_has_nothing_to_end(settings):
    stage = RecordingStage(settings, STORE, PLACE, lambda _: True)
    await stage.end(kept=False)
    assert await stage.take(3, calls()[0], keep=True) == []


async def test_a_folder_that_cannot_be_used_is_said(settings):
    settings.work_folder.write_text("a file")
    stage = RecordingStage(settings, STORE, PLACE, lambda _: True)
    with pytest.raises(ConfigError, match="RECORDING_SYNC_WORK_FOLDER"):
        await stage.begin([(3, 0)])
