"""Media WebSocket: we call the platform, say who we are in a message, and subscribe to the audio of one connection.

Out, to the peer, after each handshake: {"type": "auth", "token", "userId" where set}, and once that is answered with
{"type": "auth", "result": "success"}, {"type": "subscribe", "connectionId", "capabilities": ["audio"]}. By setting the
token stands in the handshake instead, or nowhere, and the subscription is the first message. In: binary messages, which
are audio, and JSON text messages by `type`: `auth`, an acknowledgement of the subscription, `audio` with its payload in
base64, `error` {message, code}. Out, as facts: one session of the conversation the connection belongs to, opened with
the first connection and kept over lost ones; audio, placed by its arrival; PLATFORM_ERROR events; its end.

It gives up, with a reason for the operator, where the peer refuses the token or does not answer in `auth_timeout_s`
(the scope is named, the token not used again), and where it refuses the subscription or brings neither acknowledgement
nor audio in `subscribe_timeout_s` (the connection's id is named). A later connection opens a new session.

What is malformed, unknown, empty or out of turn is counted and ends nothing.

`messages` are the words, `protocol` is the machine: pure.
"""
