"""AppFoundry as a source we call: its settings → how it is dialled, and the machine of each connection."""

from collections.abc import Sequence
from functools import partial

from ingest.connecting import Place
from ingest.dial import Dial, DialledSource, policy_of
from ingest.protocol import Call
from ingest.single_call import Description
from ingest.sources.appfoundry.config import AppFoundrySettings
from ingest.sources.appfoundry.protocol import AppFoundryProtocol, Rules
from runtime.supervision import Claim
from schemas.symbols import Channel, Source

NAME = "appfoundry"
SCOPE = "appfoundry:agent:connect"
"""What the OAuth client has to be allowed."""


def dialled(own: AppFoundrySettings, place: Place) -> DialledSource:
    """Return the source: a connection for each call, whose WebSocket has to be known."""
    listed = [Call(conversation, connection_id=socket) for socket, conversation in own.sockets.items()]
    return DialledSource(NAME, 1, partial(_dial, own, place), listed, partial(_refusal, own))


def _refusal(own: AppFoundrySettings, call: Call) -> str | None:
    if not call.connection_id or "/" in call.connection_id:
        return "the id of its WebSocket is needed"
    return "the id of the application is needed" if own.app_id is None and "{app_id}" in own.url else None


def _dial(own: AppFoundrySettings, place: Place, name: str, calls: Sequence[Call]) -> Dial:
    (call,) = calls
    websocket_id = call.connection_id or ""
    description = Description(Source.APPFOUNDRY, NAME, own.media, own.language)
    rules = Rules(Channel[own.channel.upper()], tuple(own.payload_fields))
    return Dial(
        source_name=NAME,
        connection=name,
        url=place.fill(own.url, app_id=own.app_id or "", websocket_id=websocket_id),
        policy=policy_of(own),
        new_protocol=partial(AppFoundryProtocol, call, description, rules),
        rest_s=own.rest_s,
        bearer=own.auth == "header",
        wants_token=own.auth == "header",
        claim=Claim(scope=SCOPE, subject=f"the WebSocket {websocket_id} of the application {own.app_id}"),
    )
