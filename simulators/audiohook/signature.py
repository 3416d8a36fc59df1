"""Sign an upgrade request as the platform does: HTTP message signatures (draft 11), HMAC-SHA256 over six components.

Pure: nonce and time are given.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

COMPONENTS: Final = (
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
)
LIFETIME_S: Final = 30
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443, "http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Credentials:
    """API key as sent, and the client secret as configured: base64 text, or None to send the upgrade unsigned."""

    api_key: str
    secret_base64: str | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """What makes each signature another: a nonce of 22 characters or more, and times in epoch seconds."""

    nonce: str
    created: int
    expires: int


def target_and_authority(url: str) -> tuple[str, str]:
    """Split a URL into `@request-target` (path and query) and `@authority` (lower case, without default port)."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
    return target, host + port


def sign(headers: Mapping[str, str], url: str, credentials: Credentials, fresh: Freshness) -> dict[str, str]:
    """Return the two signature headers for an upgrade of `url` with `headers` (names in any case).

    Raises ValueError if the credentials hold no secret or a header that must be covered is missing.
    """
    if credentials.secret_base64 is None:
        message = "there is no client secret to sign with"
        raise ValueError(message)
    target, authority = target_and_authority(url)
    values = {name.lower(): value.strip() for name, value in headers.items()}
    values |= {"@request-target": target, "@authority": authority}
    if missing := [name for name in COMPONENTS if name not in values]:
        message = f"not in the request: {', '.join(missing)}"
        raise ValueError(message)
    parameters = "(" + " ".join(f'"{name}"' for name in COMPONENTS) + ")"
    parameters += f';keyid="{credentials.api_key}";nonce="{fresh.nonce}";alg="hmac-sha256"'
    parameters += f";created={fresh.created};expires={fresh.expires}"
    base = "\n".join([*(f'"{name}": {values[name]}' for name in COMPONENTS), f'"@signature-params": {parameters}'])
    key = base64.b64decode(credentials.secret_base64)
    digest = hmac.new(key, base.encode(), hashlib.sha256).digest()
    return {"Signature-Input": f"sig1={parameters}", "Signature": f"sig1=:{base64.b64encode(digest).decode()}:"}
