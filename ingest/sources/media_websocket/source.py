"""Media WebSockets as a source we call: its settings → how it is dialled, and the machine of each connection."""

from collections.abc import Sequence
from functools import partial

from ingest.connecting import Place
from ingest.dial import Dial, DialledSource, policy_of
from ingest.protocol import Call
from ingest.single_call import Description
from ingest.sources.media_websocket.config import MediaWebSocketSettings
from ingest.sources.media_websocket.protocol import SCOPE, MediaWebSocketProtocol, Rules
from runtime.supervision import Claim
from schemas.symbols import Source

NAME = "media-websocket"


def dialled(own: MediaWebSocketSettings, place: Place) -> DialledSource:
    """Return the source: a connection for each call, whose media connection has to be known."""
    listed = [Call(conversation, connection_id=connection) for connection, conversation in own.connections.items()]
    return DialledSource(NAME, 1, partial(_dial, own, place), listed, _refusal)


def _refusal(call: Call) -> str | None:
    return None if call.connection_id else "the id of its media connection is needed"


def _dial(own: MediaWebSocketSettings, place: Place, name: str, calls: Sequence[Call]) -> Dial:
    (call,) = calls
    rules = Rules(
        own.auth == "message", own.user_id, own.auth_timeout_s, own.subscribe_timeout_s, tuple(own.payload_fields)
    )
    description = Description(Source.MEDIA_WEBSOCKET, NAME, own.media)
    return Dial(
        source_name=NAME,
        connection=name,
        url=place.fill(own.url, connection_id=call.connection_id or "", conversation_id=call.conversation_id),
        policy=policy_of(own),
        new_protocol=partial(MediaWebSocketProtocol, call, description, rules),
        rest_s=own.rest_s,
        bearer=own.auth == "header",
        wants_token=own.auth != "none",
        claim=Claim(scope=SCOPE, subject=f"the media connection {call.connection_id}"),
    )
