"""The key file of a source that calls us: API keys and their client secrets."""

import base64
import binascii
import json
import re

_API_KEY = re.compile(r"[A-Za-z0-9+/_-]+={0,2}", re.ASCII)


def parse_keys(text: str) -> dict[str, bytes]:
    """Return API key → client secret from the JSON object of a key file. Raises `ValueError` that quotes neither."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(secret, str) for secret in found.values()):
        message = "is no JSON object of API key and base64 secret"
        raise ValueError(message)
    if not found or not all(_API_KEY.fullmatch(key) for key in found):
        message = "holds no key, or one with other characters than letters, digits, +/_- and up to two = at its end"
        raise ValueError(message)
    return {key: decode_secret(secret) for key, secret in found.items()}


def decode_secret(text: str) -> bytes:
    """Return a client secret from its base64 text; an empty text is an empty secret. Raises `ValueError`."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        message = "holds a secret that is not base64"
        raise ValueError(message) from error
