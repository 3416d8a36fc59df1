"""Cognigy's REST endpoint on loopback: documented requests in, documented answers out, and every fault on demand.

`POST /<URLToken>` (or `/test/<URLToken>`) with `userId`, `sessionId`, and `text` or `data` is answered with `text`,
`data`, `outputStack`, `userId`, `sessionId`; all outputs of a turn have one `traceId`. What is wrong with a request is
answered with 400, a token nobody knows with 404. `GET /inputs` lists what was taken, in order. It shares no code with
the processor. `python -m simulators.cognigy` serves it.
"""
