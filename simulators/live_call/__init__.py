"""A live call without numbers, as the stand-ins of platforms that send such audio play it: chunks on a clock.

`script` works out, before anything is sent, what is sent when and every disturbance; `player` sends it to whoever
listens, on one clock that no reconnect stops; `report` says what was sent. How a chunk looks as a message is the
business of the stand-in that plays the call.
"""
