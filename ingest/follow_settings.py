"""The settings of following calls by subscription."""

from pathlib import Path

from pydantic import Field

from runtime.config import Section


class FollowSettings(Section):
    """How the calls of calls.subscriptions are shared by the ingest processes, and which file asks for some."""

    file: Path | None = Field(
        None,
        description="File of calls to follow, one JSON object a line, read again when it changes. "
        "The same for all ingest processes.",
    )
    session_timeout_ms: int = Field(
        6_000,
        ge=1_000,
        le=60_000,
        description="After so long without a sign of life another ingest process takes the calls over; "
        "the broker's `group.min.session.timeout.ms` must allow it.",
    )
