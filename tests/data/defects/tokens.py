"""Ways to get and keep a token that are wrong. Each has the interface of `runtime.oauth.TokenSource`."""

import base64
import json
from urllib.parse import urlencode

from runtime.clock import Clock
from runtime.http import HttpClient

ID, SECRET = "client", "s3cret-of-the-client"
_FORM = {"content-type": "application/x-www-form-urlencoded"}


class Tokens:
    """Asks for a token the right way, each time. What is wrong, subclasses put in."""

    def __init__(self, http: HttpClient, url: str, clock: Clock) -> None:
        self.http, self.url, self.clock = http, url, clock
        self.value: str | None = None
        self.until_s = 0.0

    async def get(self) -> str:
        """Return a token, asking again once the stated life is nearly over."""
        if self.value is None or self.clock.monotonic_s() >= self.until_s:
            answer = await self.ask()
            self.value, self.until_s = answer["access_token"], self.clock.monotonic_s() + 0.9 * answer["expires_in"]
        return self.value

    def invalidate(self, token: str) -> None:
        """Forget a token that was refused."""
        if token == self.value:
            self.value = None

    async def ask(self, query: str = "", body: str = "grant_type=client_credentials") -> dict:
        """Make the request."""
        basic = base64.b64encode(f"{ID}:{SECRET}".encode()).decode()
        return await self.post(query, body, {**_FORM, "authorization": f"Basic {basic}"})

    async def post(self, query: str, body: str, headers: dict[str, str]) -> dict:
        """Return the answer. Raises `RuntimeError` where it is no success."""
        answer = await self.http.request("POST", self.url + query, headers=headers, content=body.encode())
        if not answer.ok:
            raise RuntimeError(answer.status)
        return json.loads(answer.body)


class RefusedButKept(Tokens):
    """A1: after a refusal the getter is called once more, and gives what it has."""

    def invalidate(self, token: str) -> None:
        """Change nothing: the cached token still looks fresh."""


class FixedHour(Tokens):
    """A4: every token is taken to live an hour less five minutes, by the wall clock."""

    async def get(self) -> str:
        """Return the token of this hour."""
        if self.value is None or self.clock.wall_s() - self.until_s >= 3600 - 300:
            self.value, self.until_s = (await self.ask())["access_token"], self.clock.wall_s()
        return self.value


class FixedMargin(Tokens):
    """A4: a token is renewed a minute early, however short it lives; then each request asks for another."""

    async def get(self) -> str:
        """Return a token with more than a minute to live."""
        if self.value is None or self.clock.monotonic_s() >= self.until_s:
            answer = await self.ask()
            self.value, self.until_s = answer["access_token"], self.clock.monotonic_s() + answer["expires_in"] - 60
        return self.value


class SecretInBody(Tokens):
    """A5: id, secret and organisation stand in the form."""

    async def ask(self, query: str = "", body: str = "") -> dict:
        """Make the request."""
        whole = {"grant_type": "client_credentials", "client_id": ID, "client_secret": SECRET, "org_id": "acme"}
        return await self.post(query, body or urlencode(whole), _FORM)


class SecretInQuery(Tokens):
    """A5: they stand in the URL, which every proxy logs."""

    async def ask(self, query: str = "", body: str = "") -> dict:
        """Make the request."""
        whole = {"grant_type": "client_credentials", "client_id": ID, "client_secret": SECRET}
        return await self.post(query or "?" + urlencode(whole), body, _FORM)


class EveryoneAsks(Tokens):
    """A6: nobody knows of the request that is under way."""

    async def get(self) -> str:
        """Return a token; whoever finds none asks."""
        if self.value is None:
            self.value = (await self.ask())["access_token"]
        return self.value


class FetchedOnce(Tokens):
    """A6: the token of the start serves for every connection that follows."""

    async def get(self) -> str:
        """Return the first token there ever was."""
        if self.value is None:
            self.value = (await self.ask())["access_token"]
        return self.value

    def invalidate(self, token: str) -> None:
        """Change nothing: nobody tells the one who fetched it."""


def on_the_api_host(domain: str, region: str) -> str:
    """A5: tokens are asked for where the API is."""
    return f"https://api.{domain}/oauth/token"


def on_the_regions_name(domain: str, region: str) -> str:
    """A5: the name of an AWS region is taken for a host."""
    return f"https://{region}.mypurecloud.com/oauth/token"
