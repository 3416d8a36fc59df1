"""Genesys Cloud's part in AudioHook: a client that opens calls towards a server and holds it to the protocol.

It is written from the protocol's facts alone and shares no code with any server. `protocol` decides (it is given time
and messages), `scenario` says what a call does, `demo_call` what the demo's does, `client` connects and sends, `report`
says what was sent, `__main__` is the command. In tests: `await client.run_call(url, Call(scenario=demo_call.demo()))`.
"""
