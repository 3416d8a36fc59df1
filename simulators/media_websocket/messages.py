"""The texts of the media WebSocket, literally as the document has them."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Final

SCOPE: Final = "media:websocket:write"


@dataclass(frozen=True, slots=True)
class Auth:
    """A client's token; `user_id` is who it says it is, None where it does not."""

    token: str = field(repr=False)
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Subscribe:
    """What a client wants to hear."""

    connection_id: str
    capabilities: tuple[str, ...]


def read(message: str | bytes) -> Auth | Subscribe | None:
    """Return what a client says; None where it is neither of both, or not as the document has it."""
    try:
        content = json.loads(message) if isinstance(message, str) else None
    except ValueError:
        content = None
    fields: dict[str, Any] = content if isinstance(content, dict) else {}
    match fields.get("type"):
        case "auth":
            return _auth(fields)
        case "subscribe":
            return _subscribe(fields)
    return None


def authenticated() -> str:
    """Return the answer to a good token."""
    return json.dumps({"type": "auth", "result": "success"})


def refused(message: str | None = f"the token lacks the scope {SCOPE}") -> str:
    """Return the answer to a token that is not good; None: it does not say why."""
    more = {} if message is None else {"message": message}
    return json.dumps({"type": "auth", "result": "error"} | more)


def subscribed(connection_id: str) -> str:
    """Return the acknowledgement of a subscription."""
    return json.dumps({"type": "subscribe", "result": "success", "connectionId": connection_id})


def not_subscribed(connection_id: str, message: str = "the media connection is not known") -> str:
    """Return the refusal of a subscription."""
    return json.dumps({"type": "subscribe", "result": "error", "connectionId": connection_id, "message": message})


def audio(payload: bytes, name: str = "data") -> str:
    """Return a chunk of audio; `name` is the field that holds it."""
    return json.dumps({"type": "audio", name: base64.b64encode(payload).decode("ascii")})


def _auth(fields: dict[str, Any]) -> Auth | None:
    token, user_id = fields.get("token"), fields.get("userId")
    if not isinstance(token, str) or not token or not isinstance(user_id, str | None):
        return None
    return Auth(token, user_id)


def _subscribe(fields: dict[str, Any]) -> Subscribe | None:
    connection_id, capabilities = fields.get("connectionId"), fields.get("capabilities")
    if not isinstance(connection_id, str) or not connection_id or not isinstance(capabilities, list):
        return None
    if "audio" not in capabilities or not all(isinstance(one, str) for one in capabilities):
        return None
    return Subscribe(connection_id, tuple(capabilities))
