"""Two numbered streams of a call, one of each side, have in common what two channels of one stream have."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.session import IDLE_MS
from schemas.records import ActivityWindow, SilenceEvent
from schemas.symbols import ActivityKind, Channel, Channels, FrameKind, Reason, SilenceEventKind, Source
from tests.processors.driving import assert_any_polls_are_the_same, assert_restarts_change_nothing
from tests.processors.silence.calls import LOUD, QUIET, Call, Run, log_of, run
from tests.processors.silence.test_ordering import Numbered, S, talking

Break = Callable[[Call], object]
SIDES = ((Channels.EXTERNAL, 7), (Channels.INTERNAL, 8))


def sides(seed: int) -> tuple[bytes, bytes]:
    """What both say, equally long, with a second of quiet behind it."""
    external, internal = talking(seed), talking(seed + 1)
    size = min(len(external), len(internal)) // 320 * 320
    return external[:size] + QUIET[:S], internal[:size] + QUIET[:S]


def apart(call: Numbered, external: bytes, internal: bytes, dice: random.Random, spread_us: int) -> None:
    """Each side in a stream of its own, the packets of both in disorder."""
    position, following, packets = call.position, call.following, []
    for (side, stream), audio in zip(SIDES, (external, internal), strict=True):
        call.position, call.following, call.channels = position, following, side
        packets += call.talk(audio, stream=stream).packets
        call.packets = []
    call.packets = sorted(packets, key=lambda one: one.position_samples / 8000e-6 + dice.randrange(spread_us + 1))
    call.arrive()


def together(call: Call, external: bytes, internal: bytes) -> None:
    """Both sides in one stream of two channels."""
    both = np.stack([np.frombuffer(audio, "<i2") for audio in (external, internal)], axis=1)
    call.say(both.tobytes(), 640)


def two_streams(seed: int, spread_us: int = 0, between: Break = lambda _: None) -> Call:
    call, dice = Numbered().open(), random.Random(seed)
    apart(call, *sides(seed), dice, spread_us)
    between(call)
    apart(call, *sides(seed + 9), dice, spread_us)
    return call.close()


def one_stream(seed: int, between: Break = lambda _: None) -> Call:
    call = Call(channels=Channels.EXTERNAL_INTERNAL, source=Source.MEDIA_STREAMS).open()
    together(call, *sides(seed))
    between(call)
    together(call, *sides(seed + 9))
    return call.close()


def facts(found: Run) -> tuple[list[tuple], list[tuple]]:
    """Events and totals, without what tells how the audio came."""
    events = [
        (e.kind.value, e.channel.value, e.start_samples, e.end_samples, e.duration_ms, e.ended_by, e.alarm, e.detector)
        for e in found.events
    ]
    totals = [
        (t.channel, t.overtalk_ms, t.dead_air_ms, t.interruptions, t.responses, t.response_mean_ms, t.talk_share_ratio)
        for t in found.totals
    ]
    return sorted(events), totals


def paused(call: Call) -> None:
    call.mark(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE)
    call.mark(FrameKind.RESUMED, 16_000, reason=Reason.SECURE_PAUSE)


def cut(call: Call) -> None:
    call.mark(FrameKind.GAP, 8000, reason=Reason.RECONNECT)


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread_us=st.sampled_from([0, 99_000]),
    between=st.sampled_from([lambda _: None, paused, cut]),
)
def test_two_streams_have_in_common_what_two_channels_of_one_stream_have(seed, spread_us, between):
    assert facts(run(two_streams(seed, spread_us, between))) == facts(run(one_stream(seed, between)))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), poll=st.sampled_from([1, 7, 60]))
def test_what_they_have_in_common_depends_on_no_poll_and_no_restart(seed, poll):
    log = log_of(two_streams(seed, 99_000, paused))
    assert_any_polls_are_the_same(Run, log, poll)
    assert_restarts_change_nothing(Run, log, poll)


def test_dead_air_is_announced_and_alarmed_while_it_lasts():
    call = Numbered().open()
    apart(call, LOUD[:S] + bytes(12 * S), LOUD[:S] + bytes(12 * S), random.Random(1), 0)
    told = [(e.kind, e.start_samples, e.alarm, e.captured_at_us) for e in run(call).events if e.channel is Channel.ALL]
    started = SilenceEventKind.DEAD_AIR_STARTED
    assert [(kind, start, alarm) for kind, start, alarm, _ in told] == [
        (SilenceEventKind.OVERTALK_STARTED, 0, False),
        (SilenceEventKind.OVERTALK, 0, False),
        (started, 8000, False),
        (started, 8000, True),
    ]
    since_us = 1_700_000_001_000_000
    late_s = [(at_us - since_us) / 1e6 - least_s for (*_, at_us), least_s in zip(told[2:], (2, 8), strict=True)]
    assert max(late_s) < 1.5


def test_a_side_that_falls_silent_for_good_holds_nothing_back_for_ever():
    call = Numbered().open()
    apart(call, LOUD[:S], LOUD[:S], random.Random(1), 0)
    call.channels = Channels.EXTERNAL
    for _ in range(30):
        call.talk(LOUD[:S] + QUIET[: S // 2], stream=7).arrive()
    found = run(call)
    assert len(found.state.pairs[0].numbers()) < 200
    assert run(call, poll=1).found == found.found
    assert found.events[-1].channel is Channel.EXTERNAL


def test_a_stream_of_one_side_alone_has_nothing_in_common_with_anyone():
    call = Numbered().open().talk(LOUD[:S] + bytes(5 * S) + LOUD[:S]).arrive()
    assert not [event for event in run(call).events if event.channel is Channel.ALL]
    total = run(call.close()).totals[0]
    assert (total.channel, total.dead_air_ms, total.overtalk_ms, total.interruptions) == (Channel.EXTERNAL, 0, 0, -1)
    assert run(call).state.pairs == {}


@pytest.mark.parametrize("poll", [1, 10_000])
def test_what_both_have_in_common_ends_with_a_session_that_lost_its_ingest(poll):
    call = Numbered().open()
    apart(call, bytes(4 * S), bytes(4 * S), random.Random(1), 0)
    found = run(call, poll=poll)
    ended: list[SilenceEvent | ActivityWindow] = []
    found.processor.expire(IDLE_MS + 1000, found.state, ended.append)
    dead = [r for r in ended if isinstance(r, SilenceEvent) and r.kind is SilenceEventKind.DEAD_AIR]
    assert [(one.start_samples, one.end_samples, one.ended_by.value) for one in dead] == [(0, 32_000, "IDLE")]
    totals = [r for r in ended if isinstance(r, ActivityWindow) and r.kind is ActivityKind.TOTAL]
    assert [(one.channel.value, one.dead_air_ms) for one in totals] == [("EXTERNAL", 4000), ("INTERNAL", 4000)]
    assert found.state.pairs == {}
