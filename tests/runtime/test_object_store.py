"""What a store's setting names, and that a store which refuses is given up soon."""

import asyncio

import obstore
import pytest
from obstore.exceptions import BaseError

from runtime.object_store import folder_of, remote_store


def test_only_paths_and_file_urls_are_local(tmp_path) -> None:
    assert folder_of(f"file://{tmp_path}/with%20space") == tmp_path / "with space"
    assert folder_of(str(tmp_path)) == tmp_path
    assert folder_of("s3://bucket/path") is None


async def test_a_store_that_fails_is_asked_once_more_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for name, value in (
        ("AWS_ENDPOINT", f"http://127.0.0.1:{port}"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ):
        monkeypatch.setenv(name, value)
    store = remote_store("s3://bucket/prefix")
    with pytest.raises(BaseError):
        await asyncio.to_thread(obstore.put, store, "name", b"data", use_multipart=False)
    server.close()
    await server.wait_closed()
    assert len(asked) == 2
