"""The bot's end of AppFoundry WebSockets on loopback: userInput events and audio in, transcripts, intents, audio out.

Written from the document's literal messages alone; it shares no code with the processor. Each WebSocket of the app
belongs to one call. `script` says how an input is answered, `server` keeps what came and says it. `python -m
simulators.bridge` serves a bot that repeats what it hears.
"""
