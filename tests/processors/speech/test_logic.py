"""A frame is copied if and only if it touches a span of calls.silence widened by the margin; every mark is."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.silence.tuning import Tuning
from processors.speech.logic import SpeechProcessor
from processors.speech.tuning import SpeechTuning
from runtime.errors import StateCorrupted
from schemas.records import AudioFrame
from schemas.symbols import Channels, Codec, FrameKind, Reason
from tests.processors.driving import interleaved
from tests.processors.silence.calls import ENCODER, QUIET, STORE, Call, log_of, sine
from tests.processors.silence.test_determinism import inform, jump, lose, mark, repeat, talk
from tests.processors.speech.calls import (
    LEVEL,
    Run,
    Spoken,
    babble,
    expected,
    known,
    packets,
    reordered,
    stereo_babble,
    value_of,
)

SECOND = 16_000
"""Bytes of a second of one channel."""
TUNINGS = st.builds(
    lambda margin_ms, min_speech_ms, min_silence_ms: SpeechTuning(
        Tuning(detector="level", min_speech_ms=min_speech_ms, min_silence_ms=min_silence_ms), margin_ms
    ),
    st.sampled_from((0, 20, 200, 450)),
    st.sampled_from((20, 100, 300)),
    st.sampled_from((20, 260, 700)),
)


def copied(call: Call, **fields) -> list[AudioFrame]:
    found = Run().feed(log_of(call)).values
    return [
        frame
        for frame in call.frames
        if value_of(frame) in found and all(getattr(frame, k) == v for k, v in fields.items())
    ]


def test_speech_passes_with_its_margins_and_silence_does_not() -> None:
    call = Call().open().say(QUIET[:SECOND]).say(sine(0.1, 8000)).say(QUIET[: 2 * SECOND]).close()
    audio = copied(call, kind=FrameKind.AUDIO)
    assert (audio[0].position_samples, audio[-1].position_samples) == (8000 - 1600, 16_000 + 1600 - 160)
    assert len(audio) == (8000 + 2 * 1600) / 160
    kinds = [frame.kind for frame in copied(call)]
    assert (kinds[0], kinds[-1]) == (FrameKind.OPENED, FrameKind.CLOSED)


def test_a_copy_has_the_key_and_the_bytes_of_the_record_and_comes_with_the_row_that_made_it_certain() -> None:
    call = Call().open().say(sine(0.1, 16_000))
    run = Run().feed(log_of(call))
    rows = [row for row, _ in run.found]
    held = (LEVEL.hold_ms + 19) // 20
    assert rows[:3] == [0, 1 + held, 2 + held]
    assert rows[-1] == len(call.frames) - 1
    assert [found.copy.key for _, found in run.found] == [call.key] * len(run.found)
    assert run.values == [value_of(frame) for frame in call.frames[: len(run.found)]]
    assert {found.copy.topic for _, found in run.found} == {"calls.speech"}


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), tuning=TUNINGS, frame=st.sampled_from((160, 320, 480, 3200)))
def test_a_frame_is_there_if_and_only_if_it_touches_a_widened_span(seed, tuning, frame) -> None:
    dice = random.Random(seed)
    call = Call().open().say(babble(dice, 7), frame)
    call.mark(FrameKind.GAP, dice.choice((4000, 8000))).say(babble(dice, 3), frame)
    call.mark(FrameKind.PAUSED).mark(FrameKind.RESUMED, 8000).say(babble(dice, 2), frame).close()
    log = log_of(call)
    assert Run(SpeechProcessor(tuning)).feed(log).values == expected(log, tuning)


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), layout=st.sampled_from((Channels.EXTERNAL_INTERNAL, Channels.INTERNAL_EXTERNAL)))
def test_of_two_channels_either_is_enough(seed, layout) -> None:
    dice = random.Random(seed)
    log = log_of(Call(channels=layout).open().say(stereo_babble(dice, 12), 640).close())
    assert Run().feed(log).values == expected(log)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_same_holds_for_packets_out_of_order_and_lost(seed) -> None:
    dice = random.Random(seed)
    payload = babble(dice, 12)
    lost = [index for index in range(600) if dice.random() < 0.03]
    call = reordered(dice, packets(0, payload, lost=lost)).close()
    log = log_of(call)
    assert sorted(Run().feed(log).values) == sorted(expected(log))


def test_each_numbered_side_is_judged_by_itself() -> None:
    dice = random.Random(7)
    sides = [
        packets(0, babble(dice, 10), channels=Channels.EXTERNAL),
        packets(0, babble(dice, 10), channels=Channels.INTERNAL),
    ]
    merged = [
        frame
        for pair in zip(sides[0].frames, [*sides[1].frames[1:], sides[1].frames[-1]], strict=True)
        for frame in pair
    ]
    call = Call().close()
    frames = [
        replace(frame, sequence=number, stream=7 + (frame.channels is Channels.INTERNAL))
        for number, frame in enumerate(merged[:-1])
    ]
    log = [(call.key, frame) for frame in (*frames, replace(call.frames[0], sequence=len(frames)))]
    assert Run().feed(log).values == expected(log)


ACTIONS = (*[talk] * 14, jump, lose, inform, repeat, mark, mark, mark)


def wild_call(dice: random.Random, number: int) -> Call:
    """Jumps forth and back, repeats, holes, marks of any kind, codecs by turns."""
    call = Call(
        number, dice.choice((Codec.PCMU, Codec.L16_LE)), dice.choice((Channels.EXTERNAL, Channels.EXTERNAL_INTERNAL))
    )
    call.open()
    for _ in range(dice.randint(1, 14)):
        dice.choice(ACTIONS)(dice, call)
        if dice.random() < 0.1:
            call.codec = dice.choice((Codec.PCMU, Codec.L16_LE, Codec.OPUS))
    return call.close() if dice.random() < 0.5 else call


def strays(dice: random.Random) -> Call:
    """Numbered packets of which some belong nowhere, and some come again much later."""
    call = reordered(dice, packets(0, babble(dice, 12), lost=[index for index in range(600) if dice.random() < 0.02]))
    for _ in range(4):
        at = dice.randrange(5, len(call.frames))
        old = call.frames[dice.randrange(1, at)]
        far = {
            "source_sequence": (old.source_sequence + 30_000) & 65_535,
            "position_samples": old.position_samples + 900_000,
        }
        burst = [replace(old, **far)] if dice.random() < 0.5 else call.frames[max(1, at - 300) : max(1, at - 300) + 40]
        call.frames[at:at] = burst
    call.frames[:] = [replace(frame, sequence=number) for number, frame in enumerate(call.frames)]
    return call


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), numbered=st.booleans())
def test_whatever_happens_nothing_that_touches_speech_is_left_out_and_all_else_is_in_order(seed, numbered) -> None:
    dice = random.Random(seed)
    log = log_of(strays(dice) if numbered else wild_call(dice, 0))
    # a margin ends at a mark, which the second pass does not know
    tuning = replace(LEVEL, margin_ms=200 if numbered else 0)
    run = Run(SpeechProcessor(tuning)).feed(log)
    run.expire(0)
    waiting = [held.value for session in run.state.sessions.values() for held in session.waiting]
    there = {*run.values, *waiting}
    spoken = Spoken(log, tuning)
    closed = next((at for at, (_, frame) in enumerate(log) if frame.kind is FrameKind.CLOSED), len(log))
    lost = [
        frame
        for _, frame in log[: closed + 1]
        if value_of(frame) not in there
        and (frame.kind is not FrameKind.AUDIO or not known(frame) or spoken.touches(frame))
    ]
    assert lost == []
    sequences = [STORE.decode(value, AudioFrame).sequence for value in run.values]
    assert sequences == sorted(set(sequences))


def test_audio_nobody_here_can_judge_passes_at_once() -> None:
    call = Call(codec=Codec.OPUS).open().say(bytes(3200)).mark(FrameKind.UNKNOWN)
    run = Run().feed(log_of(call))
    assert [row for row, _ in run.found] == list(range(len(call.frames)))


def test_repeats_and_records_behind_the_end_do_not_pass() -> None:
    call = Call().open().say(sine(0.1, 8000)).close(reason=Reason.END).say(sine(0.1, 800))
    log = log_of(call)
    again = [*log[:20], *log[:20], *log[20:]]
    whole = Run().feed(again).values
    assert whole == Run().feed(log).values == [value_of(frame) for frame in call.frames[:52]]


def test_ticks_pass_without_key_at_their_own_row() -> None:
    tick = ENCODER.encode(AudioFrame(kind=FrameKind.TICK))
    run = Run().feed([(None, tick), (b"x", b"garbage"), (None, tick)])
    assert [(row, found.copy.key, found.copy.value) for row, found in run.found] == [(0, None, tick), (2, None, tick)]


def test_marks_wait_behind_the_frames_in_front_of_them_and_a_second_sign_of_life_lets_both_go() -> None:
    call = Call().open().say(QUIET[:SECOND]).mark(FrameKind.ALIVE)
    run = Run().feed(log_of(call))
    assert [frame.kind for frame in call.frames if value_of(frame) in run.values] == [FrameKind.OPENED]
    call.mark(FrameKind.ALIVE)
    run.feed(log_of(call)[-1:])
    # what is not certain yet is copied
    assert len(run.values) == 1 + LEVEL.hold_ms // 20 + 2
    assert not run.state.sessions[call.frames[0].session_id].waiting


def test_an_idle_session_is_decided_when_it_expires() -> None:
    call = Call().open().say(QUIET[: 2 * SECOND]).say(sine(0.1, 800))
    run = Run().feed(log_of(call))
    found = run.expire(1000 + 15 * 60_000)
    assert [copy.value for copy in found] == [
        value_of(frame) for frame in call.frames if value_of(frame) in {c.value for c in found}
    ]
    assert len(found) == 5 + 10
    assert not run.state.sessions


def test_a_lane_that_falls_silent_does_not_hold_up_the_other() -> None:
    external = packets(0, QUIET[: 6 * SECOND], channels=Channels.EXTERNAL)
    inside = replace(external.frames[1], channels=Channels.INTERNAL, stream=9)
    frames = [
        replace(frame, sequence=number)
        for number, frame in enumerate([external.frames[0], inside, *external.frames[1:]])
    ]
    run = Run().feed([(external.key, frame) for frame in frames])
    assert value_of(frames[1]) in run.values
    (session,) = run.state.sessions.values()
    assert len(session.waiting) < 4 * LEVEL.hold_ms / 20


def test_what_waits_is_bounded() -> None:
    run = Run().feed(interleaved(random.Random(1), [Call(number).open().say(QUIET) for number in range(3)]))
    sizes = [sum(len(held.value) for held in session.waiting) for session in run.state.sessions.values()]
    assert max(sizes) < 20_000


def test_a_state_that_cannot_be_read_is_said_to_be_corrupted() -> None:
    processor = SpeechProcessor(LEVEL)
    run = Run(processor).feed(log_of(Call().open().say(sine(0.1, 8000))))
    snapshot = processor.snapshot(run.state)
    for bad in (b"", snapshot[:-1], snapshot + b"x"):
        with pytest.raises(StateCorrupted):
            processor.restore(processor.state_version, bad)
    with pytest.raises(StateCorrupted):
        processor.restore(99, snapshot)
