"""Other thresholds for single organisations and queues: JSON text, or the path of a file with it → `Override`.

A list of objects. Each names an `organisation`, a `queue` or both, and the settings that differ for their calls; the
first entry that fits a call counts. What it does not name is as everywhere.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from processors.silence.tuning import Override, Tuning

NAMES: Final = tuple(name for name in Tuning.names() if name != "detector")
"""What an entry may set."""

_WHO: Final = ("organisation", "queue")


def entries_of(text: str) -> list[dict[str, Any]]:
    """Return the entries of a text or a file. Raises ValueError that says what is wrong and no value."""
    if not text.strip():
        return []
    if not text.lstrip().startswith("["):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            message = f"should be a JSON list or the path of a file with one; the file cannot be read: {_why(error)}"
            raise ValueError(message) from None
    try:
        found = json.loads(text)
    except ValueError as error:
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "somewhere"
        message = f"is no JSON: {where}"
        raise ValueError(message) from None
    if not isinstance(found, list):
        message = "should be a JSON list of objects"
        raise ValueError(message)  # noqa: TRY004 - settings are read as ValueError
    return [_entry(number, one) for number, one in enumerate(found, 1)]


def override_of(
    number: int, entry: Mapping[str, Any], validated: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Override:
    """Return an entry with what `validated` makes of its settings. Raises ValueError that names entry and setting."""
    who = {name: entry.get(name) for name in _WHO}
    own = {name: value for name, value in entry.items() if name not in _WHO}
    try:
        values = validated(own)
    except ValidationError as error:
        message = f"entry {number}: {'; '.join(_said(error))}"
        raise ValueError(message) from None
    return Override(**who, tuning=Tuning(**values))


def _entry(number: int, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        message = f"entry {number} should be an object"
        raise ValueError(message)  # noqa: TRY004 - settings are read as ValueError
    names = {name: entry[name] for name in _WHO if entry.get(name) is not None}
    if not names or not all(isinstance(name, str) and name for name in names.values()):
        message = f"entry {number} should name an organisation or a queue, as text"
        raise ValueError(message)
    unknown = sorted(set(entry) - {*_WHO, *NAMES})
    if unknown:
        message = f"entry {number} sets {', '.join(unknown)}; it may set {', '.join(NAMES)}"
        raise ValueError(message)
    return entry


def _said(error: ValidationError) -> list[str]:
    said = []
    for one in error.errors(include_url=False, include_input=False):
        pairs = one.get("ctx", {}).get("found") or [(".".join(map(str, one["loc"])), one["msg"])]
        said += [f"{name} {text}" for name, text in pairs]
    return said


def _why(error: Exception) -> str:
    return error.strerror or "no reason" if isinstance(error, OSError) else "it is no UTF-8 text"
