"""The id of an utterance: the same however often it is derived, and derivable from the record's own fields."""

import hashlib

from schemas.symbols import Channel, UtteranceInput, UtteranceKind


def utterance_id(session_id: str, what: UtteranceInput | UtteranceKind, channel: Channel, event_counter: int) -> str:
    """Return the SHA-256 over the UTF-8 bytes of `<session_id>|<what>|<channel>|<event_counter>`, in hex.

    `what` is the input of a TEXT, the kind of an OPENED or CLOSED. Symbols are spelled as in the schema, the counter is
    decimal.
    """
    return hashlib.sha256(f"{session_id}|{what.value}|{channel.value}|{event_counter}".encode()).hexdigest()
