"""Two numbered streams of a call, one of each side, have in common what two channels of one stream have."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.session import IDLE_MS
from processors.silence.logic import SilenceProcessor
from processors.silence.tuning import Override
from schemas.records import ActivityWindow, SilenceEvent
from schemas.symbols import ActivityKind, Channel, Channels, FrameKind, Reason, SilenceEventKind, Source
from tests.processors.driving import assert_any_polls_are_the_same, assert_restarts_change_nothing
from tests.processors.silence.calls import BY_LEVEL, LOUD, QUIET, Call, Run, log_of, run
from tests.processors.silence.test_ordering import Numbered, S, talking

Break = Callable[[Call], object]
SIDES = ((Channels.EXTERNAL, 7), (Channels.INTERNAL, 8))


def sides(seed: int) -> tuple[bytes, bytes]:
    """What both say, equally long and up to five seconds, with a second of quiet behind it."""
    external, internal = talking(seed), talking(seed + 1)
    size = min(len(external), len(internal), 5 * S) // 320 * 320
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


@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread_us=st.sampled_from([0, 99_000]),
    between=st.sampled_from([lambda _: None, paused, cut]),
)
def test_two_streams_have_in_common_what_two_channels_of_one_stream_have(seed, spread_us, between):
    assert facts(run(two_streams(seed, spread_us, between))) == facts(run(one_stream(seed, between)))


@settings(deadline=None, max_examples=6)
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


def both(call: Numbered, external: bytes, internal: bytes, **fields) -> Numbered:
    """Both sides at once, each in a stream of its own; `fields` are those of the internal side's packets."""
    position, following, packets = call.position, call.following, []
    for (side, stream), audio in zip(SIDES, (external, internal), strict=True):
        call.position, call.following, call.channels = position, following, side
        packets += [replace(one, **fields) if stream == 8 else one for one in call.talk(audio, stream=stream).packets]
        call.packets = []
    call.packets = sorted(packets, key=lambda one: one.captured_at_s)
    return call.arrive()


def test_totals_of_other_channels_are_told_beside_a_pair():
    call = both(Numbered().open(), LOUD[: 2 * S], LOUD[: 2 * S])
    call.channels = Channels.MIXED
    totals = run(call.talk(LOUD[:S], stream=7).arrive().close()).totals
    assert [total.channel for total in totals] == [Channel.EXTERNAL, Channel.MIXED, Channel.INTERNAL]


def test_a_stream_that_holds_both_sides_has_its_own_facts():
    call = both(Numbered().open(), LOUD[: 2 * S], LOUD[: 2 * S])
    call.channels = Channels.EXTERNAL_INTERNAL
    together(call, QUIET[: 5 * S // 2], LOUD[: 5 * S // 2])
    total = next(t for t in run(call.close()).totals if t.channel is Channel.EXTERNAL and t.start_samples > 0)
    assert (total.overtalk_ms, total.dead_air_ms, total.talk_share_ratio) == (0, 0, 0)


def test_numbers_nobody_can_have_make_no_pair():
    call = Numbered(bits=5).open().talk(LOUD[: 2 * S]).arrive().close()
    assert run(call, poll=1).state.pairs == {}
    assert run(call, poll=1).found == run(call).found


@pytest.mark.parametrize(("jump", "responses"), [(0, 1), (80, 0)])
def test_nobody_answers_across_a_break_at_which_no_span_ends(jump, responses):
    call = Numbered().open()
    packets = call.talk(LOUD[:S] + QUIET[: 2 * S]).packets
    call.packets, call.position, call.following, call.channels = [], 8000, 500, Channels.INTERNAL
    packets += call.talk(LOUD[:960], stream=8).packets
    call.packets, call.position = [], call.position + jump
    packets += call.talk(LOUD[: 2 * S], stream=8).packets
    call.packets = sorted(packets, key=lambda one: one.captured_at_s)
    assert len(run(call.arrive()).spans(SilenceEventKind.RESPONSE)) == responses


def test_sides_of_different_rates_are_compared_by_time():
    call = Numbered().open()
    at_8, at_16 = LOUD[:S] + QUIET[:S], QUIET[:S] + LOUD[: 3 * S // 2]
    packets = []
    for (side, stream), audio, rate_hz in zip(SIDES, (at_8 + QUIET[: 4 * S], at_16), (8000, 16_000), strict=True):
        call.position, call.following, call.channels = 0, 500, side
        call.fields["sample_rate_hz"] = rate_hz
        packets += call.talk(audio if rate_hz == 8000 else doubled(audio + QUIET[: 7 * S // 2]), stream=stream).packets
        call.packets = []
    call.packets = sorted(packets, key=lambda one: one.position_samples / one.sample_rate_hz)
    found = run(call.arrive())
    both_have = [e for e in found.events if e.channel is Channel.ALL or e.kind is SilenceEventKind.RESPONSE]
    assert [(e.kind.value, e.start_samples / e.sample_rate_hz, e.duration_ms) for e in both_have] == [
        ("RESPONSE", 1, 0),
        ("DEAD_AIR_STARTED", 2.5, -1),
    ]


def doubled(audio: bytes) -> bytes:
    """The same at twice the rate."""
    return np.repeat(np.frombuffer(audio, "<i2"), 2).tobytes()


def test_totals_of_a_side_count_nothing_twice():
    call = both(Numbered().open(), LOUD[: 2 * S] + QUIET[: 4 * S], LOUD[: 2 * S] + QUIET[: 4 * S])
    position = call.position
    call.position, call.channels = 2 * position, Channels.EXTERNAL
    call.fields["sample_rate_hz"] = 16_000
    call.talk(QUIET[: 4 * S], stream=7).arrive()
    call.position, call.channels = position, Channels.INTERNAL
    call.fields["sample_rate_hz"] = 8000
    totals = run(call.talk(QUIET[: 2 * S], stream=8).arrive().close()).totals
    assert [(t.channel.value, t.sample_rate_hz, t.overtalk_ms) for t in totals] == [
        ("EXTERNAL", 8000, 2000),
        ("EXTERNAL", 16_000, 0),
        ("INTERNAL", 8000, 2000),
    ]


def test_a_side_whose_totals_are_told_by_audio_that_goes_on_is_still_here():
    call = Numbered().open().talk(QUIET[:S]).arrive()
    call.position, call.fields["sample_rate_hz"] = 2 * call.position, 16_000
    call.talk(LOUD[: 5 * S], 2 * S).arrive()
    call.position, call.following, call.channels, call.fields["sample_rate_hz"] = 8000, 500, Channels.INTERNAL, 8000
    call.talk(LOUD[: 5 * S // 2] + QUIET[: S // 2], stream=8).arrive()
    assert run(call.close()).totals[-1].overtalk_ms == 2500


def test_thresholds_of_a_former_session_count_for_no_pair():
    slow = Override("o", None, replace(BY_LEVEL, min_silence_ms=900))
    former = Call(number=1).open(organisation="o").say(LOUD[:S]).close()
    call = Numbered()
    call.sequence, call.channels = 5, Channels.INTERNAL
    call.talk(LOUD * 3, stream=8).arrive()

    def after(*calls: Call) -> bytes:
        found = Run(SilenceProcessor(replace(BY_LEVEL, overrides=(slow,)))).feed(log_of(*calls))
        found.processor.expire(IDLE_MS + 1000, found.state, [].append)
        found.feed(log_of(call))
        return found.processor.snapshot(found.state)

    assert after(former) == after()
