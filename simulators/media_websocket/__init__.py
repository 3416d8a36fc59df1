"""The media WebSocket of Genesys Cloud, as a server on loopback: a token in a message, then audio of one connection.

It is written from the document's literal messages alone and shares no code with any client. Where the document is
silent, it chooses: a subscription is acknowledged like the token is (`acknowledges=False`: not at all), and audio
stands in the field `data`. `messages` are the texts, `server` keeps the order of things and plays calls of
`simulators.live_call`. `python -m simulators.media_websocket` serves it; in another process:

    call = LivePlayer(Script(audio=channel("external"), actions=(Cut(5000),)).plan())
    server = MediaWebSocketServer({"connection-1": call}, is_valid=tokens.is_valid)
    async with server.serving() as url:      # clients dial url + PATH
        await server.until(lambda: call.report.ended)
"""
