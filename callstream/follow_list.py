"""The calls that are asked for, as an operator sees them: a table, and JSON. Pure."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from callstream.dead_letters import printable
from ingest.publishing import Standing
from schemas.codec import as_datum
from schemas.records import Subscription

LAST_US = 253_402_300_799_999_999
"""The end of the year 9999, the last that can be written."""
_WIDEST_CELL = 60
_HEADINGS = ("CONVERSATION", "SOURCE", "CONNECTION", "ASKED BY", "ASKED AT", "EXPIRES", "")


def table(standing: Sequence[Standing], now_us: int) -> Iterator[str]:
    """Return the lines of a table: which call, from which source, who asked for it, until when; and what is wrong."""
    rows = [_HEADINGS, *(_cells(one, now_us) for one in standing)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def as_json(standing: Sequence[Standing], now_us: int) -> str:
    """Return all there is as a JSON array of objects; `error` stands where a record cannot be read."""
    return json.dumps([_datum(one, now_us) for one in standing], indent=1, sort_keys=True)


def _cells(one: Standing, now_us: int) -> tuple[str, ...]:
    wish = one.wish
    if isinstance(wish, str):
        cells = (one.key, "", "", "", "", "", f"cannot be read: {wish}")
    else:
        remark = "expired" if 0 <= wish.expires_at_us <= now_us else ""
        cells = (
            wish.conversation_id,
            wish.source_name,
            wish.connection_id or "",
            wish.requested_by,
            when(wish.requested_at_us),
            when(wish.expires_at_us),
            remark,
        )
    return tuple(printable(cell.encode(errors="replace"))[:_WIDEST_CELL] for cell in cells)


def _datum(one: Standing, now_us: int) -> dict[str, Any]:
    place = {"key": one.key.encode(errors="replace").decode(), "partition": one.partition}
    if not isinstance(one.wish, Subscription):
        return {**place, "error": one.wish}
    wish = one.wish
    times = {"requested_at": when(wish.requested_at_us) or None, "expires_at": when(wish.expires_at_us) or None}
    return {**place, **as_datum(wish), **times, "expired": 0 <= wish.expires_at_us <= now_us}


def when(at_us: int) -> str:
    """Return a time as ISO 8601 in UTC, empty for none; whoever writes the topic may have put any number there."""
    if at_us < 0:
        return ""
    if at_us > LAST_US:
        return "beyond 9999"
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
