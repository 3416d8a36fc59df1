"""AppFoundry: we call the platform, one WebSocket per conversation, and are sent its audio and what was said in it.

In, JSON text messages by `type`: `audio` with its payload in base64, `transcript` {text, and where they are sane
isFinal (final unless it says it is not), language, confidence from 0 to 1, id}, `intent` {intent, and the same},
`error` {message, code}. Out, as facts: one session of the conversation the WebSocket belongs to, opened with the first
connection and kept over lost ones; audio, placed by its arrival; TRANSCRIPT, INTENT and PLATFORM_ERROR events; its end.
Out, to the peer: nothing.

An error with code 401 says that the token is no longer good: the connection is closed and dialled again with another,
as a failed attempt. A spent budget of attempts ends the session; a later connection opens a new one that goes on from
it.

Binary messages are counted, as are unknown types and what is malformed; nothing of that ends the session.

`messages` are the words, `protocol` is the machine: pure.
"""
