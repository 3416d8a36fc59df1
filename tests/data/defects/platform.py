"""Ways to find out what may be followed, and to ask for it, that are wrong."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from websockets.asyncio.client import connect

from runtime.clock import Clock
from runtime.http import HttpClient

AT_ONCE = 4
"""Questions that may be under way."""


class Asker:
    """Asks about each conversation once; `over` are those there is no media of. Asks so many at once."""

    def __init__(
        self, http: HttpClient, url: Callable[[str], str], headers: dict[str, str], clock: Clock, ids: Sequence[str]
    ) -> None:
        self.http, self.url, self.headers, self.clock, self.ids = http, url, headers, clock, ids
        self.over: set[str] = set()
        self.room = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Ask about all."""
        await asyncio.gather(*map(self.ask, self.ids))

    async def ask(self, name: str) -> None:
        """Ask about one."""
        async with self.room:
            answer = await self.http.request("GET", self.url(name), headers=self.headers)
        if answer.status == 404 or self.is_over(answer.json()):
            self.over.add(name)

    def is_over(self, body: dict) -> bool:
        """Tell whether it ended a minute ago or earlier."""
        return "endTime" in body and body["endTime"] < self.now(-60)

    def now(self, later_s: float) -> str:
        """Return a moment as the platform writes it."""
        return datetime.fromtimestamp(self.clock.wall_s() + later_s, UTC).isoformat()


class AllAtOnce(Asker):
    """F4: nothing bounds how many questions are under way."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.room = asyncio.Semaphore(1_000_000)


class ReadsAFieldThatIsNotThere(Asker):
    """F5: the end is looked for in a list of media, which no answer has; so nothing is ever over."""

    def is_over(self, body: dict) -> bool:
        """Tell whether its media are over."""
        media = body.get("media")
        return bool(media) and media[0].get("endTime", "9") < self.now(-60)


class OneConnection:
    """F4: all calls go over one connection, and more than fifty are an exception."""

    def __init__(self, url: str, ids: Sequence[str]) -> None:
        self.url, self.ids = url, ids

    async def run(self) -> None:
        """Subscribe to all."""
        if len(self.ids) > 50:
            message = "too many streams"
            raise ValueError(message)
        async with connect(self.url, proxy=None, ping_interval=None) as socket:
            await socket.send(json.dumps({"interactions": [{"interactionId": name} for name in self.ids]}))
            await socket.wait_closed()
