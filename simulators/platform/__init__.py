"""The platform's REST API as far as conversations are asked for: `GET /api/v2/conversations/{id}`, faults on demand.

Made from the platform's published interface alone, with no code of what asks it. `conversation` is a call as the
platform sees it, over time; `server` answers, counts and misbehaves; `python -m simulators.platform` serves it on
loopback. In another process:

    platform = PlatformServer(oauth.is_valid)
    platform.add(Conversation("c-1", pauses=((10, 20),), ends_after_s=60))
    async with platform.serving() as url:      # clients ask url + "/api/v2/conversations/c-1"
        ...
"""
