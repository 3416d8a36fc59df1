"""What is wanted now and what the topic holds → the subscriptions and tombstones to write. Pure.

Three ask for calls: the operator by command, the sources' own settings, and a watched file. Each says who it is in
`requested_by`, and the last two take back only what they asked for themselves.

A record's key is the conversation's id; where a conversation is followed from a second source too, that one's key is
`<conversation id>/<source name>`. Either stands in the conversation's partition.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingest.identity import one_spelling
from ingest.protocol import Call
from schemas.records import Subscription

SETTINGS = "settings"
FILE = "file"
LONGEST_FILE_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Change:
    """A record to write: `subscription` None is a tombstone. Partition -1: that of `conversation_id`."""

    key: str
    conversation_id: str
    subscription: Subscription | None
    partition: int = -1


class UnreadableWishes(ValueError):
    """A file of wishes cannot be taken; the message names each bad line."""


def changes(
    wanted: Iterable[Subscription], before: Mapping[str, Subscription], requested_by: str, now_us: int
) -> list[Change]:
    """Return what to write so that the topic says what `requested_by` wants.

    `before` is what the topic holds, by key. What somebody else asked for is left as it is, also where it is wanted
    here too.
    """
    named = keyed(wanted, before)
    found = []
    for key, wish in named.items():
        old = before.get(key)
        if old is None or (old.requested_by == requested_by and not _same(old, wish)):
            fresh = replace(wish, requested_by=requested_by, requested_at_us=now_us)
            found.append(Change(key, wish.conversation_id, fresh))
    for key, old in before.items():
        if old.requested_by == requested_by and key not in named:
            found.append(Change(key, one_spelling(old.conversation_id), None))
    return found


def keyed(wanted: Iterable[Subscription], before: Mapping[str, Subscription]) -> dict[str, Subscription]:
    """Return the wishes by the keys they have or get. The same call wanted twice is the later wish."""
    keys = {_call(wish): key for key, wish in before.items()}
    taken = {*before}
    found: dict[str, Subscription] = {}
    for wish in wanted:
        spelled = replace(wish, conversation_id=one_spelling(wish.conversation_id))
        call = _call(spelled)
        key = keys.get(call)
        if key is None:
            plain = spelled.conversation_id
            key = f"{plain}/{spelled.source_name}" if plain in taken else plain
            keys[call] = key
            taken.add(key)
        found[key] = spelled
    return found


def of_calls(listed: Mapping[str, Sequence[Call]]) -> list[Subscription]:
    """Return the calls that settings list, by source name, as wishes."""
    return [
        Subscription(
            conversation_id=call.conversation_id,
            source_name=source_name,
            connection_id=call.connection_id,
            codec_preferences=call.codecs,
            organisation=call.organisation,
            queue=call.queue,
            agent=call.agent,
            parameters=dict(call.parameters),
        )
        for source_name, calls in listed.items()
        for call in calls
    ]


def call_of(wish: Subscription) -> Call:
    """Return the call that a subscription asks for."""
    return Call(
        conversation_id=one_spelling(wish.conversation_id),
        connection_id=wish.connection_id,
        codecs=wish.codec_preferences,
        organisation=wish.organisation,
        queue=wish.queue,
        agent=wish.agent,
        parameters=wish.parameters,
    )


class _Line(BaseModel):
    """One line of a file of wishes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)

    conversation_id: Annotated[str, Field(min_length=1)]
    source_name: Annotated[str, Field(min_length=1)]
    connection_id: str | None = None
    codec_preferences: list[str] = []
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    expires_at: str | None = None
    parameters: dict[str, str] = {}


def of_file(text: str) -> list[Subscription]:
    """Return the wishes of a file: one JSON object a line; empty lines and those that start with # say nothing.

    Raises `UnreadableWishes`, which names every bad line: then none of the file counts.
    """
    found: list[Subscription] = []
    mistakes = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                found.append(_wish(line))
            except ValueError as mistake:
                mistakes.append(f"line {number}: {mistake}")
    if mistakes:
        raise UnreadableWishes("; ".join(mistakes))
    return found


def _wish(line: str) -> Subscription:
    try:
        read = json.loads(line)
        # an escape may name half a character, which nothing can write
        json.dumps(read, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        message = "is no JSON"
        raise ValueError(message) from None
    if not isinstance(read, dict):
        message = "is no JSON object"
        raise ValueError(message)  # noqa: TRY004 - a mistake in a file, not in the program
    try:
        fields: dict[str, Any] = _Line.model_validate(read).model_dump()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
    when = fields.pop("expires_at")
    fields["codec_preferences"] = tuple(fields["codec_preferences"])
    return Subscription(**fields, expires_at_us=-1 if when is None else moment_us(when))


def moment_us(text: str) -> int:
    """Return an ISO 8601 time, UTC unless it says, in µs since the epoch, 0 for one before it.

    Raises `ValueError` for anything else.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no time like 2026-11-21T10:00 or 2026-11-21T10:00+01:00"
        raise ValueError(message) from None
    return max(0, round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000_000))


def _call(wish: Subscription) -> tuple[str, str]:
    return wish.source_name, one_spelling(wish.conversation_id)


def _same(old: Subscription, wish: Subscription) -> bool:
    """Tell whether two wishes ask for the same."""
    return _bare(old) == _bare(wish)


def _bare(wish: Subscription) -> Subscription:
    spelled = one_spelling(wish.conversation_id)
    return replace(wish, conversation_id=spelled, parameters=dict(wish.parameters), requested_by="", requested_at_us=-1)
