"""Streams that are stepped together come out as if each packet had gone through its `Stream`."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.loss.packets import Packets
from processors.loss.streams import Stream
from schemas.symbols import Channels
from tests.processors.loss.calls import BASE_S, Call, Run, log_of

PACKETS = 400


def rough(dice: random.Random, number: int) -> Call:
    """A call whose packets are lost in runs, come twice, out of order, too late; now and then a talkspurt begins."""
    call = Call(number).open()
    bits, first = dice.choice((8, 16, 16, 32, 53)), dice.choice((0, 250, 65_500))
    lossy, copied, disorder = dice.choice((0, 0.02, 0.3)), dice.choice((0, 0.05)), dice.choice((0, 1.5, 12))
    sent, kept = 0, []
    while sent < PACKETS:
        sent += dice.choice((1, 2, 5, 40)) if dice.random() < lossy else 1
        kept += [sent] * (2 if dice.random() < copied else 1)
    kept.sort(key=lambda place: place + (dice.uniform(0, disorder) if dice.random() < 0.1 else 0))
    for place in kept:
        call.packet(
            (first + place) % 2**bits,
            place,
            bits=bits,
            marker=dice.random() < 0.01,
            channels=dice.choice((Channels.EXTERNAL,) * 9 + (Channels.INTERNAL,)),
            stream=dice.choice((7,) * 9 + (8,)),
            captured_at_s=BASE_S + place / 50 + dice.choice((0, 0.001, 0.0205, 0.09)),
        )
    return call


def crowd(seed: int, calls: int = 6) -> list:
    dice = random.Random(seed)
    logs = [log_of(rough(dice, number)) for number in range(calls)]
    return [log[at] for at in range(max(map(len, logs))) for log in logs if at < len(log)]


def alone(log) -> Run:
    return Run(min_round=10**6).feed(log)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 500))
def test_columns_and_objects_say_the_same(seed, poll):
    log = crowd(seed)
    together = Run(min_round=1).feed(log, poll)
    assert together.found == alone(log).found
    assert together.processor.snapshot(together.state) == alone(log).processor.snapshot(alone(log).state)


def test_a_restart_before_any_packet_changes_no_byte():
    log = crowd(5, 3)
    parts = Run(min_round=1)
    for start in range(0, len(log), 17):
        parts.restart().feed(log[start : start + 17])
    assert parts.found == alone(log).found
    assert parts.processor.snapshot(parts.state) == alone(log).processor.snapshot(alone(log).state)


def test_nearly_all_packets_go_through_the_columns(monkeypatch):
    counts = {"packets": 0, "alone": 0}
    take, packet = Packets.take, Stream.packet

    def counted(self, part, rows, fits):
        counts["packets"] += int(fits.sum())
        take(self, part, rows, fits)

    def noted(self, row, reorder_samples):
        counts["alone"] += 1
        packet(self, row, reorder_samples)

    monkeypatch.setattr(Packets, "take", counted)
    monkeypatch.setattr(Stream, "packet", noted)
    call = Call().open()
    for place in range(2000):
        if place % 40 != 9:
            call.packet(place % 65_536, place + 1 if place % 30 == 3 else place)
        if place % 50 == 7:
            call.packet(place % 65_536, place)
    Run(min_round=1).feed(log_of(call))
    assert counts["packets"] > 1900
    assert counts["alone"] < 20


@pytest.mark.parametrize("lost_each", [2, 3])
def test_many_places_given_up_within_a_window_are_all_told(lost_each):
    call = Call().open()
    for place in range(0, 500, lost_each):
        call.packet(place, place)
    log = log_of(call.close())
    together = Run(min_round=1).feed(log)
    assert together.found == alone(log).found
    assert together.final.lost == sum(1 for place in range(499) if place % lost_each) - (498 % lost_each)
