"""How the calls of the demo can reach ingest."""

from enum import StrEnum


class DemoSource(StrEnum):
    """A source, by its name."""

    AUDIOHOOK = "audiohook"
    MEDIA_STREAMS = "media-streams"
    MEDIA_WEBSOCKET = "media-websocket"
    CONVERSATION_AUDIO = "conversation-audio"
    APPFOUNDRY = "appfoundry"


LIVE = (DemoSource.MEDIA_WEBSOCKET, DemoSource.CONVERSATION_AUDIO, DemoSource.APPFOUNDRY)
"""Those whose audio has no numbers: it is placed by its arrival, so it can only be played as fast as it is."""
