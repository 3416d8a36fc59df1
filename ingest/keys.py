"""The keys of a source that calls us: which client secret goes with which API key, from files that may change.

One file holds a JSON object, `{"<API key>": "<base64 secret>"}`. In place of the secret may stand an object,
`{"secret": "…", "organization": "<id>"}`, which binds the key to one organisation. A folder holds any number of such
`*.json` files. An empty secret allows requests that are not signed.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ingest.protocol import Refreshed

LONGEST_FILE_BYTES = 2**20
_API_KEY = re.compile(r"[A-Za-z0-9+/_-]+={0,2}", re.ASCII)
_ORGANISATION = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_FIELDS = {"secret", "organization"}


@dataclass(frozen=True, slots=True)
class Key:
    """What belongs to an API key: its client secret, and the organisation that alone may use it, where one is named."""

    secret: bytes = field(repr=False)
    organisation: str | None = None


class KeyRing:
    """The keys of a file or a folder, for as long as a process runs. Without a path there are none.

    `refresh` reads again; what cannot be used changes nothing. Raises `ValueError` where the first reading fails.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read: Mapping[str, bytes] | None = {} if path is None else _contents(path)
        self._keys = {} if path is None else _keys_of(self._read)

    @property
    def keys(self) -> Mapping[str, Key]:
        """The keys that count now."""
        return MappingProxyType(self._keys)

    def refresh(self) -> Refreshed | None:
        """Read again, and return what came of it; None where nothing has changed since the last reading."""
        if self._path is None:
            return None
        found = _contents(self._path)
        if found == self._read:
            return None
        self._read = found
        try:
            self._keys = _keys_of(found)
        except ValueError as error:
            return Refreshed(len(self._keys), str(error))
        return Refreshed(len(self._keys))


def read_keys(path: Path) -> dict[str, Key]:
    """Return the keys of a file or of the `*.json` files of a folder. Raises `ValueError` that quotes none of them."""
    return _keys_of(_contents(path))


def parse_keys(text: str) -> dict[str, Key]:
    """Return the keys of one file's text. Raises `ValueError` that quotes none of them."""
    entries = _entries(text)
    if not entries or not all(_API_KEY.fullmatch(key) for key in entries):
        message = "holds no key, or one with other characters than letters, digits, +/_- and up to two = at its end"
        raise ValueError(message)
    return {key: _key(value) for key, value in entries.items()}


def decode_secret(text: str) -> bytes:
    """Return a client secret from its base64 text; an empty text is an empty secret. Raises `ValueError`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        message = "holds a secret that is not base64"
        raise ValueError(message) from None


def _entries(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str | dict) for value in found.values()):
        message = "is no JSON object of API keys, each once, and base64 secrets"
        raise ValueError(message)
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's members: of a name that stands twice the reader could not say which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "a name stands twice"
        raise ValueError(message)
    return found


def _key(value: Any) -> Key:
    if isinstance(value, str):
        return Key(decode_secret(value))
    secret, organisation = value.get("secret"), value.get("organization")
    if not set(value) <= _FIELDS or not isinstance(secret, str):
        message = "holds a key with other fields than secret and organization, or without a secret"
        raise ValueError(message)
    if organisation is not None and not (isinstance(organisation, str) and is_organisation(organisation)):
        message = "holds an organization that is no UUID"
        raise ValueError(message)
    return Key(decode_secret(secret), None if organisation is None else organisation.lower())


def is_organisation(text: str) -> bool:
    """Tell whether a text is the id of an organisation."""
    return _ORGANISATION.fullmatch(text.lower()) is not None


def _contents(path: Path) -> dict[str, bytes] | None:
    """Return file name → content; None where something cannot be read, and no content of a file that is too long."""
    try:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        return {file.name: _content(file) for file in files}
    except OSError:
        return None


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        found = opened.read(LONGEST_FILE_BYTES + 1)
    return found if len(found) <= LONGEST_FILE_BYTES else b""


def _keys_of(contents: Mapping[str, bytes] | None) -> dict[str, Key]:
    if contents is None:
        message = "the file cannot be read"
        raise ValueError(message)
    if not contents:
        message = "the folder holds no file *.json"
        raise ValueError(message)
    keys: dict[str, Key] = {}
    for name, content in contents.items():
        where = f"{name}: " if len(contents) > 1 else ""
        try:
            found = parse_keys(content.decode("utf-8"))
        except UnicodeDecodeError:
            message = f"{where}the file cannot be read"
            raise ValueError(message) from None
        except ValueError as error:
            message = f"{where}{error}"
            raise ValueError(message) from None
        if any(key in keys and keys[key] != value for key, value in found.items()):
            message = f"{where}holds a key that another file has with another secret or organization"
            raise ValueError(message)
        keys |= found
    return keys
