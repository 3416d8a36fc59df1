"""Sessions that want audio again while their peer's own pause holds: who hears from others that it is over. Pure.

A peer that was asked for a pause, and then began one of its own, does not say when its own is over: it stays paused for
us. Nothing is asked of it while its own may hold. Whoever knows better (the platform, when it is asked about the
conversation) tells the witness, and the witness those who wait.
"""

from collections.abc import Callable

from ingest.identity import one_spelling

SETTLE_S = 10.0
"""A word that is no older than the pause by so much may be of the time before it: others learn of a pause late."""
Hear = Callable[[float], None]


class Witness:
    """Passes on that a conversation was not paused. Ids of conversations are the same however they are spelled.

    `ask` is told of a conversation when somebody begins to wait for it, and when nobody does any more.
    """

    def __init__(self) -> None:
        self.ask: Callable[[str, bool], None] = _nobody
        self._waiting: dict[str, set[Hear]] = {}

    def wait(self, conversation_id: str, hear: Hear) -> None:
        """Tell somebody from now on. Does nothing where that is done already."""
        conversation = one_spelling(conversation_id)
        if conversation not in self._waiting:
            self._waiting[conversation] = set()
            self.ask(conversation, True)
        self._waiting[conversation].add(hear)

    def leave(self, conversation_id: str, hear: Hear) -> None:
        """Tell somebody no more."""
        conversation = one_spelling(conversation_id)
        waiting = self._waiting.get(conversation)
        if waiting is None:
            return
        waiting.discard(hear)
        if not waiting:
            del self._waiting[conversation]
            self.ask(conversation, False)

    def not_paused(self, conversation_id: str, as_of_s: float) -> None:
        """Take the word that a conversation was not paused at that time (monotonic)."""
        for hear in list(self._waiting.get(one_spelling(conversation_id), ())):
            hear(as_of_s)


def _nobody(conversation: str, wanted: bool) -> None:
    """Nobody is asked."""
