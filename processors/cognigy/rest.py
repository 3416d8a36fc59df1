"""Cognigy's REST endpoint as a transport: one request, one answer; the token is in the URL and in nothing else."""

from collections.abc import AsyncGenerator

from pydantic import SecretStr

from processors.cognigy.client import Unasked
from processors.cognigy.config import CognigySettings, endpoint, rules
from processors.cognigy.events import BotEvent, BotInput, Ended
from processors.cognigy.messages import request_of
from processors.cognigy.replies import NoReply, Reply, judge
from processors.cognigy.rules import Rules
from runtime.clock import Clock
from runtime.errors import Unavailable
from runtime.http import HttpClient, Unsent, wait_of
from schemas.symbols import BotTransport

_BLOT = b"[token]"
# an answer that cannot be unpacked would be no answer
_HEADERS = {"content-type": "application/json", "accept": "application/json", "accept-encoding": "identity"}


class RestClient:
    """See `BotClient`. The endpoint keeps the session itself: nothing is opened or closed, nobody speaks unasked."""

    transport = BotTransport.REST

    def __init__(  # noqa: PLR0913 - where, who, and how an answer is read
        self, http: HttpClient, endpoint_url: str, token: SecretStr, rules: Rules, *, timeout_s: float, clock: Clock
    ) -> None:
        """`http` takes any status. `timeout_s` bounds the whole request."""
        self._http = http
        self._endpoint_url = endpoint_url.rstrip("/")
        self._token = token
        self._rules = rules
        self._timeout_s = timeout_s
        self._clock = clock

    def open(self, session: str, unasked: Unasked) -> None:
        """See `BotClient`."""

    def close(self, session: str) -> None:
        """See `BotClient`."""

    def size_bytes(self, said: BotInput) -> int:
        """See `BotClient`."""
        return len(request_of(said))

    async def send(self, session: str, said: BotInput) -> AsyncGenerator[tuple[BotEvent, ...], None]:  # noqa: ARG002
        """See `BotClient`. The session stands in the body."""
        verdict, outputs = judge(await self.ask(request_of(said)), self._rules)
        yield (*outputs, Ended(verdict))

    async def ask(self, body: bytes) -> Reply | NoReply:
        """Make one request, once, and return what came of it."""
        token = self._token.get_secret_value()
        try:
            answer = await self._http.request(
                "POST", f"{self._endpoint_url}/{token}", headers=_HEADERS, content=body, timeout_s=self._timeout_s
            )
        except Unsent:
            return NoReply(unsent=True)
        except Unavailable:
            return NoReply(unsent=False)
        retry_after_s = wait_of(answer.headers.get("retry-after"), self._clock.wall_s())
        return Reply(answer.status, answer.body.replace(token.encode(), _BLOT), retry_after_s)


def http_client(settings: CognigySettings, clock: Clock, connections: int) -> HttpClient:
    """Return the way to the bot's host, as the settings bound it."""
    return HttpClient(
        "cognigy",
        timeout_s=settings.read_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
        connections=connections,
        clock=clock,
        any_status=True,
        longest_answer_bytes=settings.longest_answer_bytes,
    )


def rest_client(settings: CognigySettings, http: HttpClient, clock: Clock) -> RestClient:
    """Return the bot's REST endpoint as the settings name it. Raises `ConfigError`."""
    url, token = endpoint(settings)
    # the whole may take as long as its parts, so that a connection that is not made counts as unsent
    timeout_s = settings.connect_timeout_s + settings.read_timeout_s
    return RestClient(http, url, token, rules(settings), timeout_s=timeout_s, clock=clock)
