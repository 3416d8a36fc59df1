"""The media streams machine: what one connection after the other delivers, and the time → facts about its sessions.

One machine follows the interactions it is given, each a session whose key is the interaction's id, until none is left
or it is told to stop.
"""

from collections.abc import Iterable

from ingest.identity import one_spelling
from ingest.link import Link, exhausted
from ingest.protocol import (
    Call,
    CloseConnection,
    Effect,
    Ended,
    Observation,
    Observed,
    SendText,
)
from ingest.sources.media_streams.followed import Followed, Wanted
from ingest.sources.media_streams.messages import NOT_AVAILABLE, Failure, Packet, parse, subscription
from ingest.text import MalformedMessage
from schemas.symbols import CallEventKind, ClosedBy, Reason

QUIET_S = 60.0
"""A stream that brings nothing for so long is counted."""
ALONE_S = 0.5
"""Between two messages that ask for one interaction each: an error that names none is about the one asked for last."""
_NORMAL = 1000
_REFUSALS = range(400, 500)


class MediaStreamsProtocol:
    """Interactions followed over one connection at a time. Implements `ingest.protocol.DialledProtocol`."""

    def __init__(self, calls: Iterable[Call], wanted: Wanted) -> None:
        self._wanted = wanted
        self._waiting: dict[str, tuple[Call, str | None]] = {call.conversation_id: (call, None) for call in calls}
        self._followed: dict[str, Followed] = {}
        self._left: set[str] = set()
        self._link = Link()
        self._named: set[str] = set()
        self._token: str | None = None
        self._asked_alone: str | None = None
        self._alone_from_s = 0.0
        self._ask_at_s: float | None = None
        self._quiet_at_s: float | None = None
        self._over = not self._waiting

    @property
    def finished(self) -> bool:
        """True once no interaction is left to follow: nothing more will come on any connection."""
        return self._over

    @property
    def remaining(self) -> tuple[str, ...]:
        """The interactions that are followed."""
        return (*self._followed, *self._waiting)

    # --- what is followed

    def use_token(self, token: str | None) -> None:
        """Take the token that stands in the handshake: what the peer says is told without it."""
        self._token = token

    def follow(self, call: Call, now_s: float) -> list[Effect]:
        """Follow one more; where there is a connection, ask for it alone."""
        key = call.conversation_id
        if self._over or key in self._followed or key in self._waiting:
            return []
        self._waiting[key] = call, None
        if not self._link.up:
            return []
        return self._open_waiting(now_s) + self._ask(now_s)

    def unfollow(self, conversation_id: str, ended: Ended, now_s: float) -> list[Effect]:
        """End the session of a call and forget it; with the last one, the connection.

        One without a session has one for as long as it takes to say that its media is not available.
        """
        effects: list[Effect] = []
        followed = self._followed.pop(conversation_id, None)
        call, earlier = self._waiting.pop(conversation_id, (None, None))
        if call is not None and ended.not_available:
            followed = Followed(call, self._wanted, now_s)
            effects.append(followed.opened(earlier))
        if followed is not None:
            if ended.not_available:
                effects.append(followed.told(CallEventKind.NOT_AVAILABLE, ended.code, ended.message))
            effects += followed.closed(ended.reason, ended.closed_by, ended.code, ended.message)
            self._left.add(conversation_id)
        return effects + self._finish_without_calls()

    def drain(self, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """End all sessions and close the connection."""
        self._waiting.clear()
        return self._close_all(Reason.DRAIN) + self._finish_without_calls()

    def gave_up(self, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """End all sessions; a later connection opens them anew."""
        self._waiting.update((key, (followed.call, key)) for key, followed in self._followed.items())
        effects: list[Effect] = []
        for key, followed in self._followed.items():
            effects.append(exhausted(key, followed.placement.head_samples))
            effects += followed.closed(Reason.BUDGET_SPENT)
        self._followed.clear()
        return effects

    # --- the connection

    def connected(self, now_s: float) -> list[Effect]:
        """Ask for all that is followed; open the sessions that are not open."""
        loss = self._link.connected(now_s)
        self._named.clear()
        self._left.clear()
        self._asked_alone = None
        if self._over:
            return [CloseConnection(_NORMAL)]
        effects: list[Effect] = []
        for key, followed in self._followed.items():
            followed.flows = False
            if followed.ask_s is None or not followed.alone:
                followed.ask_s = now_s
            if loss is not None:
                head = followed.placement.head_samples
                effects.append(loss.reconnected(key, position_samples=head, last_frame_s=followed.frame_s))
        effects += self._open_waiting(now_s)
        self._quiet_at_s = now_s + QUIET_S
        return effects + self._ask(now_s)

    def disconnected(self, now_s: float, code: int, reason: str, closed_by: ClosedBy) -> list[Effect]:
        """Take the loss of the connection; the sessions wait for the next one."""
        self._link.disconnected(now_s, code, reason, closed_by)
        effects: list[Effect] = []
        alone = self._suspect_alone()
        if alone is not None and closed_by is ClosedBy.REMOTE and now_s < self._alone_from_s:
            # it may have been closed for that one
            effects = self._refused(alone, Failure(alone.key, -1, None, None), now_s)
        self._ask_at_s = self._quiet_at_s = None
        for followed in self._followed.values():
            followed.placement.interrupt()
        return effects

    def timeout(self, now_s: float) -> list[Effect]:
        """Count the streams that have been silent for a minute; ask again for what was not available."""
        effects: list[Effect] = []
        if self._quiet_at_s is not None and now_s >= self._quiet_at_s:
            for key, followed in self._followed.items():
                if now_s - followed.heard_s >= QUIET_S:
                    followed.heard_s = now_s
                    effects.append(Observed(Observation.DEADLINE_PASSED, key=key))
            heard_s = min((followed.heard_s for followed in self._followed.values()), default=now_s)
            self._quiet_at_s = heard_s + QUIET_S
        if self._ask_at_s is not None and now_s >= self._ask_at_s:
            effects += self._ask(now_s)
        return effects

    def deadline_s(self) -> float | None:
        """Return when the next look at the streams is due; None without a connection."""
        if self._ask_at_s is None or self._quiet_at_s is None:
            return self._quiet_at_s
        return min(self._ask_at_s, self._quiet_at_s)

    # --- messages

    def receive_text(self, text: str, now_s: float) -> list[Effect]:
        """Take a packet or an error."""
        scale = self._wanted.scale
        try:
            message = parse(text, scale.sequence_bits, scale.timestamp_bits)
            if isinstance(message, Packet):
                followed = self._named_call(message.interaction_id)
                outside = Observed(Observation.AUDIO_OUTSIDE_SESSION)
                return [outside] if followed is None else followed.take(message, now_s)
        except MalformedMessage as defect:
            return [self._odd(Observation.PROTOCOL_ERROR, str(defect))]
        if message is None:
            return [Observed(Observation.UNKNOWN_MESSAGE)]
        failure = message.without(self._token)
        if failure.interaction_id is None:
            return self._failure_of_any(failure, now_s)
        return self._failure_of_one(failure.interaction_id, failure, now_s)

    def _named_call(self, interaction_id: str) -> Followed | None:
        """Return the call a message names, in whichever spelling."""
        found = self._followed.get(interaction_id)
        return self._followed.get(one_spelling(interaction_id)) if found is None else found

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """Count a binary message: this source sends none."""
        return [self._odd(Observation.UNEXPECTED_MESSAGE, "a binary message")]

    def _failure_of_one(self, key: str, failure: Failure, now_s: float) -> list[Effect]:
        """Take an error that names its interaction."""
        followed = self._named_call(key)
        if followed is None:
            # what was left is still sent, for nobody can unsubscribe, and so is its end
            defect = "" if {key, one_spelling(key)} & self._left else "an error of no interaction followed here"
            return [self._odd(Observation.UNEXPECTED_MESSAGE, defect)]
        if failure.code == NOT_AVAILABLE and followed.flows:
            del self._followed[followed.key]
            return followed.over(failure) + self._finish_without_calls()
        effects: list[Effect] = []
        if failure.code != NOT_AVAILABLE and not followed.refusals:
            effects.append(followed.told(CallEventKind.PLATFORM_ERROR, failure.status, failure.text))
        if failure.code == NOT_AVAILABLE or failure.status in _REFUSALS:
            effects += self._refused(followed, failure, now_s)
        return effects

    def _failure_of_any(self, failure: Failure, now_s: float) -> list[Effect]:
        """Take an error that names none: of the one it can be about, else of all.

        It may have refused all that was asked for in one message, for the sake of one: that is asked for again, each
        alone, until it is clear which one it is.
        """
        suspects = [followed for followed in self._followed.values() if followed.is_suspect]
        refusal = failure.code == NOT_AVAILABLE or failure.status in _REFUSALS
        only = self._suspect_alone() or (suspects[0] if len(suspects) == 1 else None)
        if len(self._followed) == 1:
            only = next(iter(self._followed.values()))
        if only is not None and refusal:
            return self._failure_of_one(only.key, failure, now_s)
        if not self._followed:
            return [self._odd(Observation.UNEXPECTED_MESSAGE, "an error of no interaction followed here")]
        if refusal and not suspects and any(followed.alone for followed in self._followed.values()):
            # one of several about the same message
            return [Observed(Observation.UNEXPECTED_MESSAGE)]
        if refusal:
            self._ask_alone(suspects, now_s)
        return [
            followed.told(CallEventKind.PLATFORM_ERROR, failure.status, failure.text)
            for followed in self._followed.values()
        ]

    def _refused(self, followed: Followed, failure: Failure, now_s: float) -> list[Effect]:
        """Ask for one again after a while, or no more."""
        if not followed.is_suspect:
            return []
        followed.refusals += 1
        if followed.refusals >= self._wanted.tries:
            del self._followed[followed.key]
            return followed.over(failure) + self._finish_without_calls()
        beside = [other for other in self._followed.values() if other.is_suspect and other.shared]
        self._ask_alone([followed, *beside] if followed.shared else [followed], now_s)
        return []

    # --- asking

    def _open_waiting(self, now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        for key, (call, earlier) in self._waiting.items():
            self._followed[key] = Followed(call, self._wanted, now_s)
            self._left.discard(key)
            effects.append(self._followed[key].opened(earlier))
        self._waiting.clear()
        return effects

    def _ask(self, now_s: float) -> list[Effect]:
        """Ask for what is due: for most in one message, for those to be asked for alone one after the other."""
        waiting = [(followed, followed.ask_s) for followed in self._followed.values()]
        due = [followed for followed, ask_s in waiting if ask_s is not None and ask_s <= now_s]
        together = [followed for followed in due if not followed.alone]
        alone = [followed for followed in due if followed.alone][: now_s >= self._alone_from_s]
        messages = [group for group in (together, alone) if group]
        for followed in together + alone:
            followed.ask_s, followed.shared = None, len(together) > 1 and not followed.alone
        if alone:
            before = self._suspect_alone()
            if before is not None:
                # it was not refused
                before.alone = False
            self._asked_alone, self._alone_from_s = alone[0].key, now_s + ALONE_S
        self._schedule()
        return [SendText(subscription((each.key, each.codecs) for each in group)) for group in messages]

    def _ask_alone(self, several: Iterable[Followed], now_s: float) -> None:
        """Ask for each of several in a message of its own, after the delay."""
        for followed in several:
            followed.alone, followed.shared, followed.ask_s = True, False, now_s + self._wanted.retry_s
        self._schedule()

    def _schedule(self) -> None:
        """Work out when something is to be asked for next."""
        times = [
            max(followed.ask_s, self._alone_from_s) if followed.alone else followed.ask_s
            for followed in self._followed.values()
            if followed.ask_s is not None
        ]
        self._ask_at_s = min(times, default=None) if self._link.up else None

    def _suspect_alone(self) -> Followed | None:
        """Return the interaction that was asked for alone last, while nothing has come of it."""
        followed = self._followed.get(self._asked_alone or "")
        return followed if followed is not None and followed.is_suspect else None

    # --- the end

    def _close_all(self, reason: Reason) -> list[Effect]:
        effects = [effect for followed in self._followed.values() for effect in followed.closed(reason)]
        self._followed.clear()
        return effects

    def _finish_without_calls(self) -> list[Effect]:
        """With the last call, end the connection."""
        if self._over or self._followed or self._waiting:
            return []
        self._over = True
        self._ask_at_s = self._quiet_at_s = None
        return [CloseConnection(_NORMAL)] if self._link.up else []

    def _odd(self, what: Observation, defect: str) -> Observed:
        """Count what should not have come; it is named once on each connection."""
        if defect in self._named:
            return Observed(what)
        self._named.add(defect)
        return Observed(what, detail=defect)
