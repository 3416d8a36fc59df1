"""A way to the bot: one input, what comes of it, no decision. Each transport implements `BotClient`.

`rest` is Cognigy's REST endpoint, `bridge` the WebSocket of an AppFoundry application. Another one needs a module, a
symbol of `BotTransport` and a line in `transports`.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from processors.cognigy.events import BotEvent, BotInput
from schemas.symbols import BotTransport

Unasked = Callable[[Sequence[BotEvent], BotInput | None], None]
"""Hears what the bot says beside the input under way, with the input it answers late, if any; returns at once."""


class BotClient(Protocol):
    """A transport to the bot. `session` is a conversation's id: the bot knows one session per conversation."""

    transport: BotTransport

    def open(self, session: str, unasked: Unasked) -> None:
        """A call is there, or was taken over. Returns at once: a connection that fails shows at `send`."""

    def size_bytes(self, said: BotInput) -> int:
        """Return how many bytes an input takes on its way."""

    def send(self, session: str, said: BotInput) -> AsyncGenerator[tuple[BotEvent, ...], None]:
        """Send one input, once, and yield what comes of it, together what came together. The last event is `Ended`.

        Nothing is sent before the first event is asked for. Ended before the first byte left is UNSENT, and only that.
        Raises nothing but for cancellation.
        """

    def close(self, session: str) -> None:
        """The call is over, or somebody else's now. Returns at once."""
