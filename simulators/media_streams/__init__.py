"""The media-streams WebSocket of Genesys Cloud, as a server on loopback: numbered packets of live calls as JSON.

It is written from the document's literal messages alone and shares no code with any client. `script` works out, before
anything is sent, which packets a call sends, with every imperfection counted; `messages` are the texts, `server` keeps
the clock and sends, `report` says what was sent. `python -m simulators.media_streams` serves it; in another process:

    server = MediaStreamsServer([Interaction("c-1", Script(audio=channel("external"), loss_ratio=0.02).plan())],
                                is_valid=tokens.is_valid)
    async with server.serving() as url:      # clients dial url + PATH
        await server.until(lambda: server.reports["c-1"].ended)
"""
