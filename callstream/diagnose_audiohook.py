"""Connects to an AudioHook server as Genesys Cloud would, and tells step by step what it would meet.

All sessions are connection probes (all-zero conversation and participant), also those under load: an ingest keeps no
record of them. Findings hold no key, no secret and no signature.
"""

import asyncio
import ipaddress
import math
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from callstream.audiohook_keys import draw
from callstream.diagnose_causes import of_cause, of_step
from runtime.clock import Clock, SystemClock
from simulators.audiohook import media
from simulators.audiohook.call import NIL, Call
from simulators.audiohook.client import Options, run_call, run_calls, upgrade_headers
from simulators.audiohook.report import CallReport
from simulators.audiohook.scenario import Scenario
from simulators.audiohook.signature import LIFETIME_S, Credentials, Freshness, sign

TIMEOUT_S: Final = 10.0
SLOW_MS: Final = 500.0
"""Of the 5 s the platform waits for `opened` and `pong`; beyond them it says so itself."""
FLOOR_S: Final = 0.45
"""A refusal that is answered sooner tells by its time what it was refused for."""
EXPIRY_WARNING_S: Final = 21 * 86_400
SKEW_S: Final = 5.0
_DAY_S: Final = 86_400
_UPGRADED: Final = 101
_TIMEOUT: Final = 408
_SERVER_ERROR: Final = 500
_OTHER_KEY: Final = "unknown-key-of-the-diagnosis"


class Outcome(Enum):
    """How a step, or a part of it, went. WARNING: it works, but an administrator should know."""

    OK = "ok"
    WARNING = "warn"
    FAILED = "FAIL"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a step found. `codes`: under which of the platform's events a failure can show."""

    step: str
    outcome: Outcome
    text: str
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call, with what. `tls` trusts whom the platform would trust: public authorities."""

    url: str
    credentials: Credentials | None
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    calls: int = 20
    seconds: float = 7.0
    clock: Clock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class Knock:
    """The answer to a request to connect: 101 where it was let in. `skew_s`: the server's clock minus ours."""

    status: int
    body: bytes
    seconds: float
    skew_s: float | None


async def diagnose(target: Target) -> AsyncIterator[Finding]:
    """Yield what each step finds; where a step makes the following ones senseless, they are not tried."""
    parts = urlsplit(target.url)
    for finding in _address(parts):
        yield finding
    reached = await _resolve(parts)
    yield reached
    if reached.outcome is Outcome.FAILED:
        return
    if parts.scheme == "wss":
        found = await _certificate(target, parts)
        yield found
        if found.outcome is Outcome.FAILED:
            return
    if target.credentials is None:
        yield Finding("probe", Outcome.SKIPPED, "without an API key nobody is let in: name the file of the keys")
        return
    probe = await _probe(target)
    yield probe
    async for finding in _refusals(target, target.credentials):
        yield finding
    if probe.outcome is not Outcome.FAILED:
        yield await _load(target)


def _failed(step: str, text: str) -> Finding:
    return Finding(step, Outcome.FAILED, text, of_step(step))


def _session_failed(step: str, report: CallReport, text: str) -> Finding:
    """Return a failure with the events that this one can show as."""
    if report.http_status is not None:
        codes = of_cause("unavailable" if report.http_status >= _SERVER_ERROR else "refused")
    elif report.faults:
        late = any(fault["code"] == _TIMEOUT for fault in report.faults)
        codes = of_cause("late" if late else "invalid")
    else:
        codes = of_step(step)
    return Finding(step, Outcome.FAILED, text, codes)


def _address(parts: SplitResult) -> list[Finding]:
    found = []
    if parts.scheme != "wss":
        found.append(_failed("address", "the platform takes no other URI than wss://"))
    if parts.username is not None or parts.fragment:
        found.append(_failed("address", "the URI holds a user or a fragment"))
    if _is_ip(parts.hostname or ""):
        found.append(_failed("address", "the host is an IP address: no public certificate names it"))
    return found


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _resolve(parts: SplitResult) -> Finding:
    try:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, ValueError, TimeoutError) as error:
        return _failed("address", f"no connection to host and port of the URI: {type(error).__name__}: {error}")
    peer = writer.get_extra_info("peername")
    writer.close()
    return Finding("address", Outcome.OK, f"{host} is {peer[0]}, and port {port} answers")


async def _certificate(target: Target, parts: SplitResult) -> Finding:
    host, port = parts.hostname or "", parts.port or 443
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=target.tls, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        return _failed("certificate", f"the certificate is not accepted: {error.verify_message}")
    except (OSError, TimeoutError) as error:
        return _failed("certificate", f"no TLS: {type(error).__name__}: {error}")
    session = writer.get_extra_info("ssl_object")
    left_s = ssl.cert_time_to_seconds(session.getpeercert()["notAfter"]) - target.clock.wall_s()
    writer.transport.abort()
    text = f"{session.version()}, chain and name are right, valid for {left_s / _DAY_S:.0f} more days"
    return Finding("certificate", Outcome.OK if left_s > EXPIRY_WARNING_S else Outcome.WARNING, text)


async def _probe(target: Target) -> Finding:
    call = Call(scenario=Scenario("probe", media.silence(0)), probe=True)
    report = await run_call(target.url, call, _options(target))
    if report.ok:
        text = f"opened after {report.opened_ms:.0f} ms, closed; as when the integration is saved"
        return Finding("probe", Outcome.OK, text)
    return _session_failed("probe", report, _what_went_wrong(report))


def _options(target: Target) -> Options:
    return Options(credentials=target.credentials, tls=target.tls)


_STATUSES: Mapping[int, str] = {
    400: "ids missing in the request: a proxy drops the Audiohook- headers",
    401: "API key, secret, host, path or time are not what the server expects; its log has the reason and this id",
    404: "the path is none of ingest's: INGEST_AUDIOHOOK_PATH_PREFIX, or a proxy rewrites it",
    426: "the request arrives without its upgrade headers: the proxy does not pass WebSockets on",
    429: "too many requests, or connections of this organization",
    502: "a proxy does not reach ingest",
    503: "ingest is full or stopping, or a proxy has nobody to ask",
    504: "a proxy waits for ingest in vain",
}


def _what_went_wrong(report: CallReport) -> str:
    if report.http_status is not None:
        hint = _STATUSES.get(report.http_status, "no answer of an AudioHook server")
        return f"refused with {report.http_status}: {hint} (correlation id {report.correlation_id})"
    said = [f"{fault['code']} {fault['message']}" for fault in report.faults]
    ended = [] if report.disconnect_reason is None else [f"the server disconnects: {report.disconnect_reason}"]
    return "; ".join([*said, *ended, report.detail or report.outcome]) + f" (correlation id {report.correlation_id})"


async def _refusals(target: Target, credentials: Credentials) -> AsyncIterator[Finding]:
    """Yield whether those are kept out who must be. A request that is let in ends before it says anything."""
    now_s = int(target.clock.wall_s())
    signed_once: dict[str, str] = {}
    other = draw().secret_base64
    knocks: dict[str, Knock] = {"an unknown key": await _knock(target, _headers(target, Credentials(_OTHER_KEY)))}
    unsigned = await _knock(target, _headers(target, Credentials(credentials.api_key)))
    if credentials.secret_base64:
        signed_once = _headers(target, credentials)
        knocks["no signature"] = unsigned
        forged = Credentials(credentials.api_key, other)
        knocks["a wrong secret"] = await _knock(target, _headers(target, forged))
        knocks["an unknown key with a signature"] = await _knock(
            target, _headers(target, Credentials(_OTHER_KEY, other))
        )
        knocks["a signature of an hour ago"] = await _knock(target, _headers(target, credentials, now_s - 3600))
    else:
        text = "the key has no secret: who knows the key is let in, and the key stands in every request"
        yield Finding("refusals", Outcome.WARNING, text)
    for what, knock in knocks.items():
        if knock.status == _UPGRADED:
            yield _failed("refusals", f"a request with {what} is let in")
    yield _alike(knocks)
    if signed_once and (await _knock(target, signed_once)).status == _UPGRADED:
        yield await _repeated(target, signed_once)
    skews = [knock.skew_s for knock in knocks.values() if knock.skew_s is not None]
    if skews and abs(skews[0]) > SKEW_S:
        yield Finding("refusals", Outcome.WARNING, f"the server's clock is {skews[0]:+.0f} s away from ours")


async def _repeated(target: Target, headers: dict[str, str]) -> Finding:
    if (await _knock(target, headers)).status == _UPGRADED:
        text = "the same signature is let in twice: INGEST_AUDIOHOOK_REFUSE_REPLAYS is off, or several processes answer"
        return Finding("refusals", Outcome.WARNING, text)
    return Finding("refusals", Outcome.OK, "the same signature is let in once")


def _alike(knocks: Mapping[str, Knock]) -> Finding:
    refused = [knock for knock in knocks.values() if knock.status != _UPGRADED]
    answers = {(knock.status, knock.body) for knock in refused}
    if len(answers) > 1:
        return Finding("refusals", Outcome.WARNING, "the answers differ, and so tell what was wrong")
    if any(knock.seconds < FLOOR_S for knock in refused):
        return Finding("refusals", Outcome.WARNING, "refusals come so soon that their time tells what was wrong")
    kinds = ", ".join(what for what, knock in knocks.items() if knock.status != _UPGRADED)
    status = refused[0].status if refused else "-"
    return Finding("refusals", Outcome.OK, f"refused with {status}, all alike: {kinds}")


def _headers(target: Target, credentials: Credentials, created_s: int | None = None) -> dict[str, str]:
    call = Call(scenario=Scenario("refusal", media.silence(0)), probe=True)
    headers = upgrade_headers(target.url, call, credentials)
    if created_s is None or credentials.secret_base64 is None:
        return headers
    plain = call.headers() | {"X-API-KEY": credentials.api_key}
    return plain | sign(plain, target.url, credentials, Freshness("n" * 24, created_s, created_s + LIFETIME_S))


async def _knock(target: Target, headers: dict[str, str]) -> Knock:
    begun_s = target.clock.monotonic_s()
    try:
        async with connect(
            target.url,
            additional_headers=headers,
            compression=None,
            proxy=None,
            open_timeout=TIMEOUT_S,
            ssl=target.tls if target.url.startswith("wss:") else None,
        ):
            return Knock(_UPGRADED, b"", target.clock.monotonic_s() - begun_s, None)
    except InvalidStatus as refusal:
        response = refusal.response
        date = response.headers.get("Date")
        skew_s = None if date is None else parsedate_to_datetime(date).timestamp() - target.clock.wall_s()
        return Knock(response.status_code, bytes(response.body), target.clock.monotonic_s() - begun_s, skew_s)
    except (OSError, InvalidHandshake, TimeoutError) as error:
        return Knock(0, type(error).__name__.encode(), target.clock.monotonic_s() - begun_s, None)


async def _load(target: Target) -> Finding:
    """Place calls that the server takes for probes, each with audio in real time."""
    scenario = Scenario("load", media.silence(math.ceil(target.seconds * 1000)))
    nobody = Call(scenario=scenario, conversation_id=NIL, participant_id=NIL, ani="", ani_name="", dnis="")
    calls = [replace(nobody, session_id=uuid4(), correlation_id=uuid4()) for _ in range(target.calls)]
    run = await run_calls(target.url, calls, _options(target), stagger_s=0.02)
    totals = run.totals()
    wrong = [call for call in run.calls if not call.ok]
    if wrong:
        text = f"{len(wrong)} of {totals.calls} sessions went wrong, the first: {_what_went_wrong(wrong[0])}"
        return _session_failed("load", wrong[0], text)
    opened_ms = max(call.opened_ms or 0.0 for call in run.calls)
    pong_ms = totals.pong_round_trip["max_ms"]
    text = (
        f"{totals.calls} sessions with {totals.frames_sent} frames: opened after at most {opened_ms:.0f} ms, pong after"
        f" {totals.pong_round_trip['p99_ms']:.0f} ms (p99) and at most {pong_ms:.0f} ms; the platform waits 5 s"
    )
    if totals.lateness["p99_ms"] > SLOW_MS:
        text += "; this machine was late itself, so try fewer sessions"
    slow = max(opened_ms, pong_ms) > SLOW_MS
    return Finding("load", Outcome.WARNING if slow else Outcome.OK, text)
