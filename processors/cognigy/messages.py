"""The endpoint's messages: an utterance → the body of a request, the body of an answer → what the bot said.

docs.cognigy.com, "REST endpoint": userId, sessionId, text and data go out; text, data and outputStack come back.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from processors.cognigy.events import BotInput, BotOutput, Intent
from schemas.records import Utterance
from schemas.symbols import BotSpeaker

_MOST_OUTPUTS = 200
_USER_DIGITS = 32
_SPEAKERS: Mapping[str, BotSpeaker] = {
    "bot": BotSpeaker.BOT,
    "agent": BotSpeaker.AGENT,
    "engagement": BotSpeaker.ENGAGEMENT,
}


@dataclass(frozen=True, slots=True)
class BotAnswer:
    """All that the bot answered to one input. `intent` is the first one found."""

    outputs: tuple[BotOutput, ...]
    trace_id: str | None = None
    intent: Intent | None = None


def turn_id(utterance_id: str) -> str:
    """Return the id of the turn an utterance causes, however often it is derived."""
    return hashlib.sha256(utterance_id.encode()).hexdigest()


def user_id(conversation_id: str) -> str:
    """Return the pseudonym under which the bot knows the caller of a conversation."""
    return hashlib.sha256(f"callstream-user:{conversation_id}".encode()).hexdigest()[:_USER_DIGITS]


def request(utterance: Utterance, about: Mapping[str, Any] | None = None) -> bytes:
    """Return the body of the request that makes an utterance the bot's input. `about` is told of the call with it."""
    data: dict[str, Any] = {
        "_idem": turn_id(utterance.utterance_id),
        "input": utterance.input.lower(),
        "channel": utterance.channel.lower(),
        "language": utterance.language,
        "confidence": utterance.confidence if utterance.confidence >= 0 else None,
        "occurredAtMs": utterance.occurred_at_us // 1000 if utterance.occurred_at_us >= 0 else None,
    }
    if about is not None:
        data["call"] = dict(about)
    body = {
        "userId": user_id(utterance.conversation_id),
        "sessionId": utterance.conversation_id,
        # an input that only says what call it is has no words
        **({"text": utterance.text} if utterance.text is not None else {}),
        "data": data,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def request_of(said: BotInput) -> bytes:
    """Return the body of the request of an input."""
    return request(said.utterance, said.about)


def read_answer(body: bytes, longest_bytes: int, paths: tuple[str, str]) -> BotAnswer:
    """Return what an answer with status 2xx says; what is not as documented becomes an output with its defect.

    `paths` are where intent and score stand in `data`: names joined by dots.
    """
    if len(body) > longest_bytes:
        return _unreadable("the answer is too large")
    try:
        content = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _unreadable("the answer is not JSON")
    if not isinstance(content, dict):
        return _unreadable("the answer is no object")
    stack = content.get("outputStack")
    if not isinstance(stack, list):
        return _unreadable("the answer has no list outputStack")
    outputs = tuple(_output(entry, paths) for entry in stack[:_MOST_OUTPUTS])
    if len(stack) > _MOST_OUTPUTS:
        outputs += (BotOutput(defect="the answer has too many outputs"),)
    intents = (output.intent for output in outputs if output.intent)
    traces = (output.trace_id for output in outputs if output.trace_id)
    return BotAnswer(outputs, next(traces, None), next(intents, None) or _intent(content.get("data"), paths))


def trace_of(body: bytes) -> str | None:
    """Return the trace id an error body states (RFC 7807 with `traceId`), None where it states none."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return _text(content.get("traceId")) if isinstance(content, dict) else None


def _unreadable(defect: str) -> BotAnswer:
    return BotAnswer((BotOutput(defect=defect),))


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _output(entry: Any, paths: tuple[str, str]) -> BotOutput:
    if not isinstance(entry, dict):
        return BotOutput(defect="an output is no object")
    text, data, source = entry.get("text"), entry.get("data"), entry.get("source")
    if text is not None and not isinstance(text, str):
        return BotOutput(defect="the text of an output is no text")
    try:
        # escapes keep lone surrogates, which UTF-8 cannot hold
        data_json = None if data is None else json.dumps(data, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return BotOutput(defect="the data of an output holds a number beyond all limits")
    return BotOutput(
        _SPEAKERS.get(source, BotSpeaker.UNKNOWN) if isinstance(source, str) else BotSpeaker.UNKNOWN,
        _text(text),
        data_json,
        _text(entry.get("traceId")),
        _intent(data, paths),
    )


def _text(value: Any) -> str | None:
    """Return a text that UTF-8 can hold, None for what is no text."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _intent(data: Any, paths: tuple[str, str]) -> Intent | None:
    path, score_path = paths
    name = _text(_at(data, path))
    if not name:
        return None
    score = _at(data, score_path)
    known = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1
    return Intent(name, float(score) if known and math.isfinite(score) else -1.0, path)


def _at(data: Any, path: str) -> Any:
    """Return what stands at a path of names joined by dots, None where nothing does."""
    for name in path.split("."):
        if not isinstance(data, dict):
            return None
        data = data.get(name)
    return data
