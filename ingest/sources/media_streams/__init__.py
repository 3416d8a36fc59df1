"""Media streams: we call the platform, one WebSocket for up to fifty interactions, and are sent numbered packets.

In, JSON text messages: packets {interactionId, sequenceNumber, timestamp, payload (base64)}, and errors {status, code,
interactionId}. Out, to the peer: one subscription after each handshake, {"interactions": [{interactionId, mediaType,
codecPreferences}]}. Out, as facts: one session per interaction, opened with the first subscription; its packets as
audio in arrival order, with the numbers as sent; across a lost connection a RECONNECT event and a GAP; its end.

A packet's place follows its timestamp, exactly, duplicates and late ones too (`placement` has the rules); packets that
come after later ones are marked late. The codec is the first one asked for: no packet names its own. Opus is passed
on; how long its packets last is not stated.

`mediaNotAvailable` ends the session of its interaction (END where audio had come, else a NOT_AVAILABLE event and
OTHER), which is not asked for again. Other errors become PLATFORM_ERROR events, of all its interactions where one names
none. A spent budget of attempts ends all sessions; a later connection opens new ones that go on from those. Once no
session is left to follow, the connection is closed with 1000 and the machine is finished: it need not be dialled again.

What is malformed, unknown, empty or binary is counted and ends nothing; so is a minute without a packet of a stream.

`messages` are the words, `placement` the arithmetic of numbers and positions, `protocol` the machine: all pure.
"""
