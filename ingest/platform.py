"""What the platform's REST API says about the conversations that are followed: whether they still are, and are paused.

The API is polled (`ingest.polling` decides whom and when). An answer's word about pauses goes into the book of the
process, as that of a session that states pauses, and counts until it is too old. A conversation that does not exist, or
whose end is long enough ago, is over; nothing else ends one: what fails is asked again. One that goes wrong never holds
up another.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from ingest.conversation import MISSING, Standing, standing
from ingest.identity import one_spelling
from ingest.pausing import PauseBook
from ingest.polling import Limits, Polls, Watched
from ingest.protocol import Ended
from ingest.withheld import Witness
from runtime.clock import Clock
from runtime.errors import ConfigError, PeerError, Unavailable
from runtime.http import HttpClient, Response
from runtime.log import Logger, get_logger
from runtime.metrics import (
    INGEST_PLATFORM_AGE_SECONDS,
    INGEST_PLATFORM_QUESTIONS,
    INGEST_PLATFORM_STALE,
    INGEST_PLATFORM_WATCHED,
)
from runtime.oauth import TokenSource
from schemas.symbols import Reason

REPORT_EVERY_S = 60.0
"""What keeps the platform from answering is logged once in that time for each outcome."""
RENEW_EVERY_S = 60.0
"""Another token is forgotten so long after the last, unless the platform took one meanwhile: others dial with it."""
_OVER = ("missing", "ended")
_ANSWERED = ("found", "unwanted")


class Platform:
    """Asks about each watched conversation, for as long as it is watched.

    `url` gives the address of a conversation; `over` is told, once, of one that is over, which is then watched no more.
    The witness may want to know of more, and is told of each that is not paused.
    """

    def __init__(  # noqa: PLR0913 - whom to ask, how, and whom to tell
        self,
        http: HttpClient,
        url: Callable[[str], str],
        token: TokenSource,
        book: PauseBook,
        clock: Clock,
        *,
        limits: Limits,
        over: Callable[[str, Ended], None],
        witness: Witness | None = None,
    ) -> None:
        self._http = http
        self._url = url
        self._token = token
        self._book = book
        self._clock = clock
        self._limits = limits
        self._over = over
        self._witness = witness or Witness()
        self._witness.ask = self._wait
        self._followed: set[str] = set()
        self._waited: set[str] = set()
        self._polls = Polls(limits)
        self._changed = asyncio.Event()
        self._log: Logger = get_logger("platform")
        self._reported_s: dict[str, float] = {}
        self._too_many = False
        self._refused_s = float("-inf")

    def watch(self, conversation_id: str) -> None:
        """Ask about a conversation from now on."""
        self._followed.add(one_spelling(conversation_id))
        self._begin(one_spelling(conversation_id))

    def unwatch(self, conversation_id: str) -> None:
        """Ask no more about a conversation. A pause it is in stays until somebody says that it is over."""
        conversation = one_spelling(conversation_id)
        self._followed.discard(conversation)
        if conversation not in self._waited:
            self._end_asking(conversation)

    def _wait(self, conversation: str, wanted: bool) -> None:
        """Ask about a conversation that is not followed for as long as somebody waits for the end of its pause."""
        if wanted:
            self._waited.add(conversation)
            self._begin(conversation)
        else:
            self._waited.discard(conversation)
            if conversation not in self._followed:
                self._end_asking(conversation)

    def _begin(self, conversation: str) -> None:
        self._polls.watch(conversation)
        INGEST_PLATFORM_WATCHED.set(len(self._polls))
        too_many, self._too_many = self._too_many, self._polls.round_s > self._limits.stale_s
        if self._too_many and not too_many:
            self._log.warning(
                "more conversations are followed than can be asked about before an answer is too old",
                count=len(self._polls),
                seconds=self._polls.round_s,
            )
        self._changed.set()

    def _end_asking(self, conversation: str) -> None:
        watched = self._polls.unwatch(conversation)
        INGEST_PLATFORM_WATCHED.set(len(self._polls))
        if watched is not None and watched.told:
            watched.told = False
            self._forget(watched)

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                now_s = self._clock.monotonic_s()
                for watched in self._polls.stale(now_s):
                    INGEST_PLATFORM_STALE.inc()
                    self._forget(watched)
                turn = self._polls.take(now_s)
                if turn is not None:
                    tasks.create_task(self._ask(turn))
                    continue
                self._changed.clear()
                await self._pass(self._polls.wait_s(now_s))

    async def _pass(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds if seconds < float("inf") else None):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _ask(self, watched: Watched) -> None:
        """Put one question, and take what comes of it."""
        outcome, again = "cancelled", False
        try:
            outcome = await self._exchange(watched)
            again = outcome == "unauthorized" and not watched.refused
            watched.refused = again
            self._report(outcome, watched)
        except Exception as error:  # noqa: BLE001 - what goes wrong about one conversation must not stop the others
            outcome = "failed"
            self._log.error("a question about a conversation failed", exc_info=error)
        finally:
            INGEST_PLATFORM_QUESTIONS.labels(outcome).inc()
            self._polls.done(watched, self._clock.monotonic_s(), again=again)
            self._changed.set()

    async def _exchange(self, watched: Watched) -> str:
        """Return what came of a question, in one word. Without a token, all others would ask for one in vain."""
        token = None
        try:
            token = await self._token.get()
            sent_s = self._clock.monotonic_s()
            headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
            answer = await self._http.request("GET", self._url(watched.conversation), headers=headers)
        except Unavailable as error:
            self._hold(error.retry_after_s or (0.0 if token else self._limits.interval_s))
            return "unavailable"
        except ConfigError:
            self._hold(0.0 if token else self._limits.interval_s)
            return "credentials"
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._refused(token)
            return "unauthorized"
        self._refused_s = float("-inf")
        found = _read(answer)
        if isinstance(found, str):
            return found
        if not self._polls.is_watched(watched):
            return "unwanted"
        return self._take(watched, found, sent_s)

    def _hold(self, seconds: float) -> None:
        self._polls.hold(self._clock.monotonic_s() + seconds)

    def _refused(self, token: str) -> None:
        """Forget a token that may have expired. Where a new one is refused too, it is not the token's fault."""
        now_s = self._clock.monotonic_s()
        if now_s - self._refused_s >= RENEW_EVERY_S:
            self._refused_s = now_s
            self._token.invalidate(token)

    def _take(self, watched: Watched, found: Standing, sent_s: float) -> str:
        now_s = self._clock.monotonic_s()
        age_s = self._polls.answered(watched, sent_s, now_s)
        if age_s is not None:
            INGEST_PLATFORM_AGE_SECONDS.observe(age_s)
        if not found.found:
            self._end(watched, Ended(Reason.OTHER, not_available=True, code=HTTPStatus.NOT_FOUND))
            return "missing"
        if found.ended_at_s is not None and self._clock.wall_s() >= found.ended_at_s + self._limits.window_s:
            self._end(watched, Ended(Reason.END, not_available=True))
            return "ended"
        self._note(watched, found, sent_s, now_s)
        return "found"

    def _note(self, watched: Watched, found: Standing, sent_s: float, now_s: float) -> None:
        """Take down whether a conversation is paused. What was known of one that has ended goes on holding."""
        session = (self, watched.conversation)
        if found.paused is None:
            # an end that lies further ahead than clocks differ is none
            ended = found.ended_at_s is not None and found.ended_at_s <= self._clock.wall_s() + self._limits.window_s
            if watched.told and not ended:
                watched.told = False
                self._forget(watched)
            return
        if not watched.told:
            watched.told = True
            self._book.opened(watched.conversation, session, now_s, as_of_s=sent_s)
        self._book.told(watched.conversation, session, now_s, paused=found.paused, as_of_s=sent_s)
        if not found.paused:
            self._witness.not_paused(watched.conversation, sent_s)

    def _end(self, watched: Watched, ended: Ended) -> None:
        try:
            self._over(watched.conversation, ended)
        finally:
            self._followed.discard(watched.conversation)
            self._waited.discard(watched.conversation)
            self._end_asking(watched.conversation)

    def _forget(self, watched: Watched) -> None:
        self._book.closed(watched.conversation, (self, watched.conversation), self._clock.monotonic_s())

    def _report(self, outcome: str, watched: Watched) -> None:
        """Log each that is over, and now and then what keeps the platform from answering."""
        if outcome in _OVER:
            self._log.info("a conversation is over", conversation=watched.conversation, outcome=outcome)
        elif outcome not in _ANSWERED:
            now_s = self._clock.monotonic_s()
            if now_s - self._reported_s.get(outcome, float("-inf")) >= REPORT_EVERY_S:
                self._reported_s[outcome] = now_s
                self._log.warning(
                    "the platform does not say how a conversation stands",
                    conversation=watched.conversation,
                    outcome=outcome,
                )


def _read(answer: Response) -> Standing | str:
    """Return what an answer says, else what is wrong with it."""
    if answer.status == HTTPStatus.NOT_FOUND:
        return MISSING
    if answer.status == HTTPStatus.FORBIDDEN:
        return "forbidden"
    if not answer.ok:
        return "refused"
    try:
        body = answer.json()
    except PeerError:
        return "unreadable"
    return standing(body) if isinstance(body, dict) else "unreadable"
