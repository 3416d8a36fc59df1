"""Dead letters as an operator sees them: a table, the facts of one, its files. Pure.

What is personal is left out unless asked for: of a value that can be read the fields its schema marks `pii` (a field
without the mark counts as personal), of one that cannot be read everything but its length and digest.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from audio.frames import decode
from schemas.codec import SchemaStore, split
from schemas.errors import InvalidRecord
from schemas.records import Record
from schemas.topics import AUDIO, by_name
from schemas.versions import FOLDERS, newest

_ERRORS = "__connect.errors."
_AGE = re.compile(r"(\d+)([smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_HARMLESS_KEY = re.compile(rb"[0-9A-Za-z._:-]{1,100}")
_WIDEST_CELL = 80


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of a group's dead-letter topic; `timestamp_ms` is that of the record it came from."""

    group: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def source(self) -> str:
        """`topic/partition/offset` of the record it came from, with `?` for what no header says."""
        return "/".join(self.error(name) or "?" for name in ("topic", "partition", "offset"))

    @property
    def name(self) -> str:
        """`group/partition/offset`, as `show` takes them."""
        return f"{self.group}/{self.partition}/{self.offset}"

    def error(self, name: str) -> str:
        """Return the header `__connect.errors.<name>` for a terminal, empty where there is none."""
        return printable(dict(self.headers).get(_ERRORS + name, b""))


def since_ms(text: str, now_ms: int) -> int:
    """Return an age (`90s`, `30m`, `2h`, `7d`) or a time (ISO 8601, UTC unless it says) in ms since the epoch.

    Raises `ValueError` for anything else.
    """
    if age := _AGE.fullmatch(text):
        return now_ms - int(age[1]) * _UNIT_MS[age[2]]
    when = datetime.fromisoformat(text)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def newest_of(letters: Iterable[DeadLetter], limit: int) -> list[DeadLetter]:
    """Return the `limit` letters with the highest timestamps, oldest first."""
    return sorted(letters, key=lambda letter: (letter.timestamp_ms, letter.group, letter.partition, letter.offset))[
        -limit:
    ]


def table(letters: Sequence[DeadLetter]) -> Iterator[str]:
    """Return the lines of a table: when, which, where from, at which step and why."""
    rows = [("WHEN", "LETTER", "SOURCE", "STAGE", "ERROR")]
    rows += [
        (
            when(letter.timestamp_ms),
            letter.name,
            letter.source,
            letter.error("stage"),
            letter.error("exception.message"),
        )
        for letter in letters
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1][:_WIDEST_CELL]]).rstrip()


def facts(
    letter: DeadLetter, store: SchemaStore, *, topic_prefix: str = "", first_bytes: int = 0, content: bool = False
) -> Iterator[tuple[str, str]]:
    """Return (name, text) of what is known of a letter, personal values only with `content`.

    `first_bytes` of the value are given in hexadecimal, whatever they hold.
    """
    value = letter.value
    yield "letter", letter.name
    yield "when", when(letter.timestamp_ms)
    yield "key", _key(letter.key, content=content)
    if value is None:
        yield "value", "null"
    else:
        yield "value", f"{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()}"
    for name, header in letter.headers:
        yield printable(name.encode()), printable(header)
    if value is not None and first_bytes:
        yield "bytes", value[:first_bytes].hex(" ")
    for name, text in _fields(value, letter.error("topic").removeprefix(topic_prefix), store, content=content):
        yield f"field {name}", text


def beside(letter: DeadLetter) -> str:
    """Return the JSON that lies beside a letter's bytes: where it came from, its headers, its key in base64."""
    value = letter.value
    described = {
        "group": letter.group,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp_ms": letter.timestamp_ms,
        "key_base64": None if letter.key is None else base64.b64encode(letter.key).decode(),
        "value_bytes": None if value is None else len(value),
        "value_sha256": None if value is None else hashlib.sha256(value).hexdigest(),
        "headers": [[name, text.decode(errors="replace")] for name, text in letter.headers],
    }
    return json.dumps(described, indent=1) + "\n"


def when(timestamp_ms: int) -> str:
    """Return a time in ms since the epoch as UTC, to the millisecond; `?` where there is none."""
    if timestamp_ms < 0:
        return "?"
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def printable(text: bytes) -> str:
    """Return text for a terminal: what could control it is replaced."""
    return "".join(char if char.isprintable() else "�" for char in text.decode(errors="replace"))


def schema_id(letter: DeadLetter) -> int | None:
    """Return the id of the schema the value says it was written with, None where it has no framing."""
    with suppress(InvalidRecord):
        return split(letter.value)
    return None


def _key(key: bytes | None, *, content: bool) -> str:
    if key is None:
        return "null"
    if content or _HARMLESS_KEY.fullmatch(key):
        return printable(key)
    return f"{len(key)} bytes, sha256 {hashlib.sha256(key).hexdigest()}"


def _fields(value: bytes | None, topic: str, store: SchemaStore, *, content: bool) -> Iterator[tuple[str, str]]:
    """Return the fields of a value that can be read; of a frame that cannot, which one it is."""
    record_type = _record_type(topic)
    if record_type is None:
        return
    folder = FOLDERS[record_type]
    try:
        datum = store.decode_datum(split(value), value or b"", folder)
    except InvalidRecord as error:
        yield "?", f"not readable: {error}"
        if topic == AUDIO.name:
            yield from _identity(value, store)
        return
    for field in newest(folder).definition["fields"]:
        name = field["name"]
        yield name, _text(datum[name]) if content or not personal(field) else "(personal; --content shows it)"


def _record_type(topic: str) -> type[Record] | None:
    with suppress(KeyError):
        return by_name(topic).record
    return None


def _identity(value: bytes | None, store: SchemaStore) -> Iterator[tuple[str, str]]:
    frames = decode([value], store)
    if frames.identified[0]:
        yield "session_id", frames.session_id[0].tobytes().hex()
        yield "sequence", str(int(frames.sequence[0]))


def personal(field: Mapping[str, Any]) -> bool:
    """Return whether a field of a schema, or anything inside it, may hold personal data."""
    return field.get("pii") is not False or '"pii": true' in json.dumps(field["type"])


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return printable(json.dumps(value, ensure_ascii=False, default=bytes.hex).encode())
