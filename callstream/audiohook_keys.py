"""The file of AudioHook's API keys, changed whole or not at all: read, one key more or less, written beside, renamed.

What cannot be read or written is a `ConfigError`; no message quotes a key or a secret. Two who change the same file at
once take turns.
"""

import base64
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.keys import is_organisation, parse_keys
from runtime.errors import ConfigError

API_KEY_BYTES = 24
SECRET_BYTES = 32
_FINGERPRINT_DIGITS = 12
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as the administrator of the platform needs it."""

    api_key: str
    secret_base64: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key without its secret. `fingerprint` tells it from others and is no use to anybody else."""

    fingerprint: str
    organisation: str | None
    signed: bool
    file: str


def draw() -> NewKey:
    """Return a key and a secret nobody has."""
    secret = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    return NewKey(secrets.token_urlsafe(API_KEY_BYTES), secret)


def fingerprint(api_key: str) -> str:
    """Return what stands for a key where it must not stand itself."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:_FINGERPRINT_DIGITS]


def add(path: Path, key: NewKey, organisation: str | None = None) -> Path:
    """Add a key to a file, which need not be there yet, or to a folder as a file of its own; return the file."""
    if organisation is not None and not is_organisation(organisation):
        raise ConfigError(["the organization is no UUID"])
    entry = key.secret_base64 if organisation is None else {"secret": key.secret_base64, "organization": organisation}
    file = path / f"{fingerprint(key.api_key)}.json" if path.is_dir() else path.resolve()
    with _alone(file):
        _write(file, {**(_entries(file) if file.exists() else {}), key.api_key: entry})
    return file


def drop(path: Path, wanted: str) -> Path:
    """Take the key with this fingerprint out of its file; return the file. The last key of all stays."""
    known = listed(path)
    found = [key for key in known if key.fingerprint == wanted]
    if not found:
        raise ConfigError([f"there is no key with the fingerprint {wanted}"])
    if len(known) == len(found):
        raise ConfigError(["it is the last key, and ingest takes no file without one: add another first"])
    for key in found:
        file = path / key.file if path.is_dir() else path.resolve()
        with _alone(file):
            left = {name: entry for name, entry in _entries(file).items() if fingerprint(name) != wanted}
            if left:
                _write(file, left)
            else:
                file.unlink()
    return file


def listed(path: Path) -> list[KnownKey]:
    """Return the keys of a file or folder, without their secrets."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    return [
        KnownKey(fingerprint(api_key), key.organisation, bool(key.secret), file.name)
        for file in files
        for api_key, key in parse_keys(_text(file)).items()
    ]


def credentials_of(path: Path, wanted: str | None) -> NewKey:
    """Return the key with this fingerprint, or the first of all, with its secret."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    for file in files:
        for api_key, key in parse_keys(_text(file)).items():
            if wanted in (None, fingerprint(api_key)):
                return NewKey(api_key, base64.b64encode(key.secret).decode())
    raise ConfigError([f"{path}: there is no such key"])


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold everybody else up who would change a file of the same folder."""
    try:
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError([f"{file.parent}: {error.strerror}"]) from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
        os.fsync(folder)
    finally:
        os.close(folder)


def _text(file: Path) -> str:
    """Return the text of a file that ingest could use. Raises `ConfigError`."""
    try:
        text = file.read_text(encoding="utf-8")
        parse_keys(text)
    except OSError as error:
        raise ConfigError([f"{file}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{file}: is no text"]) from None
    except ValueError as error:
        raise ConfigError([f"{file}: {error}"]) from None
    return text


def _entries(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_text(file))
    return found


def _write(file: Path, entries: dict[str, Any]) -> None:
    """Write a file beside, with its owner, and put it in its place. Raises `ConfigError`; nothing has changed then."""
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(json.dumps(entries, indent=1) + "\n")
            opened.flush()
            os.fsync(descriptor)
            if file.exists():
                owner = file.stat()
                with suppress(PermissionError):
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
        beside.replace(file)
    except OSError as error:
        raise ConfigError([f"{file}: {error.strerror}"]) from None
    finally:
        beside.unlink(missing_ok=True)
