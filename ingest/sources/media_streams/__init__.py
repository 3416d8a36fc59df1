"""Media streams: we call the platform, one WebSocket for up to fifty interactions, and are sent numbered packets.

In, JSON text messages: packets {interactionId, sequenceNumber, timestamp, payload (base64)}, and errors {status, code,
interactionId}. Out, to the peer: after each handshake a subscription to all that is followed, later one to each that
comes, {"interactions": [{interactionId, mediaType, codecPreferences}]}; there is no word to unsubscribe. Out, as facts:
one session per interaction, opened with the first subscription; its packets as audio in arrival order, with the numbers
as sent; across a lost connection a RECONNECT event and a GAP; its end.

A packet's place follows its timestamp, exactly, duplicates and late ones too (`placement` has the rules); packets that
come after later ones are marked late, and those that were held up while there was no connection. The codec is the first
one asked for: no packet names its own. Opus is passed on; how long its packets last is not stated.

`mediaNotAvailable` ends the session of an interaction that has brought audio since it was asked for (END). Where none
has come, it is asked for again after a while, and after a number of tries its session ends: END where audio had come
before, else a NOT_AVAILABLE event and OTHER. Other errors become PLATFORM_ERROR events. One that names no interaction
is about the one it can be about, else about all; where it may have refused several for the sake of one, each of them is
asked for alone until it is clear which. A spent budget of attempts ends all sessions; a later connection opens new ones
that go on from those. Once none is left to follow, the connection is closed with 1000 and the machine is finished.

What is malformed, unknown, empty or binary is counted and ends nothing; so are packets of what is not followed (any
more), and a minute without a packet of a stream.

`messages` are the words, `placement` the arithmetic of numbers and positions, `followed` one interaction, `protocol`
the machine: all pure.
"""
