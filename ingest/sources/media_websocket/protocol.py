"""The media WebSocket machine: what one connection after the other delivers, and the time → facts about its session."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ingest.media import PAYLOAD_FIELDS
from ingest.protocol import Call, Effect, GiveUp, Observation, Observed, SendText
from ingest.single_call import Description, SingleCall
from ingest.sources.media_websocket.messages import (
    Audio,
    Authentication,
    Failure,
    Subscription,
    auth,
    parse,
    subscribe,
)
from ingest.text import MalformedMessage
from schemas.symbols import ClosedBy

SCOPE = "media:websocket:write"
"""What the OAuth client has to be allowed."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of the exchange before the audio. `authenticates`: the token stands in a message."""

    authenticates: bool = True
    user_id: str | None = None
    auth_timeout_s: float = 5.0
    subscribe_timeout_s: float = 10.0
    payload_fields: Sequence[str] = PAYLOAD_FIELDS


class _State(Enum):
    IDLE = auto()
    AUTHENTICATING = auto()
    SUBSCRIBING = auto()
    LIVE = auto()


class MediaWebSocketProtocol(SingleCall):
    """One media connection over all its WebSockets. Implements `ingest.protocol.DialledProtocol`."""

    def __init__(self, call: Call, description: Description, rules: Rules) -> None:
        super().__init__(call, description)
        self._rules = rules
        self._connection_id = call.connection_id or ""
        self._state = _State.IDLE

    def connected(self, now_s: float) -> list[Effect]:
        """Open the session, or let it go on; say who we are, or ask for the audio where that is done."""
        effects = super().connected(now_s)
        if self.finished:
            return effects
        if not self._rules.authenticates:
            return effects + self._subscribe(now_s)
        if self._token is None:
            return effects + self._refuse("there is no token to authenticate with: configure the OAuth client")
        self._state = _State.AUTHENTICATING
        self._deadline_s = now_s + self._rules.auth_timeout_s
        return [*effects, SendText(auth(self._token, self._rules.user_id))]

    def receive_text(self, text: str, now_s: float) -> list[Effect]:
        """Take an answer, audio or an error."""
        try:
            message = parse(text, self._rules.payload_fields)
        except MalformedMessage as defect:
            return [self._odd(Observation.PROTOCOL_ERROR, str(defect))]
        match message:
            case None:
                return [Observed(Observation.UNKNOWN_MESSAGE)]
            case Audio():
                return self._heard(message.payload, now_s)
            case Authentication():
                return self._authenticated(message, now_s)
            case Subscription():
                return self._acknowledged(message)
        return self._error(message)

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:
        """Take audio."""
        return self._heard(data, now_s)

    def disconnected(self, now_s: float, code: int, reason: str, closed_by: ClosedBy) -> list[Effect]:
        """Take the loss of the connection; the session waits for the next one."""
        self._state = _State.IDLE
        return super().disconnected(now_s, code, reason, closed_by)

    def timeout(self, now_s: float) -> list[Effect]:
        """Give up on a peer that does not answer."""
        if self._deadline_s is None or now_s < self._deadline_s:
            return []
        observed = Observed(Observation.DEADLINE_PASSED, key=self._key)
        if self._state is _State.AUTHENTICATING:
            return [observed, *self._refuse_token(None)]
        return [observed, *self._refuse_subscription("no acknowledgement and no audio")]

    def _subscribe(self, now_s: float) -> list[Effect]:
        self._state = _State.SUBSCRIBING
        self._deadline_s = now_s + self._rules.subscribe_timeout_s
        return [SendText(subscribe(self._connection_id))]

    def _authenticated(self, answer: Authentication, now_s: float) -> list[Effect]:
        if self._state is _State.AUTHENTICATING:
            return self._subscribe(now_s) if answer.granted else self._refuse_token(answer.message)
        if answer.granted or self._state is _State.IDLE:
            return [self._odd(Observation.UNEXPECTED_MESSAGE, "an answer to no token")]
        self._state = _State.IDLE
        self._deadline_s = None
        return self._refused_by_now(-1, answer.message)

    def _acknowledged(self, answer: Subscription) -> list[Effect]:
        if self._state is _State.SUBSCRIBING:
            if not answer.granted:
                return self._refuse_subscription(answer.message or "no reason")
            self._live()
            return []
        if self._state is _State.LIVE and answer.granted:
            return []
        return [self._odd(Observation.UNEXPECTED_MESSAGE, "an answer to no subscription")]

    def _heard(self, payload: bytes, now_s: float) -> list[Effect]:
        if self._state is _State.SUBSCRIBING:
            self._live()
        if self._state is not _State.LIVE:
            return [Observed(Observation.AUDIO_OUTSIDE_SESSION)]
        return self._audio(payload, now_s)

    def _live(self) -> None:
        self._state = _State.LIVE
        self._deadline_s = None

    def _error(self, failure: Failure) -> list[Effect]:
        """Take an error: before there is audio, it is the answer to what was asked last."""
        told = self._failed(failure.code, failure.message)
        if self._state is _State.AUTHENTICATING:
            return told + self._refuse_token(failure.message)
        if self._state is _State.SUBSCRIBING:
            return told + self._refuse_subscription(failure.message or "no reason")
        return told

    def _refuse_token(self, message: str | None) -> list[Effect]:
        answer = f"said: {self._words(message)}" if message else "said nothing"
        return self._refuse(f"the token was not accepted, the peer {answer}; it needs the scope {SCOPE}", token=True)

    def _refuse_subscription(self, message: str) -> list[Effect]:
        return self._refuse(f"no audio of the media connection {self._connection_id}: {self._words(message)}")

    def _refuse(self, message: str, *, token: bool = False) -> list[Effect]:
        self._state = _State.IDLE
        self._deadline_s = None
        return [GiveUp(message, token_refused=token)]
