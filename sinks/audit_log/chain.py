"""The hash chain: canonical lines, how each holds the one before, and the names of the objects they stand in.

Pure. h_i = SHA-256(0x00 ‖ h_{i-1} ‖ canonical(line i without its hash)), h_{-1} = 32 zero bytes.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GENESIS = bytes(32).hex()
"""The hash before the first line."""

HEAD_NAME = "head.json"
"""Name of the head object in the store of heads."""

ENTRY, GAP, MARKS = "entry", "gap", "marks"
"""Values of a line's `line` field."""

_LIMIT = 2**63
_NAME = re.compile(r"(\d{20})\.jsonl")


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: how many lines it has, the hash of the last, and the first position of the last object."""

    positions: int = 0
    hash: str = GENESIS
    object: int = 0


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Return compact JSON with sorted keys. Raises `ValueError` for NaN and infinities, which JSON cannot say."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def link(previous: str, body: Mapping[str, Any]) -> str:
    """Return the hash of a line (`body` is the line without `hash`) behind the hash `previous`, both hex."""
    return hashlib.sha256(b"\x00" + bytes.fromhex(previous) + canonical(body)).hexdigest()


def object_name(position: int) -> str:
    """Return the name of the object whose first line has this position."""
    return f"{position:020d}.jsonl"


def first_position(name: str) -> int | None:
    """Return the position an object's name states, or None for a name no log of ours has."""
    match = _NAME.fullmatch(name)
    position = int(match[1]) if match else _LIMIT
    return position if position < _LIMIT else None


def seal(head: Head, bodies: list[dict[str, Any]]) -> tuple[str, bytes, Head]:
    """Chain the bodies behind `head`. Returns the new object's name, its bytes and the new head."""
    position, previous, lines = head.positions, head.hash, []
    for body in bodies:
        line = {**body, "position": position, "previous": previous}
        previous = link(previous, line)
        lines.append(canonical({**line, "hash": previous}))
        position += 1
    return object_name(head.positions), b"\n".join(lines) + b"\n", Head(position, previous, head.positions)
