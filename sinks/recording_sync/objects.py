"""The object store that sealed recordings go to: a local folder, or what a URL names (S3, GCS, Azure)."""

import asyncio
import os
from pathlib import Path

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, ObjectStore

from runtime.errors import ConfigError, Unavailable
from runtime.object_store import folder_of, remote_store

SETTING = "RECORDING_SYNC_STORE_URL"


def check(url: str) -> None:
    """Raise `ConfigError` for a URL that no store understands. Connects nowhere."""
    if folder_of(url) is not None:
        return
    try:
        obstore.parse_scheme(url)
    except (BaseError, ValueError) as error:
        message = f"{SETTING}: names no store: {type(error).__name__}"
        raise ConfigError([message]) from None


class Objects:
    """Puts objects under their keys; putting the same again changes nothing."""

    def __init__(self, store: ObjectStore, root: Path | None = None) -> None:
        self._store = store
        self._root = root

    @classmethod
    def open(cls, url: str) -> "Objects":
        """Return the store of a URL; a local folder is made where it is missing. Raises `ConfigError`."""
        root = folder_of(url)
        try:
            if root is None:
                return cls(remote_store(url))
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(LocalStore(prefix=root), root)
        except (BaseError, OSError, ValueError) as error:
            message = f"{SETTING}: cannot be used: {type(error).__name__}"
            raise ConfigError([message]) from error

    async def put(self, key: str, content: bytes | Path) -> None:
        """Store bytes, or a file's bytes, atomically.

        Raises `Unavailable` while the store does not take them, `ConfigError` when it refuses our rights.
        """
        try:
            await asyncio.to_thread(obstore.put, self._store, key, content)
            if self._root is not None:
                await asyncio.to_thread(_settle, self._root / key)
        except (PermissionDeniedError, UnauthenticatedError) as error:
            message = f"{SETTING}: the store refuses our rights: {type(error).__name__}"
            raise ConfigError([message]) from error
        except (BaseError, OSError) as error:
            message = f"the object store did not take {key}: {type(error).__name__}"
            raise Unavailable(message) from error


def _settle(path: Path) -> None:
    """Make a local object survive a crash of the machine, readable by its owner only."""
    path.chmod(0o600)
    for target in (path, path.parent):
        handle = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
