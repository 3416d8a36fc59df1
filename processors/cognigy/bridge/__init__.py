"""The bridge: the WebSocket of an AppFoundry application behind which a bot answers, one for each call.

Out, JSON text: `{"type": "event", "event": "userInput", "data": {text, sessionId, timestamp, id, …}}` for each input;
where the operator wants it also `{"type": "audio", …}`, the caller's voice in base64, 20 to 200 ms each. In, by `type`:
`audio` (base64), `transcript`, `intent`, `error`; other types are counted, as is what is malformed.

The document behind it (AppFoundry and Cognigy) knows no end of an answer and no id of what is answered. So: one input
is under way at a time; its answer begins with the first message and ends when nothing came for `quiet_s`, or with a
message of `end_types`, or with `error`. A message that names its turn in `turn_field` belongs to that one, whenever it
comes. Nothing in time: the turn is AMBIGUOUS, what still comes is its late answer, and the next input goes over a new
connection, where nobody can take the one for the other. What belongs to no turn is written without one.

An input is UNSENT only where no connection could be made. Once it was handed to a connection it is never sent again.

`messages` are the words, `protocol` decides when an answer is over, `audio` cuts the caller's voice: pure. `link` is
the socket of one call, with one owner; `client` the transport, `listening` what hears calls.audio.
"""
