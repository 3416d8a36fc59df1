"""Places calls: connects and signs, then lets a `Player` talk over the socket while it reads.

Whatever the server does ends in a `CallReport`; only mistakes of the caller raise.
"""

import asyncio
import hashlib
import secrets
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from simulators.audiohook import clock
from simulators.audiohook.call import Call
from simulators.audiohook.player import Player
from simulators.audiohook.report import CallReport, RunReport
from simulators.audiohook.scenario import Drop
from simulators.audiohook.signature import LIFETIME_S, Credentials, Freshness, sign

USER_AGENT: Final = "GenesysCloud-AudioHook-Client"
CONNECT_TIMEOUT_S: Final = 10.0
NONCE_BYTES: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to connect, for all calls of a run.

    credentials: None sends no API key. tls: for wss, None for the system's authorities. record_folder: writes
    `<conversation id>.frames` there, each binary message behind its length (four bytes, little-endian). on_start: gets
    each call's report when the call begins; it is filled while the call lives. on_text: gets each text the platform
    has recognised in a call.
    """

    credentials: Credentials | None = None
    tls: ssl.SSLContext | None = None
    record_folder: Path | None = None
    on_start: Callable[[CallReport], None] | None = None
    on_text: Callable[[Call, str], None] | None = None


class _Connect(connect):
    """Connects as the platform does: redirects are not followed."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Take every redirect for a refusal."""
        return exc


async def run_call(url: str, call: Call, options: Options | None = None) -> CallReport:
    """Place one call and return when it is over."""
    options = options or Options()
    report = CallReport(
        conversation_id=call.stated_conversation_id(),
        session_id=str(call.session_id),
        correlation_id=str(call.correlation_id),
        scenario="probe" if call.probe else call.scenario.name,
        expected_outcome="dropped" if _is_dropped(call) else "closed",
    )
    if options.on_start is not None:
        options.on_start(report)
    try:
        connection = await _Connect(
            url,
            additional_headers=upgrade_headers(url, call, options.credentials),
            user_agent_header=USER_AGENT,
            compression=None,
            proxy=None,
            ping_interval=None,
            open_timeout=CONNECT_TIMEOUT_S,
            ssl=options.tls if url.startswith("wss:") else None,
        )
    except InvalidStatus as refusal:
        report.outcome, report.http_status = "refused", refusal.response.status_code
        report.detail = f"refused with {report.http_status}"
    except (OSError, InvalidHandshake, TimeoutError) as failure:
        report.outcome, report.detail = "unreachable", f"{type(failure).__name__}: {failure}"
    else:
        await _converse(connection, call, report, options)
    return report


async def run_calls(
    url: str, calls: Sequence[Call], options: Options | None = None, *, stagger_s: float = 0.02
) -> RunReport:
    """Place calls at once, each `stagger_s` after the one before, and return when all are over."""

    async def place(index: int, call: Call) -> CallReport:
        await asyncio.sleep(index * stagger_s)
        return await run_call(url, call, options)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(place(index, call)) for index, call in enumerate(calls)]
    return RunReport(tuple(task.result() for task in tasks))


def upgrade_headers(url: str, call: Call, credentials: Credentials | None) -> dict[str, str]:
    """Return the headers of the upgrade request, signed if there is a secret."""
    headers = call.headers()
    if credentials is None:
        return headers
    headers["X-API-KEY"] = credentials.api_key
    if credentials.secret_base64 is None:
        return headers
    created = clock.epoch_s()
    fresh = Freshness(_nonce(), created, created + LIFETIME_S)
    return headers | sign(headers, url, credentials, fresh)


def _nonce() -> str:
    return secrets.token_urlsafe(NONCE_BYTES)


def _is_dropped(call: Call) -> bool:
    return not call.probe and any(isinstance(action, Drop) for action in call.scenario.actions)


async def _converse(connection: ClientConnection, call: Call, report: CallReport, options: Options) -> None:
    digest = hashlib.sha256()
    record = None
    if options.record_folder is not None:
        record = (options.record_folder / f"{report.conversation_id}.frames").open("wb")
    try:
        player = Player(connection, call, report, digest.update, record)
        player.on_text = options.on_text
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(_read(connection, player))
            try:
                await player.play()
            finally:
                reader.cancel()
    finally:
        report.sha256 = digest.hexdigest()
        if record is not None:
            record.close()


async def _read(connection: ClientConnection, player: Player) -> None:
    try:
        async for message in connection:
            if isinstance(message, str):
                player.take_text(message)
            else:
                player.take_binary()
    except ConnectionClosed:
        pass  # how it ended shows in the protocol
    player.take_loss()
