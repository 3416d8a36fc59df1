"""AppFoundry as a source we call: its settings → how it is dialled, and the machine of each connection."""

from collections.abc import Sequence
from functools import partial

from ingest.connecting import Place
from ingest.dialling import Dial, DialledSource, policy_of
from ingest.protocol import Call
from ingest.sources.appfoundry.config import AppFoundrySettings
from ingest.sources.appfoundry.protocol import AppFoundryProtocol, Wanted
from schemas.symbols import Channel

NAME = "appfoundry"


def dialled(own: AppFoundrySettings, place: Place) -> DialledSource:
    """Return the source: a connection for each call, whose WebSocket has to be known."""
    listed = [Call(conversation, connection_id=socket) for socket, conversation in own.sockets.items()]
    return DialledSource(NAME, 1, partial(_dial, own, place), listed, _refusal)


def _refusal(call: Call) -> str | None:
    return None if call.connection_id else "the id of its WebSocket is needed"


def _dial(own: AppFoundrySettings, place: Place, name: str, calls: Sequence[Call]) -> Dial:
    (call,) = calls
    wanted = Wanted(NAME, Channel[own.channel.upper()], own.language)
    websocket_id = call.connection_id or ""
    return Dial(
        source_name=NAME,
        connection=name,
        url=place.fill(own.url, app_id=own.app_id or "", websocket_id=websocket_id),
        policy=policy_of(own),
        new_protocol=partial(AppFoundryProtocol, websocket_id, call.conversation_id, wanted),
        rest_s=own.rest_s,
    )
