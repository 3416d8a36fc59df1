"""Conversation audio: we call the platform, one WebSocket per conversation, and are sent its audio.

In, by the setting `heartbeat`. `control`: pings are control frames, which the connection answers by itself, and binary
messages are audio. `binary`: binary messages are pings, answered at once by a binary message that holds the same, and
text messages are audio. In either, a text message is audio in base64, or a JSON object that holds it so (`text_audio`),
and a JSON object of type `error` is an error {message, code}. Out, to the peer: the answers to pings, nothing else.

Out, as facts: one session of the conversation, opened with the first connection and kept over lost ones, also where the
peer closed with 1000 or 1001; audio, placed by its arrival; PLATFORM_ERROR events; its end. A spent budget of attempts
ends it; a later connection opens a new one that goes on from it.

What is malformed, unknown or empty is counted and ends nothing.

`messages` are the words, `protocol` is the machine: pure.
"""
