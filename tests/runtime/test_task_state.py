"""The layout of a task's state: what was cut short or damaged never reaches a processor."""

import pytest

from runtime import task_state
from runtime.errors import StateCorrupted

STATE = task_state.pack(b"host", b"snapshot of the processor")


def test_both_parts_come_back() -> None:
    assert task_state.unpack(STATE) == (b"host", b"snapshot of the processor")
    assert task_state.unpack(task_state.pack(b"", b"")) == (b"", b"")


@pytest.mark.parametrize("length", range(len(STATE)))
def test_a_state_cut_short_anywhere_is_noticed(length: int) -> None:
    with pytest.raises(StateCorrupted):
        task_state.unpack(STATE[:length])


@pytest.mark.parametrize("at", range(len(STATE)))
def test_a_changed_byte_is_noticed(at: int) -> None:
    damaged = bytearray(STATE)
    damaged[at] ^= 0x40
    with pytest.raises(StateCorrupted):
        task_state.unpack(bytes(damaged))
