import asyncio
import socket
import ssl

import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from runtime.clock import ManualClock
from runtime.errors import ConfigError, PeerError, Unavailable
from runtime.http import HttpClient, Unsent, retry_reads, retry_unsent, wait_of
from tests.runtime.loopback import serving


class Peer:
    """Answers what it is told to, and remembers what it got."""

    def __init__(self):
        self.answer = Response("{}", 200)
        self.got = []
        self.hangs = False

    def application(self):
        return Starlette(routes=[Route("/", self.handle, methods=["GET", "POST"])])

    async def handle(self, request: Request) -> Response:
        self.got.append((request.method, dict(request.headers), await request.body()))
        if self.hangs:
            await asyncio.sleep(30)
        return self.answer


@pytest.fixture
async def peer():
    return Peer()


@pytest.fixture
async def url(peer):
    async with serving(peer.application()) as url:
        yield url


@pytest.fixture
async def client():
    async with HttpClient("peer", timeout_s=5) as client:
        yield client


async def test_an_answer_has_status_headers_and_body(peer, url, client):
    peer.answer = Response('{"a": 1}', 404, {"X-Name": "v"})
    answer = await client.request("POST", url, headers={"x-mine": "1"}, content=b"body")
    assert (answer.status, answer.ok, answer.json(), answer.headers["x-name"]) == (404, False, {"a": 1}, "v")
    method, headers, body = peer.got[0]
    assert (method, headers["x-mine"], body) == ("POST", "1", b"body")


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_overload_is_unavailable_and_says_how_long(peer, url, client, status):
    peer.answer = Response("", status, {"retry-after": "7"})
    with pytest.raises(Unavailable) as error:
        await client.request("GET", url)
    assert error.value.retry_after_s == 7
    assert not isinstance(error.value, Unsent)


async def test_no_answer_in_time_is_unavailable_but_may_have_arrived(peer, url, client):
    peer.hangs = True
    with pytest.raises(Unavailable, match="no answer within") as error:
        await client.request("POST", url, timeout_s=0.05)
    assert not isinstance(error.value, Unsent)


async def test_no_connection_is_unsent(client):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(Unsent, match="no connection"):
            await client.request("POST", f"http://127.0.0.1:{free.getsockname()[1]}/")


async def test_a_connection_that_is_not_made_in_time_is_unsent():
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # the queue of a listener that accepts nobody is full: further connections are neither made nor refused
        for filling in (first, second):
            filling.setblocking(False)
            filling.connect_ex(full.getsockname())
        async with HttpClient("peer", timeout_s=30, connect_timeout_s=0.1) as client:
            with pytest.raises(Unsent, match="ConnectTimeout"):
                await client.request("POST", f"http://127.0.0.1:{full.getsockname()[1]}/")


async def test_a_body_that_cannot_be_unpacked_is_no_answer(peer, url, client):
    peer.answer = Response(b"no gzip", 200, {"content-encoding": "gzip"})
    with pytest.raises(Unavailable, match="DecodingError") as error:
        await client.request("POST", url)
    assert not isinstance(error.value, Unsent)


async def test_a_connection_cut_after_sending_is_not_unsent(client):
    async def cut(reader, writer):
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        with pytest.raises(Unavailable) as error:
            await client.request("POST", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", content=b"x")
    assert not isinstance(error.value, Unsent)


async def test_a_redirect_is_not_followed(peer, url, client):
    peer.answer = RedirectResponse("http://127.0.0.1:1/")
    assert (await client.request("GET", url)).status == 307


async def test_the_environments_proxy_is_not_used(url, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with HttpClient("peer", timeout_s=5) as client:
        assert (await client.request("GET", url)).ok


async def test_errors_quote_no_url(client):
    with pytest.raises(Unavailable) as error:
        await client.request("GET", "http://127.0.0.1:1/secret-token")
    assert "secret-token" not in str(error.value)


@pytest.mark.parametrize("body", ["<html>", "[" * 100_000], ids=["a page", "a deep list"])
async def test_a_body_that_is_no_json_is_the_peers_fault(peer, url, client, body):
    peer.answer = Response(body, 200)
    with pytest.raises(PeerError, match="not JSON"):
        (await client.request("GET", url)).json()


async def test_a_tls_connection_that_breaks_in_the_answer_is_no_answer(tmp_path):
    authority, taken = trustme.CA(), []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(await reader.read(1000))
        # what follows the handshake must be TLS records, and this is none
        with writer.get_extra_info("socket").dup() as plain:
            plain.send(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(garble, "localhost", 0, ssl=context)
    async with server, HttpClient("peer", timeout_s=5, cafile=str(tmp_path / "ca.pem")) as client:
        with pytest.raises(Unavailable) as raised:
            await client.request("POST", f"https://localhost:{server.sockets[0].getsockname()[1]}/", content=b"{}")
    assert taken
    assert not isinstance(raised.value, Unsent)


async def test_a_long_answer_is_read_up_to_the_bound():
    async def long():
        for _ in range(300):
            yield b"x" * 10_000

    async def handle(_: Request) -> Response:
        return StreamingResponse(long())

    application = Starlette(routes=[Route("/", handle)])
    async with serving(application) as url, HttpClient("peer", timeout_s=5, longest_answer_bytes=25_000) as client:
        answer = await client.request("GET", url)
    assert answer.status == 200
    assert 25_000 < len(answer.body) < 500_000


async def test_a_cookie_of_one_answer_does_not_go_with_the_next_request(peer, url, client):
    peer.answer = Response("{}", 200, headers={"set-cookie": "caller=one; Path=/"})
    for _ in range(2):
        await client.request("POST", url)
    assert [headers.get("cookie") for _, headers, _ in peer.got] == [None, None]


def test_a_file_of_authorities_must_be_readable():
    with pytest.raises(ConfigError, match="authorities"):
        HttpClient("peer", timeout_s=1, cafile="/nowhere")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("12", 12),
        ("99999", 300),
        ("soon", None),
        ("-1", None),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0),
        ("Tue, 14 Nov 99999999999999 22:13:10 GMT", None),
        ("Tue, 14 Nov 2023 99999999999999999999:13:10 GMT", None),
    ],
)
def test_the_wait_a_peer_asks_for(header, seconds):
    assert wait_of(header, ManualClock(1_700_000_000.0).wall_s()) == seconds


async def test_a_read_is_tried_again():
    calls = []

    async def call():
        calls.append(1)
        if len(calls) < 3:
            raise Unavailable("")
        return "read"

    assert await retry_reads(call) == "read"


async def test_what_may_have_arrived_is_not_sent_again():
    calls = []

    async def call():
        calls.append(1)
        raise Unavailable("")

    with pytest.raises(Unavailable):
        await retry_unsent(call)
    assert len(calls) == 1


async def test_what_never_left_is_sent_again():
    calls = []

    async def call():
        calls.append(1)
        raise Unsent("")

    with pytest.raises(Unsent):
        await retry_unsent(call, attempts=2)
    assert len(calls) == 2
