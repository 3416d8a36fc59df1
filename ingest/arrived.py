"""When the system received what is read now: it may have waited there to be accepted and read."""

import socket
import sys

_TCP_INFO = getattr(socket, "TCP_INFO", None)
_FIELD = slice(52, 56)
"""`tcpi_last_data_recv` of `struct tcp_info` (linux/tcp.h): milliseconds since data came last."""


def received_ago_s(connection: socket.socket) -> float:
    """Return how long ago the newest data of a TCP connection came; 0 where the system does not tell."""
    if _TCP_INFO is None or sys.platform != "linux":
        return 0.0
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _FIELD.stop)
    except OSError:
        return 0.0
    return int.from_bytes(told[_FIELD], sys.byteorder) / 1000
