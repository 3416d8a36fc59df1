import pytest
from pydantic import SecretStr

from runtime.clock import ManualClock
from runtime.errors import Unavailable
from runtime.http import HttpClient
from runtime.oauth import TokenSource


async def test_a_server_that_is_not_there_is_unavailable():
    async with HttpClient("oauth", timeout_s=5) as http:
        source = TokenSource(http, "http://127.0.0.1:1/oauth/token", "id", SecretStr("secret"), ManualClock())
        with pytest.raises(Unavailable):
            await source.get()
