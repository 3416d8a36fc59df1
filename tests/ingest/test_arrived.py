import socket
import sys
import threading

import pytest

from ingest.arrived import received_ago_s


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_waits_to_be_accepted_is_as_old_as_it_was_sent():
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as peer:
        peer.sendall(b"GET")
        threading.Event().wait(0.1)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(10) == b"GET"
            assert 0.08 < received_ago_s(accepted) < 60


def test_a_socket_that_is_no_tcp_connection_tells_nothing():
    one, other = socket.socketpair()
    with one, other:
        assert received_ago_s(one) == 0
