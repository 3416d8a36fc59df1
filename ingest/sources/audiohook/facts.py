"""What the words of AudioHook mean as facts of a call."""

import re
from collections.abc import Mapping
from typing import Any

from ingest.protocol import EventReceived, SessionOpened
from ingest.sources.audiohook.messages import MediaOffer, OpenParameters
from ingest.text import text_of, whole_number_of
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, Channel, Channels, Codec, Reason, Source

_CLOSE_REASONS = {"end": Reason.END, "error": Reason.PEER_ERROR, "reconnect": Reason.RECONNECT}
_MAX_CODE = 2**31
_DIGIT = re.compile(r"[0-9A-Da-d*#]", re.ASCII)
"""The keys there are (RFC 4733 section 3.2); a text that is none would be no digit, but something somebody typed."""


def session_info(opened: OpenParameters, source_name: str, session_id: str, correlation_id: str) -> SessionInfo:
    """Return what `open` and the upgrade request say about the session."""
    return SessionInfo(
        conversation_id=opened.conversation_id,
        source_name=source_name,
        organisation=opened.organization_id,
        direction=opened.direction,
        language=opened.language,
        participants=(opened.participant,),
        platform_session_id=session_id,
        correlation_id=correlation_id,
        continued_from=opened.continued_from,
        queue=opened.queue,
        agent=opened.agent,
        division=opened.division,
    )


def session_opened(key: str, info: SessionInfo, offer: MediaOffer | None, rate_hz: int) -> SessionOpened:
    """Return the begin of a session; without an accepted offer it carries no audio."""
    return SessionOpened(
        key=key,
        info=info,
        source=Source.AUDIOHOOK,
        sample_rate_hz=rate_hz,
        codec=Codec.UNKNOWN if offer is None else offer.codec,
        channels=Channels.UNKNOWN if offer is None else offer.channels,
    )


def platform_error(key: str, parameters: Mapping[str, Any], *, quotes: bool) -> EventReceived:
    """Return the client's `error` as an event, with its words only where that is allowed."""
    code = whole_number_of(parameters.get("code"), _MAX_CODE)
    text = text_of(parameters.get("message")) if quotes else None
    return _event(key, CallEventKind.PLATFORM_ERROR, code=-1 if code is None else code, message=text)


def language_changed(key: str, language: str) -> EventReceived:
    """Return a new language as an event."""
    return _event(key, CallEventKind.LANGUAGE_CHANGED, language=language)


def dtmf(key: str, parameters: Mapping[str, Any], *, publish_digits: bool) -> EventReceived:
    """Return a pressed key as an event, with its digit only where that is allowed."""
    digit = parameters.get("digit") if publish_digits else None
    known = isinstance(digit, str) and _DIGIT.fullmatch(digit) is not None
    return _event(key, CallEventKind.DTMF, channel=Channel.EXTERNAL, digit=digit if known else None)


def playback(key: str, message_type: str) -> EventReceived:
    """Return `playback_started` or `playback_completed` as an event."""
    return _event(key, CallEventKind[message_type.upper()], channel=Channel.BOT)


def close_reason(parameters: Mapping[str, Any]) -> Reason:
    """Return why the client closes; OTHER where it answers our `disconnect` or says nothing we know."""
    return _CLOSE_REASONS.get(str(parameters.get("reason")), Reason.OTHER)


def _event(key: str, kind: CallEventKind, **details: Any) -> EventReceived:
    return EventReceived(key, CallEvent(kind=kind, conversation_id="", session_id="", **details))
