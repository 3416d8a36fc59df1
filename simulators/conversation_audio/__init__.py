"""The audio WebSocket of one conversation of Genesys Cloud, as a server on loopback: audio, and pings to be answered.

It is written from the document's literal words alone and shares no code with any client. The document can be read in
three ways, and this stand-in knows each: audio in binary messages with the protocol's own pings, audio as base64 texts
with them, and audio as base64 texts with binary messages for pings, which a client sends back as they are. `server`
plays calls of `simulators.live_call`. `python -m simulators.conversation_audio` serves it; in another process:

    call = LivePlayer(Script(audio=channel("external"), actions=(Close(5000, 1001),), backlog_ms=3000).plan())
    server = ConversationAudioServer({"c-1": call}, heartbeat=Heartbeat.BINARY, framing=Framing.TEXT)
    async with server.serving() as url:      # clients dial url + path("c-1")
        await server.until(lambda: call.report.ended)
"""
