"""The texts of the media-streams WebSocket, literally as the document has them."""

import base64
import json
from typing import Any, Final

from simulators.media_streams.script import Packet

INTERACTIONS_MAX: Final = 50
BAD_REQUEST: Final = 400
MALFORMED: Final = "badRequest"
TOO_MANY: Final = "tooManyInteractions"
NOT_AVAILABLE: Final = "mediaNotAvailable"


class Refusal(Exception):
    """A subscription that cannot be served at all; `code` and `text` go into the answer."""

    def __init__(self, code: str, text: str) -> None:
        """Keep both."""
        super().__init__(code, text)
        self.code = code
        self.text = text

    def answer(self) -> str:
        """Return the message for the client."""
        return json.dumps({"status": BAD_REQUEST, "code": self.code, "message": self.text})


def read_subscription(message: str | bytes) -> tuple[str, ...]:
    """Return the interaction ids of a subscription, each once. Raises Refusal."""
    return tuple(dict.fromkeys(_interaction_id(entry) for entry in _entries(message)))


def packet_text(interaction_id: str, packet: Packet) -> str:
    """Return a packet's message."""
    return json.dumps(
        {
            "interactionId": interaction_id,
            "sequenceNumber": packet.sequence_number,
            "timestamp": packet.timestamp,
            "payload": base64.b64encode(packet.payload).decode("ascii"),
        }
    )


def media_not_available(interaction_id: str) -> str:
    """Return the answer for an interaction that is unknown or over."""
    return _refused(interaction_id, NOT_AVAILABLE, "the interaction is unknown or has ended")


def too_many(interaction_id: str) -> str:
    """Return the answer for an interaction that has no room on its connection; the others have."""
    return _refused(interaction_id, TOO_MANY, f"a connection carries at most {INTERACTIONS_MAX} interactions")


def _refused(interaction_id: str, code: str, text: str) -> str:
    return json.dumps({"status": BAD_REQUEST, "code": code, "interactionId": interaction_id, "message": text})


def _entries(message: str | bytes) -> list[Any]:
    try:
        content = json.loads(message) if isinstance(message, str) else None
    except ValueError:
        content = None
    entries = content.get("interactions") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise Refusal(MALFORMED, "a subscription is a JSON text with a list of interactions")
    return entries


def _interaction_id(entry: Any) -> str:
    fields = entry if isinstance(entry, dict) else {}
    interaction_id, codecs = fields.get("interactionId"), fields.get("codecPreferences")
    if not isinstance(interaction_id, str) or not interaction_id or fields.get("mediaType") != "voice":
        raise Refusal(MALFORMED, "an interaction has an interactionId and the mediaType voice")
    if not isinstance(codecs, list) or not codecs or not all(isinstance(codec, str) for codec in codecs):
        raise Refusal(MALFORMED, "an interaction has a list of codecPreferences")
    return interaction_id
