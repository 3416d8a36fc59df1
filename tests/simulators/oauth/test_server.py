"""The login server against the literal exchange the platform documents, over plain HTTP."""

import base64
import json
import subprocess
import sys

import pytest

from runtime.clock import ManualClock
from runtime.http import HttpClient
from simulators.oauth.server import Fault, OAuthServer

FORM = {"content-type": "application/x-www-form-urlencoded"}
GRANT = b"grant_type=client_credentials"


def basic(name="client", secret="secret"):
    return FORM | {"authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


@pytest.fixture
async def ask():
    """Return a function that sends one request to a server of the test's choice."""
    async with HttpClient("oauth", timeout_s=5, any_status=True) as http:

        async def request(server, headers=None, content=GRANT, query=""):
            async with server.serving() as url:
                return await http.request("POST", url + query, headers=headers or basic(), content=content)

        yield request


async def test_client_credentials_are_answered_with_a_token(ask):
    clock = ManualClock()
    server = OAuthServer(lifetime_s=600, clock=clock)
    body = (await ask(server)).json()
    assert (body["token_type"], body["expires_in"]) == ("bearer", 600)
    assert server.is_valid(body["access_token"])
    clock.advance(600)
    assert not server.is_valid(body["access_token"])
    assert server.as_json() == {"requests": 1, "issued": 1, "leaks": 0}


async def test_a_token_can_be_revoked_alone_or_with_all(ask):
    server = OAuthServer()
    first, second, third = [(await ask(server)).json()["access_token"] for _ in range(3)]
    server.revoke(first)
    assert [server.is_valid(token) for token in (first, second, third)] == [False, True, True]
    server.revoke_all()
    assert not any(server.is_valid(token) for token in (first, second, third))


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        ((basic("other"), GRANT, ""), (401, "invalid_client")),
        ((basic(secret="wrong"), GRANT, ""), (401, "invalid_client")),
        ((FORM, GRANT, ""), (401, "invalid_client")),
        ((basic(), b"grant_type=password", ""), (400, "unsupported_grant_type")),
        ((basic(), b"", ""), (400, "unsupported_grant_type")),
        ((basic(), GRANT, "?client_id=client&client_secret=secret"), (400, "invalid_request")),
        ((basic(), GRANT + b"&client_secret=secret", ""), (400, "invalid_request")),
        ((basic(), b"", "?grant_type=client_credentials"), (400, "invalid_request")),
        ((basic() | {"content-type": "application/json"}, b"{}", ""), (400, "invalid_request")),
    ],
)
async def test_anything_else_is_refused(ask, request_, refusal):
    server = OAuthServer()
    answer = await ask(server, *request_)
    assert (answer.status, answer.json()["error"], server.issued) == (*refusal, 0)
    _, content, query = request_
    assert server.leaks == ("client_secret" in query or b"client_secret" in content)


async def test_it_does_what_the_script_says_and_then_serves(ask):
    server = OAuthServer()
    server.script += [
        Fault(429, retry_after="7"),
        Fault(500),
        Fault(body=b"<html>"),
        Fault(changes={"expires_in": None}),
    ]
    answers = [await ask(server) for _ in range(5)]
    assert [answer.status for answer in answers] == [429, 500, 200, 200, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert answers[2].body == b"<html>"
    assert "expires_in" not in answers[3].json()
    assert server.is_valid(answers[4].json()["access_token"])


def test_it_runs_as_a_process():
    run = subprocess.run(
        [sys.executable, "-m", "simulators.oauth", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "--lifetime-s" in run.stdout


def test_its_state_is_shown_without_tokens():
    server = OAuthServer()
    token = json.loads(server._token(Fault()).body)["access_token"]
    assert server.is_valid(token)
    assert server.tokens == (token,)
    assert token not in repr(server)
    assert "secret" not in repr(server)
