"""Ways to read messages that are wrong: one after the other to `take`, which may raise; then the connection is over.

The interface: `handle(messages) -> Handled`.
"""

import json
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Handled(NamedTuple):
    """Numbers of the packets handed on, how many messages were counted as odd, whether all of that ended anything."""

    numbers: list[int]
    odd: int
    broken: bool


def _handled(messages: Iterable[str | bytes], read: Callable[[str | bytes], object]) -> Handled:
    numbers, odd = [], 0
    for message in messages:
        try:
            value = read(message)
        except Exception:  # noqa: BLE001 - this is how the defects end a connection
            return Handled(numbers, odd, True)
        if isinstance(value, dict) and "sequenceNumber" in value:
            numbers.append(value["sequenceNumber"])
        elif value is None:
            odd += 1
    return Handled(numbers, odd, False)


async def told_apart(messages: Iterable[str | bytes]) -> Handled:
    """Read it right: by the kind of message first, objects only."""

    def read(message: str | bytes) -> object:
        try:
            value = json.loads(message) if isinstance(message, str) else None
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    return _handled(messages, read)


async def binary_is_parsed(messages: Iterable[str | bytes]) -> Handled:
    """B5: whatever comes is JSON, or is caught as none; bytes that are no text raise something else."""

    def read(message: str | bytes) -> object:
        try:
            return json.loads(message)
        except json.JSONDecodeError:
            return None

    return _handled(messages, read)


async def nothing_is_caught(messages: Iterable[str | bytes]) -> Handled:
    """B6: whatever comes is JSON."""
    return _handled(messages, json.loads)
