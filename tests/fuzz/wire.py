"""The client's side of the socket, by hand: a request to connect, frames of every kind, cut as one likes."""

from collections.abc import Iterable

from tests.ingest.sources.audiohook.words import CORRELATION, ORGANIZATION, SESSION

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
KEY = "fuzz"
PATH = "/audiohook"


def request(
    session_id: str = SESSION, organization_id: str = ORGANIZATION, correlation_id: str = CORRELATION, key: str = KEY
) -> bytes:
    """Return a request to connect that a key without a secret may make."""
    lines = (
        f"GET {PATH} HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Audiohook-Organization-Id: {organization_id}",
        f"Audiohook-Session-Id: {session_id}",
        f"Audiohook-Correlation-Id: {correlation_id}",
        f"X-API-KEY: {key}",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def frame(opcode: int, payload: bytes, mask: bytes = bytes(4), *, fin: bool = True) -> bytes:
    """Return a frame as a client sends it."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 2**16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    if mask != bytes(4):
        whole = mask * (size // 4 + 1)
        payload = (int.from_bytes(payload, "big") ^ int.from_bytes(whole[:size], "big")).to_bytes(size, "big")
    return bytes([(FIN if fin else 0) | opcode]) + length + mask + payload


def message(data: str | bytes, mask: bytes = bytes(4), cuts: Iterable[int] = (), between: bytes = b"") -> bytes:
    """Return a message in fragments that end at the cuts, with control frames `between` them."""
    payload = data.encode() if isinstance(data, str) else data
    opcode = TEXT if isinstance(data, str) else BINARY
    bounds = sorted({min(cut, len(payload)) for cut in cuts} - {0, len(payload)})
    parts = [payload[a:b] for a, b in zip([0, *bounds], [*bounds, len(payload)], strict=True)]
    frames = [
        frame(CONTINUATION if number else opcode, part, mask, fin=number == len(parts) - 1)
        for number, part in enumerate(parts)
    ]
    return between.join(frames)
