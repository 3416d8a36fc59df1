"""The AppFoundry machine: what one connection after the other delivers → facts about the session of its WebSocket."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ingest.media import PAYLOAD_FIELDS
from ingest.protocol import Call, Effect, EventReceived, Observation, Observed
from ingest.single_call import Description, SingleCall
from ingest.sources.appfoundry.messages import Audio, Failure, Intent, Spoken, Transcript, parse
from ingest.text import MalformedMessage
from schemas.symbols import CallEventKind, Channel

_TOKEN_REFUSED = 401


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of the messages: whose words the texts are, and where audio lies."""

    channel: Channel = Channel.EXTERNAL
    payload_fields: Sequence[str] = PAYLOAD_FIELDS


class AppFoundryProtocol(SingleCall):
    """One WebSocket over all its connections. Implements `ingest.protocol.DialledProtocol`."""

    def __init__(self, call: Call, description: Description, rules: Rules) -> None:
        super().__init__(call, description)
        self._rules = rules

    def receive_text(self, text: str, now_s: float) -> list[Effect]:
        """Take audio, what was said or meant, or an error."""
        try:
            message = parse(text, self._rules.payload_fields)
        except MalformedMessage as defect:
            return [self._odd(Observation.PROTOCOL_ERROR, str(defect))]
        match message:
            case None:
                return [Observed(Observation.UNKNOWN_MESSAGE)]
            case Audio():
                return self._audio(message.payload, now_s)
            case Failure():
                return self._error(message)
        return [self._text(message)] if self._open else [Observed(Observation.UNEXPECTED_MESSAGE)]

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """Count a binary message: nothing of it is taken."""
        return [self._odd(Observation.UNEXPECTED_MESSAGE, "a binary message")]

    def _error(self, failure: Failure) -> list[Effect]:
        """Take an error."""
        refused = failure.code == _TOKEN_REFUSED
        return (self._refused_by_now if refused else self._failed)(failure.code, failure.message)

    def _text(self, message: Transcript | Intent) -> EventReceived:
        spoken = self._spoken(message.spoken)
        if isinstance(message, Intent):
            return self._event(CallEventKind.INTENT, intent=message.name, text=message.text, **spoken)
        return self._event(CallEventKind.TRANSCRIPT, text=message.text, is_final=message.is_final, **spoken)

    def _spoken(self, spoken: Spoken) -> dict[str, Any]:
        return {
            "channel": self._rules.channel,
            "text_id": spoken.id,
            "language": spoken.language or self._description.language,
            "confidence": spoken.confidence,
        }
