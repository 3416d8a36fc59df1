"""Seals bytes for the disk: AES-256-GCM with the operator's key, or nothing where the operator says so.

What is sealed is bound to where it stands: bytes moved to another place do not open there.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
KEY_ID_BYTES = 8
_NONCE_BYTES = 12


class CannotOpen(Exception):
    """The bytes were not sealed with this key for this place, or have changed since."""


class Seal(Protocol):
    """How blocks are closed and opened. `key_id` tells keys apart and nothing about them."""

    key_id: bytes

    def close(self, plain: bytes, place: bytes) -> bytes:
        """Return sealed bytes that open only together with `place`."""

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Return what was sealed. Raises `CannotOpen`."""


class Plain:
    """No encryption."""

    key_id = bytes(KEY_ID_BYTES)

    def close(self, plain: bytes, place: bytes) -> bytes:  # noqa: ARG002 - nothing is bound
        """Return the bytes as they are."""
        return plain

    def open(self, sealed: bytes, place: bytes) -> bytes:  # noqa: ARG002 - nothing was bound
        """Return the bytes as they are."""
        return sealed


class AesGcm:
    """AES-256-GCM (NIST SP 800-38D) with a random nonce per block, in front of the ciphertext."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.key_id = hashlib.sha256(b"callstream spool key id" + key).digest()[:KEY_ID_BYTES]

    def close(self, plain: bytes, place: bytes) -> bytes:
        """Return nonce, ciphertext and tag."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Return what was sealed. Raises `CannotOpen`."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place)
        except (InvalidTag, ValueError) as error:
            raise CannotOpen(type(error).__name__) from None


def parse_key(text: str) -> bytes:
    """Return the key a file holds: 32 bytes as base64 or as hex digits. Raises `ValueError` that quotes nothing."""
    compact = "".join(text.split())
    key = b""
    if len(compact) == 2 * KEY_BYTES:
        key = _decoded(bytes.fromhex, compact)
    if len(key) != KEY_BYTES:
        key = _decoded(lambda given: base64.b64decode(given, validate=True), compact)
    if len(key) != KEY_BYTES:
        message = f"holds no key: {KEY_BYTES} bytes as base64 or hex digits are wanted (openssl rand -base64 32)"
        raise ValueError(message)
    return key


def read_key(path: Path) -> bytes:
    """Return the key of a file. Raises `ValueError`."""
    try:
        text = path.read_text(encoding="ascii")
    except OSError:
        message = "the file cannot be read"
        raise ValueError(message) from None
    except UnicodeDecodeError:
        text = ""
    return parse_key(text)


def _decoded(decode: Callable[[str], bytes], text: str) -> bytes:
    try:
        return decode(text)
    except (ValueError, binascii.Error):
        return b""
