"""The platform's side of media streams for tests: what it would send, spelled out."""

import base64
import json
from collections.abc import Sequence

from ingest.identity import Lineage, uuid7
from ingest.placement import Scale
from ingest.protocol import AudioReceived, Call, Effect, Fact, Mark, SendText
from ingest.sequencer import Encoding, Moment, Outgoing, Sequencer
from ingest.sources.media_streams.followed import Wanted
from ingest.sources.media_streams.protocol import MediaStreamsProtocol
from schemas.codec import SchemaStore

STORE = SchemaStore()
CALL = "6f3e0b7c-0d5b-4a57-9a0c-111111111111"
OTHER = "6f3e0b7c-0d5b-4a57-9a0c-222222222222"
FRAME = b"\x7f" * 160


def packet(number: int, interaction: str = CALL, *, payload: bytes = FRAME, base: int = 0, **changes) -> str:
    """Return packet `number` of a 20 ms stream whose numbers start at `base`, as the document has it."""
    message = {
        "interactionId": interaction,
        "sequenceNumber": (base + number) % 2**32,
        "timestamp": (base + number * 160) % 2**32,
        "payload": base64.b64encode(payload).decode("ascii"),
    }
    return json.dumps({key: value for key, value in {**message, **changes}.items() if value is not ...})


def not_available(interaction: str = CALL) -> str:
    return json.dumps({"status": 400, "code": "mediaNotAvailable", "interactionId": interaction})


def subscription(*interactions: str, codecs: Sequence[str] = ("pcmu",)) -> dict:
    return {
        "interactions": [
            {"interactionId": each, "mediaType": "voice", "codecPreferences": list(codecs)} for each in interactions
        ]
    }


class Stream:
    """A machine, the time, and everything it asked for; its facts go through a sequencer, as they do in the shell."""

    def __init__(self, *interactions: str, wanted: Wanted | None = None, **scale: int) -> None:
        self.now_s = 100.0
        self.machine = MediaStreamsProtocol(
            [Call(each) for each in interactions or (CALL,)], wanted or Wanted(scale=Scale(**scale))
        )
        self.effects: list[Effect] = []
        self.records: list[Outgoing] = []
        self._drawn = 0
        self._sequencer = Sequencer(Encoding(STORE), self._draw, Lineage())

    def _draw(self):
        self._drawn += 1
        return uuid7(self.now_s, self._drawn.to_bytes(10, "big"))

    def after(self, seconds: float) -> "Stream":
        self.now_s += seconds
        return self

    def do(self, what: str, *arguments) -> list[Effect]:
        """Call the machine at its time; return what it asks for."""
        method = getattr(self.machine, what)
        text = what in ("receive_text", "receive_binary", "follow", "unfollow")
        effects = method(*arguments, self.now_s) if text else method(self.now_s, *arguments)
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Fact):
                self.records += self._sequencer.take(effect, Moment(1.7e9 + self.now_s, self.now_s))
        return effects

    def send(self, *texts: str) -> list[Effect]:
        return [effect for text in texts for effect in self.do("receive_text", text)]

    def sent(self) -> list[dict]:
        return [json.loads(effect.text) for effect in self.effects if isinstance(effect, SendText)]

    def audio(self, key: str = CALL) -> list[AudioReceived]:
        return [effect for effect in self.effects if isinstance(effect, AudioReceived) and effect.key == key]

    def marks(self) -> list[Mark]:
        return [effect for effect in self.effects if isinstance(effect, Mark)]
