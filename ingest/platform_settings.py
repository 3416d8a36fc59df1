"""The settings of asking the platform's REST API about the conversations that are followed."""

from collections.abc import Iterator

from pydantic import Field

from ingest.connecting import url_mistake
from ingest.polling import Limits
from runtime.config import Section

_STALE_INTERVALS = 3


class PlatformSettings(Section):
    """Whether and how often the platform is asked which followed conversations have ended, and which are paused."""

    poll: bool = Field(
        True, description="Ask the platform about followed conversations; never without an OAuth client."
    )
    url: str = Field(
        "https://api.{domain}/api/v2/conversations/{conversation_id}",
        description="Where a conversation is asked for; `{domain}` and `{region}` are those of Genesys.",
    )
    interval_s: float = Field(
        5,
        ge=0.1,
        le=600,
        description="How often each is asked about: a pause is known at most so much later, as a rule.",
    )
    per_minute: int = Field(
        240, ge=1, le=60_000, description="Most questions a minute; the platform allows a token 300 requests in all."
    )
    concurrency: int = Field(8, ge=1, le=100, description="Most questions under way at once.")
    timeout_s: float = Field(5, gt=0, le=120, description="How long an answer may take.")
    window_s: float = Field(60, ge=0, le=86_400, description="A conversation is unfollowed so long after its end.")
    stale_s: float | None = Field(
        None,
        gt=0,
        le=3_600,
        description="An answer older than that no longer says that a call is not paused; not set: three intervals.",
    )

    @property
    def limits(self) -> Limits:
        """How often the platform is asked, and how long an answer holds."""
        stale_s = _STALE_INTERVALS * self.interval_s if self.stale_s is None else self.stale_s
        return Limits(self.interval_s, self.per_minute, self.concurrency, self.window_s, stale_s)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what is wrong with the URL, and the times that do not fit together."""
        mistake = url_mistake(self.url, "https", {"conversation_id", "domain", "region"})
        if mistake is not None:
            yield "url", mistake
        elif "{conversation_id}" not in self.url:
            yield "url", "needs the placeholder {conversation_id}"
        if self.limits.stale_s <= self.interval_s:
            yield "stale_s", "is not longer than the interval: no answer would hold until the next"
