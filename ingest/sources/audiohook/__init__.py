"""Genesys AudioHook, protocol version "2": Genesys Cloud calls us, one WebSocket per session and conversation.

In: an HTTP upgrade with an API key and, where the key has a secret, a signature over the request; then JSON text
messages that open, ping, pause, resume, discard, update and close, and binary messages of headerless samples
(PCMU, or L16 where offered; stereo `external`/`internal` or mono) of whatever length the client chose.

Out, to the peer: `opened` with one offered media entry echoed unchanged, a `pong` per ping, `closed` in every state,
and at most one `disconnect`. Out, as facts: a session with its info, its audio with positions counted in samples,
PAUSED, RESUMED, DISCARDED and ALIVE marks with the position the client states, DTMF, platform errors, and its end.

Kept: audio and digits that arrive while the client pauses become no fact. A connection probe becomes no fact at all.
What the client sends wrong ends its session with `disconnect` reason `error`; it never raises.

`messages` are the words, `facts` what they mean, `protocol` the machine, `states` its table, `timeline` its arithmetic,
`auth` and `signature` the admission, `structured_fields` the header syntax: all pure.
"""
