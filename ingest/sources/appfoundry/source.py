"""AppFoundry as a source we call: its settings → the connections to keep, and the machine of each."""

from functools import partial

from ingest.connecting import Place
from ingest.dialling import Dial, policy_of
from ingest.sources.appfoundry.config import AppFoundrySettings
from ingest.sources.appfoundry.protocol import AppFoundryProtocol, Wanted
from schemas.symbols import Channel

NAME = "appfoundry"


def dials(own: AppFoundrySettings, place: Place) -> list[Dial]:
    """Return a connection for each WebSocket; none where none is set."""
    wanted = Wanted(NAME, Channel[own.channel.upper()], own.language)
    return [
        Dial(
            source_name=NAME,
            connection=websocket_id,
            url=place.fill(own.url, app_id=own.app_id or "", websocket_id=websocket_id),
            policy=policy_of(own),
            new_protocol=partial(AppFoundryProtocol, websocket_id, conversation_id, wanted),
            rest_s=own.rest_s,
        )
        for websocket_id, conversation_id in own.sockets.items()
    ]
