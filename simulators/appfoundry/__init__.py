"""The AppFoundry WebSocket of Genesys Cloud, as a server on loopback: audio, transcripts, intents, errors of a call.

It is written from the document's literal messages alone and shares no code with any client. `script` says what is sent
when, `server` sends it from the moment somebody plays it, and the audio of `simulators.live_call` to whoever listens.
`python -m simulators.appfoundry` serves it; in another process:

    server = AppFoundryServer("app-1", {"socket-1": Timeline((transcript(800, "hello"),))}, is_valid=tokens.is_valid)
    async with server.serving() as url:      # clients dial url + server.path("socket-1")
        await server.connected("socket-1")
        await server.play("socket-1")
"""
