"""Whatever the log holds: outputs from any offset on are the live ones, though reading begins long after the log."""

import random
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from callstream.replay import look_back
from callstream.replay.compare import Comparison, Row, Scope
from callstream.replay.forward_stage import ForwardStage
from callstream.replay.look_back import sighting
from callstream.replay.recording_stage import RecordingStage
from callstream.replay.span import Wanted
from callstream.replay.spans import spans
from callstream.replay.task_stage import TaskStage
from processors.loss.logic import LossProcessor
from processors.silence.logic import SilenceProcessor
from processors.transcription.forward import Transcription
from runtime.errors import ConfigError
from runtime.kafka import TopicPartition
from schemas.topics import AUDIO, EVENTS, by_name, dead_letters
from sinks.recording_sync.config import RecordingSyncSettings
from tests.callstream.replay.logs import START_MS, STORE, Calls, Events, FakeReader

AUDIO_0 = TopicPartition(AUDIO.name, 0)
STAGES = {
    "silence": (lambda: TaskStage(SilenceProcessor(), STORE), Calls),
    "loss": (lambda: TaskStage(LossProcessor(), STORE), Calls),
    "transcription": (lambda: ForwardStage(Transcription(), STORE, ""), Events),
}


async def outputs(stage, log, warm, first, poll):
    """Everything a stage makes of the records from `first` on, when it is begun at `warm`."""
    await stage.begin([(0, warm)])
    found = []
    for low, high, keep in ((warm, first, False), (first, len(log), True)):
        for start in range(low, high, poll):
            found += await stage.take(0, log[start : min(start + poll, high)], keep=keep)
    await stage.end(kept=False)
    # order is that of each topic
    return sorted(found, key=lambda output: output.topic)


def since(found, first):
    """The outputs that inputs from `first` on caused."""
    kept = []
    for output in found:
        own = output.topic.endswith(".dlq")
        topic = dead_letters(output.topic.removesuffix(".dlq")) if own else by_name(output.topic)
        row = Row(0, output.key, output.timestamp_ms, output.value, output.headers)
        known = Comparison(topic, Scope({}, frozenset()), STORE).known(row)
        if known.place.offset >= first:
            kept.append(output)
    return kept


async def check_many(name, seeds):
    for seed in range(seeds):
        await check(name, seed)


async def check(name, seed):
    make, kind = STAGES[name]
    await check_stage(make, kind, seed)


async def check_stage(make, kind, seed):
    log, chance = kind(seed).log, random.Random(seed)
    topic = make().input_topic
    live = await outputs(make(), log, 0, 0, 137)
    for first in chance.sample(range(1, len(log)), 4):
        tp = TopicPartition(topic, 0)
        (span,) = await spans(FakeReader({tp: log}), topic, 1, Wanted(firsts=((0, first),)), STORE)
        assert span.warm <= span.first == first
        # compared here: where they differ, a report of how takes minutes
        same = await outputs(make(), log, span.warm, first, 190) == since(live, first)
        assert same, (seed, first, span.warm)


@pytest.mark.parametrize("name", STAGES)
@hypothesis_settings(max_examples=5)
@given(seed=st.integers(0, 10**9))
async def test_outputs_from_any_offset_on_are_those_of_the_whole_log(name, seed):
    await check(name, seed)


@hypothesis_settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
async def test_recordings_from_any_offset_on_have_the_digests_of_the_whole_log(tmp_path, seed):
    settings = RecordingSyncSettings(store_url=str(tmp_path / "store"), work_folder=tmp_path / "work")
    await check_stage(lambda: RecordingStage(settings, STORE, "replay.one", lambda _: True), Calls, seed)


async def test_most_of_a_long_log_is_not_read_for_it():
    log = Calls(1, 1600).log
    warms = []
    for first in range(900, 1600, 100):
        wanted = Wanted(firsts=((0, first),))
        (span,) = await spans(FakeReader({AUDIO_0: log}), AUDIO.name, 1, wanted, STORE)
        warms.append(span.warm)
    assert sum(warm > 0 for warm in warms) > len(warms) / 2, warms


@pytest.mark.parametrize(("constant", "value"), [("REMEMBERED_MS", 60_000), ("FIRST_STEP_MS", 2_000)])
async def test_looking_back_less_far_would_be_seen(monkeypatch, constant, value):
    monkeypatch.setattr(look_back, constant, value)
    monkeypatch.setattr(look_back, "MARGIN_MS", 0)
    monkeypatch.setattr(look_back, "REMEMBERED_MS", min(value, 60_000))
    with pytest.raises(AssertionError):
        await check_many("silence", 60)


async def test_a_stretch_by_time_begins_at_the_first_record_then_and_ends_before_the_other():
    log = Calls(1).log
    times = sorted({record.timestamp for record in log})
    begin, end = times[len(times) // 3], times[2 * len(times) // 3]
    (span,) = await spans(FakeReader({AUDIO_0: log}), AUDIO.name, 1, Wanted(begin, end), STORE)
    assert span.first == next(record.offset for record in log if record.timestamp >= begin)
    assert span.end == next(record.offset for record in log if record.timestamp >= end)
    assert span.first_ms == log[span.first].timestamp


async def test_partitions_without_a_record_in_the_stretch_have_no_span():
    tps = [TopicPartition(AUDIO.name, number) for number in range(3)]
    log = Calls(1).log
    reader = FakeReader({tps[0]: log, tps[1]: [], tps[2]: log[:5]})
    found = await spans(reader, AUDIO.name, 3, Wanted(from_ms=log[-1].timestamp), STORE)
    assert [span.partition for span in found] == [0]


async def test_for_a_session_whose_beginning_expired_the_log_is_read_from_its_beginning():
    log = Calls(5).log
    cut = next(index for index, record in enumerate(log) if index > 30 and record.value not in {None, b"garbage"})
    held = log[cut:]
    wanted = Wanted(firsts=((0, held[15].offset),))
    (span,) = await spans(FakeReader({AUDIO_0: held}), AUDIO.name, 1, wanted, STORE)
    assert span.warm == cut


@pytest.mark.parametrize("wanted", [((0, 10_000),), ((0, 0),), ((7, 40),)])
async def test_offsets_the_log_does_not_hold_are_refused(wanted):
    log = Calls(2).log[20:]
    with pytest.raises(ConfigError, match=r"calls\.audio/[07]"):
        await spans(FakeReader({AUDIO_0: log}), AUDIO.name, 1, Wanted(firsts=wanted), STORE)


async def test_inputs_of_components_without_state_are_read_from_their_first_record():
    tp = TopicPartition("calls.utterances", 0)
    log = Events(1).log
    (span,) = await spans(FakeReader({tp: log}), tp.topic, 1, Wanted(from_ms=START_MS + 60_000), STORE)
    assert span.warm == span.first > 0


async def test_transcription_reads_events():
    assert STAGES["transcription"][0]().input_topic == EVENTS.name


async def test_calls_whose_beginning_expired_are_told_as_partial_and_the_others_are_not():
    log = Calls(5).log
    held = log[31:]
    begun = sighting(AUDIO.name, [record.value for record in held], STORE)
    (span,) = await spans(FakeReader({AUDIO_0: held}), AUDIO.name, 1, Wanted(), STORE)
    stage = TaskStage(SilenceProcessor(), STORE)
    await stage.begin([(0, span.warm)])
    found = await stage.take(0, held, keep=True)
    events = [STORE.decode(one.value, by_name(one.topic).record) for one in found if not one.topic.endswith(".dlq")]
    partial = {UUID(event.session_id).bytes for event in events if event.partial}
    assert partial & (begun.seen - begun.begun)
    whole = {UUID(event.session_id).bytes for event in events if not event.partial}
    assert whole <= begun.begun
