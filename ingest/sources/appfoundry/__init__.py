"""AppFoundry: we call the platform, one WebSocket per conversation, and are sent what was said in it, as texts.

In, JSON text messages by `type`: `transcript` {text, and where they are sane isFinal (final unless it says it is not),
language, confidence from 0 to 1, id}, `intent` {intent, and the same}, `error` {message, code}. Out, as facts: one
session of the conversation the settings name for the WebSocket, opened with the first connection and kept over lost
ones (a RECONNECT event); TRANSCRIPT, INTENT and PLATFORM_ERROR events; its end. Out, to the peer: nothing.

Not taken: its `audio` messages and binary ones. They are counted, as are unknown types and what is malformed; nothing
of that ends the session. A spent budget of attempts does; a later connection opens a new one that goes on from it.

`messages` are the words, `protocol` is the machine: pure.
"""
