import json
import ssl

import pytest
import trustme
from websockets.asyncio.client import connect

from ingest.certificate import Certificate
from tests.ingest.sources.audiohook.words import Client
from tests.ingest.test_server import OPEN, said, serving
from tests.ingest.test_session import FakeOutlet


class Files:
    """A chain and a key in files, renewed by writing them."""

    def __init__(self, folder) -> None:
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"

    def write(self, authority: trustme.CA) -> None:
        issued = authority.issue_cert("localhost")
        self.chain.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())


@pytest.fixture
def files(tmp_path) -> Files:
    return Files(tmp_path)


def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_nothing_is_renewed_while_the_files_stay(files):
    files.write(trustme.CA())
    assert Certificate(files.chain, files.key).refresh() is None


def test_a_renewed_certificate_is_taken_and_a_bad_one_is_not_and_is_told_once(files):
    files.write(trustme.CA())
    certificate = Certificate(files.chain, files.key)
    files.write(trustme.CA())
    assert certificate.refresh() is True
    good = files.key.read_bytes()
    for bad in (b"", b"half", None):
        files.key.unlink() if bad is None else files.key.write_bytes(bad)
        assert certificate.refresh() is False
        assert certificate.refresh() is None
    files.key.write_bytes(good)
    assert certificate.refresh() is True


def test_files_that_cannot_be_used_at_first_are_an_error(files):
    with pytest.raises(OSError, match="No such file"):
        Certificate(files.chain, files.key)
    files.write(trustme.CA())
    files.key.write_bytes(b"half")
    with pytest.raises(ssl.SSLError):
        Certificate(files.chain, files.key)


async def test_a_running_server_takes_a_renewed_certificate_and_keeps_its_calls(files, tmp_path, capfd):
    (tmp_path / "keys.json").write_text(json.dumps({"open": ""}))
    first, second, outlet, client = trustme.CA(), trustme.CA(), FakeOutlet(), Client()
    files.write(first)
    settings = {"host": "localhost", "tls_certfile": files.chain, "tls_keyfile": files.key}
    async with serving(outlet, tmp_path / "keys.json", **settings) as server:
        url = f"wss://localhost:{server.port}/audiohook"
        async with connect(url, additional_headers=OPEN, ssl=trust(first), proxy=None) as call:
            await call.send(client.open())
            assert (await said(call))["type"] == "opened"
            files.write(second)
            server.keep_alive()
            async with connect(url, additional_headers=OPEN, ssl=trust(second), proxy=None):
                assert server.connections == 2
            files.key.write_bytes(b"half")
            server.keep_alive()
            async with connect(url, additional_headers=OPEN, ssl=trust(second), proxy=None):
                await call.send(client.say("ping"))
                assert (await said(call))["type"] == "pong"
    logged = capfd.readouterr().err
    assert "the certificate was renewed" in logged
    assert "the renewed certificate cannot be used" in logged
