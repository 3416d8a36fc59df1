"""A request to connect as it arrives: where it ends, and whether it is longer than it may be. Pure."""

_END = b"\r\n\r\n"


class RequestHead:
    """Measures one request; what comes behind it is no part of it."""

    def __init__(self, longest_bytes: int) -> None:
        self._longest_bytes = longest_bytes
        self._bytes = 0
        self._tail = b""

    def end_in(self, data: bytes) -> int | None:
        """Return how many of the next bytes are the request's; None where they make it too long."""
        before, self._tail = self._tail, (self._tail + data)[-len(_END) + 1 :]
        found = (before + data).find(_END)
        end = len(data) if found < 0 else found + len(_END) - len(before)
        self._bytes += end
        return end if self._bytes <= self._longest_bytes else None
