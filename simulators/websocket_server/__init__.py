"""What the stand-ins of platforms we dial have in common: a WebSocket server on loopback, with faults on demand.

It checks `Authorization: Bearer` by a callable, counts pings, and on order refuses handshakes, cuts or closes
connections, stops reading, or sends anything. It knows no message of any platform.
"""
