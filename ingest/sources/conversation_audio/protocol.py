"""The conversation audio machine: what one connection after the other delivers → facts about its session."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.media import PAYLOAD_FIELDS
from ingest.protocol import Call, Effect, Observation, Observed, SendBinary
from ingest.single_call import Description, SingleCall
from ingest.sources.conversation_audio.messages import Audio, parse
from ingest.text import MalformedMessage


@dataclass(frozen=True, slots=True)
class Rules:
    """How messages are told apart. `binary_pings`: a binary message is a ping. `bare_texts`: a text is base64."""

    binary_pings: bool = False
    bare_texts: bool = True
    payload_fields: Sequence[str] = PAYLOAD_FIELDS


class ConversationAudioProtocol(SingleCall):
    """One conversation over all its connections. Implements `ingest.protocol.DialledProtocol`."""

    def __init__(self, call: Call, description: Description, rules: Rules) -> None:
        super().__init__(call, description)
        self._rules = rules

    def receive_text(self, text: str, now_s: float) -> list[Effect]:
        """Take audio or an error."""
        try:
            message = parse(text, self._rules.payload_fields, bare=self._rules.bare_texts)
        except MalformedMessage as defect:
            return [self._odd(Observation.PROTOCOL_ERROR, str(defect))]
        if message is None:
            return [Observed(Observation.UNKNOWN_MESSAGE)]
        if isinstance(message, Audio):
            return self._audio(message.payload, now_s)
        return self._failed(message.code, message.message)

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:
        """Answer a ping with what it held, or take audio."""
        return [SendBinary(data)] if self._rules.binary_pings else self._audio(data, now_s)
