import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.numbers import NEVER_WRAPS
from audio.session import IDLE_MS
from schemas.records import ActivityWindow, AudioFrame, SilenceEvent
from schemas.symbols import ActivityKind, Channels, Codec, FrameKind, Reason, SilenceEventKind, Source
from tests.processors.driving import (
    assert_any_polls_are_the_same,
    assert_neighbours_change_nothing,
    assert_restarts_change_nothing,
    interleaved,
)
from tests.processors.silence.calls import LOUD, QUIET, Call, Run, run
from tests.processors.silence.test_determinism import random_call

FRAME = 160
FRAME_US = 20_000
WINDOW_US = 100_000
S = 16_000
"""Bytes of a second."""


class Numbered(Call):
    """A call whose packets have numbers. `arrive` puts them in the order they come."""

    def __init__(self, number: int = 0, bits: int = 16, first: int = 65_500, **fields):
        super().__init__(number, source=Source.MEDIA_STREAMS, **fields)
        self.bits = bits
        self.following = first
        self.packets: list[AudioFrame] = []

    def talk(self, payload: bytes, frame_bytes: int = 2 * FRAME, stream: int = 7) -> "Numbered":
        """Send audio; it arrives with `arrive`."""
        for start in range(0, len(payload), frame_bytes):
            part = payload[start : start + frame_bytes]
            self.packets.append(
                self.put(
                    FrameKind.AUDIO,
                    payload=part,
                    duration_samples=len(part) // self.width,
                    stream=stream,
                    source_sequence=self.following % 2**self.bits,
                    source_sequence_bits=self.bits,
                )
            )
            self.frames.pop()
            self.sequence -= 1
            self.following += 1
            self.position += len(part) // self.width
        return self

    def arrive(self, order: list[int] | None = None) -> "Numbered":
        """Let what was sent arrive, in this order (indices; some may be left out or stand twice)."""
        chosen = range(len(self.packets)) if order is None else order
        for index in chosen:
            self.frames.append(replace(self.packets[index], sequence=self.sequence))
            self.sequence += 1
        self.packets = []
        return self


def disordered(count: int, seed: int, window_us: int = WINDOW_US) -> list[int]:
    dice = random.Random(seed)
    return sorted(range(count), key=lambda index: index * FRAME_US + dice.randrange(window_us))


def talking(seed: int) -> bytes:
    dice = random.Random(seed)
    return b"".join((LOUD, QUIET)[dice.random() < 0.5][: dice.randrange(320, 3 * S, 2)] for _ in range(8))


def told(found: Run) -> tuple[list, list]:
    """Events and windows but for what is about records and arrival, not about audio."""
    own = {"captured_at_us": -1, "anchor_at_us": -1}
    windows = [r for _, r in found.found if isinstance(r, ActivityWindow)]
    return (
        [replace(event, **own) for event in found.events],
        [replace(window, **own, first_sequence=-1, last_sequence=-1) for window in windows],
    )


def ends(*calls: Call) -> list[tuple[str, float, float, float, int]]:
    """Channel, audio, speech and missing of each total, and its frames."""
    totals = [r for _, r in run(*calls).found if isinstance(r, ActivityWindow) and r.kind is ActivityKind.TOTAL]
    return [(t.channel.value, t.audio_ms, t.speech_ms, t.missing_ms, t.frames) for t in totals]


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.sampled_from([8, 16, 32, NEVER_WRAPS]),
    poll=st.sampled_from([1, 3, 50, 10_000]),
)
def test_packets_out_of_order_within_the_window_give_what_they_give_in_order(seed, bits, poll):
    audio = talking(seed)
    in_order = Numbered(bits=bits).open().talk(audio).arrive().close()
    call = Numbered(bits=bits).open().talk(audio)
    call.arrive(disordered(len(call.packets), seed)).close()
    assert told(run(call, poll=poll)) == told(run(in_order))


def test_disorder_beyond_the_window_is_a_gap():
    call = Numbered().open().talk(LOUD[: 2 * S])
    late = [index for index in range(100) if index != 40]
    late.insert(47, 40)
    found = run(call.arrive(late).close())
    assert found.totals[0].missing_ms == 20
    assert found.totals[0].frames == 100
    assert {span[4] for span in found.spans()} >= {"GAP"}


def test_a_lost_packet_is_missing_and_a_copy_adds_nothing():
    call = Numbered().open().talk(LOUD[: 2 * S])
    order = [index for index in range(100) if index != 40]
    order.insert(20, 20)
    order.insert(45, 43)
    assert ends(call.arrive(order).close()) == [("EXTERNAL", 1980.0, 1980.0, 20.0, 101)]


def test_a_copy_of_what_waits_is_not_analysed_before_it():
    call = Numbered().open().talk(LOUD[: 2 * S])
    order = [*range(40), 41, 41, 42, 40, *range(43, 100)]
    found = run(call.arrive(order).close())
    assert (found.totals[0].missing_ms, found.totals[0].audio_ms, found.totals[0].frames) == (0, 2000, 101)


def test_a_packet_with_a_number_from_nowhere_is_counted_only():
    call = Numbered().open().talk(LOUD[: 2 * S])
    call.packets[50] = replace(call.packets[50], source_sequence=9_999, position_samples=900_000)
    found = run(call.arrive().close())
    assert (found.totals[0].missing_ms, found.totals[0].audio_ms, found.totals[0].frames) == (20, 1980, 100)


def test_a_packet_without_a_place_is_left_out():
    call = Numbered().open().talk(LOUD[: 2 * S])
    call.packets[1] = replace(call.packets[1], position_samples=-1)
    found = run(call.arrive([0, *range(2, 100), 1]).close())
    assert (found.totals[0].audio_ms, found.totals[0].frames) == (1980, 99)


def test_a_late_packet_longer_than_all_audio_so_far_is_counted_only():
    call = Numbered(first=500).open().talk(LOUD[:160]).arrive().mark(FrameKind.GAP, 0, reason=Reason.RECONNECT)
    call.following = 499
    found = run(call.talk(LOUD[:320]).arrive().close(position_samples=-1))
    assert (found.totals[0].audio_ms, found.totals[0].frames) == (10, 2)


def test_a_refused_packet_of_another_codec_interrupts_nothing():
    def call(*order: int) -> Numbered:
        made = Numbered().open().talk(LOUD[: 2 * S])
        made.packets[40] = replace(made.packets[40], codec=Codec.COMFORT_NOISE, payload=b"\x3c", duration_samples=0)
        return made.arrive(list(order)).close()

    late = call(*range(40), *range(41, 60), 40, *range(60, 100))
    lost = call(*range(40), *range(41, 60), *range(60, 100))
    for poll in (1, 1000):
        assert [span[:4] for span in run(late, poll=poll).spans()] == [span[:4] for span in run(lost).spans()]
        assert run(late, poll=poll).totals[0].frames == 100


def test_what_waits_is_told_by_the_row_that_lets_it_go():
    call = Numbered().open().talk(LOUD[: S + 320]).arrive([*range(49), 50, 49])
    found = run(call)
    window = next(row for row, r in found.found if isinstance(r, ActivityWindow))
    assert window == 51, "the packet behind the second waits for the last one of it, which tells of it"
    assert found.windows[0].captured_at_us == round(call.frames[51].captured_at_s * 1e6)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (FrameKind.PAUSED, {"reason": Reason.SECURE_PAUSE}),
        (FrameKind.DISCARDED, {"reason": Reason.SOURCE_DISCARD}),
        (FrameKind.GAP, {"reason": Reason.RECONNECT}),
        (FrameKind.GAP, {"reason": Reason.RESTART}),
        (FrameKind.CLOSED, {"reason": Reason.END}),
    ],
)
def test_a_mark_lets_go_of_what_waits(kind, fields):
    call = Numbered().open().talk(LOUD[: 2 * S])
    call.arrive([*range(40), *range(41, 45)]).mark(kind, 0, **fields)
    found = run(call)
    assert not any(order.reorder.held for order in found.state.orders.by_slot.values())
    assert sum(window.frames for window in run(call.close()).totals) == 44


def test_a_restart_of_the_numbers_loses_nothing():
    call = Numbered(first=30_000).open().talk(LOUD[:S]).arrive()
    call.mark(FrameKind.GAP, 0, reason=Reason.RESTART)
    call.following = 17
    call.talk(LOUD[:S]).arrive([1, 0, *range(2, 50)])
    assert ends(call.close()) == [("EXTERNAL", 2000.0, 2000.0, 0.0, 100)]


def test_another_stream_of_the_session_does_not_wait_for_the_numbers_of_the_first():
    call = Numbered().open().talk(LOUD[:S]).arrive()
    call.following = 5
    call.talk(LOUD[:S], stream=8).arrive()
    found = run(call)
    assert found.state.orders.by_slot[0].stream == 8
    assert ends(call.close()) == [("EXTERNAL", 2000.0, 2000.0, 0.0, 100)]


def both_sides(seed: int = 1, spread_us: int = 0) -> tuple[Numbered, Numbered, Numbered]:
    """A session with a stream of each side, and each side as a session of its own."""
    external, internal = talking(seed), talking(seed + 1)
    alone = []
    for side, audio in ((Channels.EXTERNAL, external), (Channels.INTERNAL, internal)):
        alone.append(Numbered(channels=side).open().talk(audio).arrive().close())
    call = Numbered().open()
    packets = []
    for side, audio, stream in ((Channels.EXTERNAL, external, 7), (Channels.INTERNAL, internal, 8)):
        call.position, call.following, call.channels = 0, 65_500, side
        packets += call.talk(audio, stream=stream).packets
        call.packets = []
    dice = random.Random(seed)
    call.packets = sorted(packets, key=lambda one: one.position_samples / 8000e-6 + dice.randrange(spread_us + 1))
    call.arrive()
    call.position = max(int(one.position_samples + one.duration_samples) for one in packets)
    return call, *alone


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), spread_us=st.sampled_from([0, 99_000]), poll=st.sampled_from([1, 7, 10_000]))
def test_two_streams_of_a_session_are_each_what_they_are_alone(seed, spread_us, poll):
    call, external, internal = both_sides(seed, spread_us)
    # without a place the end moves no timeline on
    found = run(call.close(position_samples=-1), poll=poll)
    for alone, side in ((external, "EXTERNAL"), (internal, "INTERNAL")):
        mine = Run()
        mine.found = [(row, without_the_other(record)) for row, record in found.found if is_about(record, side)]
        assert told(mine) == told(run(alone))


def is_about(record: SilenceEvent | ActivityWindow, side: str) -> bool:
    return record.channel.value == side and record.kind is not SilenceEventKind.RESPONSE


def without_the_other(record: SilenceEvent | ActivityWindow) -> SilenceEvent | ActivityWindow:
    """A side's totals without what they say about both."""
    if record.kind is not ActivityKind.TOTAL:
        return record
    shared = {"interruptions": -1, "responses": -1, "response_mean_ms": -1, "talk_share_ratio": -1}
    return replace(record, **shared, overtalk_ms=0, dead_air_ms=0)


def test_a_mark_is_about_both_streams_of_a_session():
    call = Numbered().open()
    for side, stream in ((Channels.EXTERNAL, 7), (Channels.INTERNAL, 8)):
        call.position, call.following, call.channels = 0, 500, side
        call.talk(LOUD[:S], stream=stream)
    call.packets.sort(key=lambda one: one.position_samples)
    call.arrive().mark(FrameKind.PAUSED, -1, reason=Reason.SECURE_PAUSE).mark(FrameKind.RESUMED, 8000)
    found = run(call.close())
    assert {total.channel.value: (total.audio_ms, total.paused_ms) for total in found.totals} == {
        "EXTERNAL": (1000, 1000),
        "INTERNAL": (1000, 1000),
    }
    assert run(call, poll=1).found == found.found


def test_both_streams_of_a_session_that_lost_its_ingest_end():
    call, *_ = both_sides()
    found = run(call)
    ended = []
    found.processor.expire(IDLE_MS + 1000, found.state, ended.append)
    totals = [r.channel.value for r in ended if isinstance(r, ActivityWindow) and r.kind is ActivityKind.TOTAL]
    assert totals == ["EXTERNAL", "INTERNAL"]


def test_a_session_that_lost_its_ingest_ends_with_what_waited():
    call = Numbered().open().talk(LOUD[:S]).arrive([*range(40), *range(41, 45)])
    found = run(call)
    told = []
    found.processor.expire(IDLE_MS + 1000, found.state, told.append)
    total = next(r for r in told if isinstance(r, ActivityWindow) and r.kind is ActivityKind.TOTAL)
    assert (total.audio_ms, total.missing_ms, total.frames) == (880, 20, 44)
    assert found.state.orders.by_slot == {}


def test_numbers_nobody_can_have_are_no_numbers():
    for bits in (0, 7, 33, 54, 1000):
        call = Call(source_sequence_bits=bits, source_sequence=5).open().say(LOUD[:S])
        found = run(call)
        assert found.state.orders.by_slot == {}
        assert run(call.close()).totals[0].audio_ms == 1000


# --- the same whatever the polls, the neighbours and the restarts


def talk_beside(dice: random.Random, call: Numbered) -> None:
    """Another stream at the same time."""
    length = sum(int(packet.duration_samples) for packet in call.packets)
    call.position -= length
    call.channels = dice.choice((Channels.INTERNAL, Channels.EXTERNAL))
    call.talk(bytes(2 * length), 640, stream=8)
    call.packets.sort(key=lambda packet: packet.position_samples)


def happen(dice: random.Random, call: Numbered) -> None:
    """Let something other than packets happen, or nothing."""
    action = dice.random()
    if action < 0.1:
        call.following = dice.randrange(1 << 16)
    elif action < 0.2:
        call.say(bytes(1280), 640)
    elif action < 0.4:
        kind = dice.choice((FrameKind.PAUSED, FrameKind.RESUMED, FrameKind.GAP, FrameKind.DISCARDED))
        call.mark(kind, dice.choice((-1, 0, 1600)), reason=dice.choice((Reason.RECONNECT, Reason.RESTART)))
    elif action < 0.5:
        call.position = max(0, call.position + dice.choice((-320, 4000)))


def numbered_call(dice: random.Random, number: int) -> Call:
    """Numbered packets in disorder, with loss, copies, marks, restarts and other streams."""
    call = Numbered(number, dice.choice([8, 16, 32]), dice.randrange(1 << 16))
    call.channels = dice.choice((Channels.EXTERNAL, Channels.EXTERNAL_INTERNAL))
    if dice.random() < 0.8:
        call.open()
    for _ in range(dice.randint(1, 6)):
        noise = np.random.default_rng(dice.getrandbits(32))
        loud = noise.choice((0, 100, 4000), 60).repeat(200)
        call.channels = dice.choice((call.channels, call.channels, Channels.INTERNAL, Channels.EXTERNAL))
        call.talk(noise.normal(0, 1 + loud).clip(-32768, 32767).astype("<i2").tobytes(), dice.choice((320, 640, 644)))
        if dice.random() < 0.4:
            talk_beside(dice, call)
        spread = dice.choice((0, 0, 3, 5, 9))
        order = sorted(range(len(call.packets)), key=lambda index: index + dice.random() * spread)
        order = [index for index in order if dice.random() > 0.03]
        order = [index for index in order for _ in range(1 + (dice.random() < 0.02))]
        codec = dice.choice((Codec.OPUS, Codec.COMFORT_NOISE))
        if dice.random() < 0.3 and order:
            at = dice.choice(order)
            call.packets[at] = replace(call.packets[at], codec=codec, source_sequence=dice.randrange(256))
        call.arrive(order)
        happen(dice, call)
    if dice.random() < 0.7:
        call.close(reason=dice.choice((Reason.END, Reason.IDLE)))
        if dice.random() < 0.4:
            call.talk(bytes(3200)).arrive()
    return call


def some_calls(dice: random.Random, count: int) -> list[Call]:
    return [dice.choice((numbered_call, numbered_call, random_call))(dice, number) for number in range(count)]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 60), calls=st.integers(1, 4))
def test_outputs_and_state_do_not_depend_on_the_polls(seed, poll, calls):
    dice = random.Random(seed)
    log = interleaved(dice, some_calls(dice, calls))
    assert_any_polls_are_the_same(Run, log, poll)


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 200))
def test_a_session_does_not_depend_on_its_neighbours(seed, poll):
    dice = random.Random(seed)
    assert_neighbours_change_nothing(Run, some_calls(dice, 3), seed, poll)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 100))
def test_a_restart_between_any_two_polls_changes_nothing(seed, poll):
    dice = random.Random(seed)
    log = interleaved(dice, some_calls(dice, 2))
    assert_restarts_change_nothing(Run, log, poll)
