from dataclasses import replace

import pytest

from processors.silence.orders import Orders
from runtime.errors import StateCorrupted
from schemas.symbols import Codec
from tests.processors.silence.calls import LOUD, log_of, run
from tests.processors.silence.test_ordering import FRAME, Numbered, S


def test_a_stream_is_written_down_the_same_whichever_lane_it_has():
    call = Numbered().open().talk(LOUD[:S]).arrive([*range(40), *range(41, 45)])
    orders = run(call).state.orders
    other = Orders()
    other.restore(orders.snapshot([0]), [6])
    assert list(other.by_slot) == [6]
    assert other.snapshot([6]) == orders.snapshot([0])
    assert [held[0] for held in other.by_slot[6].reorder.held] == [65_541, 65_542, 65_543, 65_544]
    other.drop(6)
    assert other.snapshot([6]) == Orders().snapshot([])
    with pytest.raises(ValueError, match="more bytes"):
        other.restore(orders.snapshot([0]) + b"x", [6])


def test_what_waits_is_bounded():
    call = Numbered(codec=Codec.PCMU).open()
    call.talk(bytes(FRAME * 400), FRAME)
    # the source says that hardly any time passes
    for index, packet in enumerate(call.packets):
        call.packets[index] = replace(packet, position_samples=index)
    call.arrive([0, *range(2, 400)])
    found = run(call)
    assert [len(order.reorder.held) for order in found.state.orders.by_slot.values()] == [0]
    held = []
    for count in range(2, 120):
        found = run(Numbered(codec=Codec.PCMU), poll=1)
        found.feed(log_of(call)[: count + 2])
        held += [len(order.reorder.held) for order in found.state.orders.by_slot.values()]
    assert max(held) <= 64
    assert len(found.processor.snapshot(found.state)) < 64 * 300


def test_a_numbered_call_in_order_takes_little_state():
    calls = [Numbered(number).open(organisation="acme").talk(LOUD[: 2 * S]).arrive() for number in range(40)]
    found = run(*calls)
    assert len(found.processor.snapshot(found.state)) < 40 * 500


def test_a_damaged_stream_is_an_error_with_a_name():
    call = Numbered().open().talk(LOUD[:S]).arrive([*range(40), *range(41, 45)])
    found = run(call)
    snapshot = found.processor.snapshot(found.state)
    refused = 0
    for at in range(0, len(snapshot), 7):
        for damaged in (snapshot[:at], snapshot[:at] + b"\xff" * 9 + snapshot[at + 9 :]):
            try:
                found.processor.restore(2, damaged)
            except StateCorrupted:
                refused += 1
    assert refused > len(snapshot) // 7, "a state that is cut off is refused wherever the cut is"
