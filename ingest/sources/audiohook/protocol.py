"""The AudioHook machine: what one connection delivers, and the time → answers for the peer and facts about its session.

The timeline counts samples: those received while active, plus what the client says it discarded, also while paused. A
client states its own position with each message, so the difference (drift) shows what was lost on the way.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from ingest.protocol import (
    AudioReceived,
    CloseConnection,
    Effect,
    Fact,
    Mark,
    Observation,
    Observed,
    SendText,
    SessionClosed,
    SessionInfoChanged,
    Withheld,
)
from ingest.sources.audiohook import facts
from ingest.sources.audiohook.messages import (
    ClientMessage,
    MediaOffer,
    build,
    choose,
    duration_parameter,
    opened_parameters,
    parse,
    parse_open,
)
from ingest.sources.audiohook.pauses import Pauses
from ingest.sources.audiohook.states import (
    ACTIVE_STATES,
    LIVE_STATES,
    MEANINGFUL,
    MESSAGES,
    PAUSED_STATES,
    State,
    Trigger,
    after,
)
from ingest.sources.audiohook.timeline import Timeline
from ingest.text import MalformedMessage, text_of
from schemas.records import SessionInfo
from schemas.symbols import ClosedBy, Codec, FrameKind, Reason

DEFAULT_RATE_HZ = 8000
_NORMAL, _GOING_AWAY = 1000, 1001


@dataclass(frozen=True, slots=True)
class Limits:
    """What the machine is told by the settings."""

    source_name: str = "audiohook"
    l16: Codec = Codec.L16_LE
    max_message_bytes: int = 65_536
    max_ahead_s: float = 600.0
    open_deadline_s: float = 10.0
    idle_s: float = 15.0
    close_deadline_s: float = 10.0
    publish_digits: bool = False
    supported_languages: tuple[str, ...] = ()


class AudioHookProtocol:
    """One connection, from the accepted upgrade to its end. Implements `ingest.protocol.SourceProtocol`.

    The ids are those of the upgrade request: every message must repeat the session's, `open` the organisation's.
    """

    def __init__(self, organization_id: str, session_id: str, correlation_id: str, limits: Limits) -> None:
        self.state = State.OPENING
        self._organization_id = organization_id
        self._session_id = session_id
        self._correlation_id = correlation_id
        self._limits = limits
        self._deadline_s: float | None = None
        self._closing = False
        self._client_seq = 0
        self._server_seq = 0
        self._offer: MediaOffer | None = None
        self._timeline = Timeline(DEFAULT_RATE_HZ)
        self._info = SessionInfo(conversation_id="")
        self._probe = False
        self._pauses = Pauses()

    @property
    def finished(self) -> bool:
        """True once nothing more will come."""
        return self._closing or self.state is State.GONE

    @property
    def position_samples(self) -> int:
        """Where the session's timeline stands."""
        return self._timeline.position_samples

    @property
    def drift_samples(self) -> int:
        """Stated position minus ours, when last compared."""
        return self._timeline.drift_samples

    @property
    def withheld(self) -> Withheld | None:
        """What keeps us from asking for the audio that is wanted again; None where nothing does."""
        if not self._pauses.withheld or self.state is not State.PAUSED:
            return None
        return Withheld(self._info.conversation_id, self._pauses.secure_since_s)

    def connected(self, now_s: float) -> list[Effect]:
        """The upgrade was accepted."""
        self._deadline_s = now_s + self._limits.open_deadline_s
        return []

    def deadline_s(self) -> float | None:
        """Return when `timeout` must be called."""
        return self._deadline_s

    def receive_text(self, text: str, now_s: float) -> list[Effect]:
        """Take a text message."""
        if self.state in (State.CLOSED, State.GONE):
            return [Observed(Observation.UNEXPECTED_MESSAGE)]
        try:
            message = self._read(text)
            effects = self._take(message, now_s)
        except MalformedMessage as defect:
            return self._visible(self._fail(str(defect), now_s))
        return self._visible(effects)

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:
        """Take a message of audio."""
        if self.state not in ACTIVE_STATES or self._offer is None:
            paused = self.state in PAUSED_STATES
            return [Observed(Observation.AUDIO_WHILE_PAUSED if paused else Observation.AUDIO_OUTSIDE_SESSION)]
        samples, rest = divmod(len(data), self._offer.bytes_per_sample)
        if rest or len(data) > self._limits.max_message_bytes:
            defect = "a frame holds no whole samples" if rest else "a frame is too long"
            return self._visible(self._fail(defect, now_s))
        if self._timeline.ahead_s(samples, now_s) > self._limits.max_ahead_s:
            return self._visible(self._fail("audio comes faster than time", now_s))
        position = self._timeline.receive(samples)
        if self._probe or not samples:
            return []
        return [
            AudioReceived(
                key=self._session_id,
                payload=data,
                codec=self._offer.codec,
                channels=self._offer.channels,
                sample_rate_hz=self._offer.rate_hz,
                position_samples=position,
                duration_samples=samples,
            )
        ]

    def disconnected(self, now_s: float, code: int, reason: str, closed_by: ClosedBy) -> list[Effect]:  # noqa: ARG002 - the interface
        """Take the end of the connection; a session that was not closed ends here."""
        effects: list[Effect] = []
        if self.state in LIVE_STATES:
            why = Reason.DRAIN if self._draining else Reason.SOCKET_LOST
            effects.append(self._ended(why, closed_by, code))
        self._move(Trigger.LOST)
        self._deadline_s = None
        return self._visible(effects)

    def timeout(self, now_s: float) -> list[Effect]:
        """Act on the deadline that has passed."""
        if self._deadline_s is None or now_s < self._deadline_s:
            return []
        passed = self._noticed(Observation.DEADLINE_PASSED, self.state.name.lower())
        if self.state is State.OPENING:
            return [passed, *self._fail("no open", now_s)]
        if self.state in (State.ACTIVE, State.PAUSED):
            return self._visible([passed, *self._fail("no ping", now_s, Reason.SOCKET_LOST, ClosedBy.TIMEOUT)])
        self._closing = True
        self._deadline_s = None
        return [passed, CloseConnection(_GOING_AWAY if self._draining else _NORMAL)]

    def drain(self, now_s: float) -> list[Effect]:
        """End the session from our side, keeping what is still under way."""
        before = self.state
        self._move(Trigger.DRAIN)
        if self.state is before:
            return []
        self._deadline_s = now_s + self._limits.close_deadline_s
        return [self._send("disconnect", self._client_seq, {"reason": "completed"})]

    def pause(self, now_s: float) -> list[Effect]:  # noqa: ARG002 - as all commands
        """Ask the client for no audio until `resume`; what is under way is kept. A session not open starts paused."""
        if self.state not in (State.OPENING, State.ACTIVE, State.PAUSED):
            return []
        may_ask = self.state is State.ACTIVE or (self.state is State.PAUSED and self._pauses.ending)
        return [self._send("pause", self._client_seq, {})] if self._pauses.want(may_ask=may_ask) else []

    def resume(self, now_s: float, *, secure_is_over: bool = False) -> list[Effect]:  # noqa: ARG002 - as all commands
        """Ask for audio again; not while the client's own pause holds, unless somebody knows that it is over."""
        asked = self._pauses.want_no_more(secure_is_over=secure_is_over)
        if self.state not in (State.ACTIVE, State.PAUSED):
            return []
        if self._pauses.withheld:
            return [Observed(Observation.RESUME_WITHHELD)]
        return [self._send("resume", self._client_seq, {})] if asked else []

    def _noticed(self, what: Observation, detail: str) -> Observed:
        return Observed(what, detail=detail, key=self._session_id, correlation=self._correlation_id)

    @property
    def _draining(self) -> bool:
        return self.state in (State.DRAINING, State.DRAINING_PAUSED)

    def _move(self, trigger: Trigger) -> None:
        self.state = after(self.state, trigger)

    def _visible(self, effects: list[Effect]) -> list[Effect]:
        """Leave out the facts of a connection probe: it leaves no trace."""
        return [effect for effect in effects if not isinstance(effect, Fact)] if self._probe else effects

    def _read(self, text: str) -> ClientMessage:
        limit = self._limits.max_message_bytes
        if len(text) >= limit or (not text.isascii() and len(text.encode("utf-8", "replace")) >= limit):
            message = "a text message is too long"
            raise MalformedMessage(message)
        return parse(text)

    def _take(self, message: ClientMessage, now_s: float) -> list[Effect]:
        before = self.state
        if before is not State.DISCONNECTING:
            self._check(message)
        self._client_seq = max(self._client_seq, message.seq)
        if before in (State.ACTIVE, State.PAUSED):
            self._deadline_s = now_s + self._limits.idle_s
        trigger = MESSAGES.get(message.type)
        if trigger is None:
            return [Observed(Observation.UNKNOWN_MESSAGE)]
        if trigger not in MEANINGFUL[before]:
            return [Observed(Observation.UNEXPECTED_MESSAGE)]
        effects = self._HANDLERS[trigger](self, message, now_s)
        if before in ACTIVE_STATES or self.state in ACTIVE_STATES:
            effects += self._compare(message)
        return effects

    def _check(self, message: ClientMessage) -> None:
        defect = None
        if not message.current:
            defect = "version is not 2"
        elif message.session_id.lower() != self._session_id.lower():
            defect = "id is not the session's"
        elif message.seq != self._client_seq + 1:
            defect = "seq is not the next one"
        elif message.serverseq > self._server_seq:
            defect = "serverseq is ahead of us"
        if defect is not None:
            raise MalformedMessage(defect)

    def _send(self, kind: str, clientseq: int, parameters: dict[str, object]) -> SendText:
        self._server_seq += 1
        return SendText(build(kind, self._session_id, self._server_seq, clientseq, parameters))

    def _fail(
        self, defect: str, now_s: float, reason: Reason = Reason.PEER_ERROR, closed_by: ClosedBy = ClosedBy.LOCAL
    ) -> list[Effect]:
        """End the session over a defect: one `disconnect`, then only `close` matters."""
        effects: list[Effect] = [self._noticed(Observation.PROTOCOL_ERROR, defect)]
        if self.state in (State.OPENING, *LIVE_STATES):
            if not self._draining:
                effects.append(self._send("disconnect", self._client_seq, {"reason": "error", "info": defect}))
            effects += self._leave(now_s, reason, closed_by, defect)
        return effects

    def _leave(self, now_s: float, reason: Reason, closed_by: ClosedBy, defect: str | None) -> list[Effect]:
        live = self.state in LIVE_STATES
        self._move(Trigger.DEFECT)
        self._deadline_s = now_s + self._limits.close_deadline_s
        return [self._ended(reason, closed_by, message=defect)] if live else []

    def _ended(self, reason: Reason, closed_by: ClosedBy, code: int = -1, message: str | None = None) -> SessionClosed:
        return SessionClosed(
            key=self._session_id,
            reason=reason,
            position_samples=self._timeline.position_samples,
            closed_by=closed_by,
            code=code,
            message=message,
        )

    def _compare(self, message: ClientMessage) -> list[Effect]:
        if self._offer is None or message.position is None or not self._timeline.compare(message.position):
            return []
        return [Observed(Observation.DRIFT_SAMPLES, self._timeline.drift_samples, key=self._session_id)]

    def _mark(self, kind: FrameKind, message: ClientMessage, reason: Reason, *, skips: bool = False) -> Mark:
        """Return a mark at our position; with `skips` the message moves the timeline on."""
        position = self._timeline.position_samples
        duration = -1
        if skips:
            duration_parameter(message.parameters, "start")
            duration = self._timeline.skip(duration_parameter(message.parameters, "discarded"))
        return Mark(
            key=self._session_id,
            kind=kind,
            reason=reason,
            position_samples=position,
            duration_samples=duration,
            stated_position_samples=self._timeline.samples(message.position),
        )

    def _on_open(self, message: ClientMessage, now_s: float) -> list[Effect]:
        opened = parse_open(message.parameters, self._limits.l16)
        if opened.organization_id.lower() != self._organization_id.lower():
            refusal = self._send("disconnect", message.seq, {"reason": "unauthorized"})
            self._leave(now_s, Reason.PEER_ERROR, ClosedBy.LOCAL, None)
            return [self._noticed(Observation.UNAUTHORIZED, "organizationId is not the request's"), refusal]
        self._offer = choose(opened.media)
        self._timeline = Timeline(self._offer.rate_hz if self._offer else DEFAULT_RATE_HZ, now_s)
        self._probe = opened.is_probe
        self._info = facts.session_info(opened, self._limits.source_name, self._session_id, self._correlation_id)
        self._move(Trigger.OPEN)
        self._deadline_s = now_s + self._limits.idle_s
        languages = self._limits.supported_languages if opened.supported_languages_wanted else None
        opening = opened_parameters(self._offer, supported_languages=languages, start_paused=self._pauses.begin())
        answer = self._send("opened", message.seq, opening)
        if self._probe:
            return [answer, Observed(Observation.CONNECTION_PROBE)]
        return [answer, facts.session_opened(self._session_id, self._info, self._offer, self._timeline.rate_hz)]

    def _on_ping(self, message: ClientMessage, _now_s: float) -> list[Effect]:
        pong = self._send("pong", message.seq, {})
        if self.state is State.DISCONNECTING:
            return [pong]
        return [pong, self._mark(FrameKind.ALIVE, message, Reason.UNKNOWN)]

    def _on_paused(self, message: ClientMessage, now_s: float) -> list[Effect]:
        reason = self._pauses.told(now_s, paused=self.state in PAUSED_STATES)
        self._move(Trigger.PAUSED)
        if reason is None:
            return []
        mark = self._mark(FrameKind.PAUSED, message, reason)
        return [mark] if reason is Reason.SECURE_PAUSE else [mark, Observed(Observation.OWN_PAUSE)]

    def _on_resumed(self, message: ClientMessage, _now_s: float) -> list[Effect]:
        mark = self._mark(FrameKind.RESUMED, message, self._pauses.over(), skips=True)
        self._move(Trigger.RESUMED)
        again = self.state is State.ACTIVE and self._pauses.again()
        return [mark, self._send("pause", self._client_seq, {})] if again else [mark]

    def _on_discarded(self, message: ClientMessage, _now_s: float) -> list[Effect]:
        mark = self._mark(FrameKind.DISCARDED, message, Reason.SOURCE_DISCARD, skips=True)
        return [mark] if mark.duration_samples else []

    def _on_update(self, message: ClientMessage, _now_s: float) -> list[Effect]:
        language = text_of(message.parameters.get("language"))
        if language is None or language == self._info.language:
            return []
        self._info = replace(self._info, language=language)
        return [
            SessionInfoChanged(self._session_id, self._info),
            facts.language_changed(self._session_id, language),
        ]

    def _on_error(self, message: ClientMessage, _now_s: float) -> list[Effect]:
        # a peer's own words may quote what was said
        quotes = self.state not in PAUSED_STATES
        return [facts.platform_error(self._session_id, message.parameters, quotes=quotes)]

    def _on_dtmf(self, message: ClientMessage, _now_s: float) -> list[Effect]:
        if self.state in PAUSED_STATES:
            return [Observed(Observation.EVENT_WHILE_PAUSED)]
        return [facts.dtmf(self._session_id, message.parameters, publish_digits=self._limits.publish_digits)]

    def _on_playback(self, message: ClientMessage, _now_s: float) -> list[Effect]:
        return [facts.playback(self._session_id, message.type)]

    def _on_close(self, message: ClientMessage, now_s: float) -> list[Effect]:
        live, draining, reason = self.state in LIVE_STATES, self._draining, facts.close_reason(message.parameters)
        self._move(Trigger.CLOSE)
        self._deadline_s = now_s + self._limits.close_deadline_s
        effects: list[Effect] = [self._send("closed", message.seq, {})]
        if live and draining and reason is Reason.OTHER:
            effects.append(self._ended(Reason.DRAIN, ClosedBy.LOCAL))
        elif live:
            effects.append(self._ended(reason, ClosedBy.REMOTE))
        return effects

    _HANDLERS: ClassVar[dict[Trigger, Callable[["AudioHookProtocol", ClientMessage, float], list[Effect]]]] = {
        Trigger.OPEN: _on_open,
        Trigger.PING: _on_ping,
        Trigger.PAUSED: _on_paused,
        Trigger.RESUMED: _on_resumed,
        Trigger.DISCARDED: _on_discarded,
        Trigger.UPDATE: _on_update,
        Trigger.ERROR: _on_error,
        Trigger.DTMF: _on_dtmf,
        Trigger.PLAYBACK_STARTED: _on_playback,
        Trigger.PLAYBACK_COMPLETED: _on_playback,
        Trigger.CLOSE: _on_close,
    }
