"""Where processing may go on: each way the changelog and the input's log can disagree."""

import pytest

from runtime.checkpoint import Application, Restored
from runtime.errors import ConfigError, StateCorrupted
from runtime.kafka import TopicPartition
from runtime.restoring import Stops, check_place
from schemas.records import ChangelogEntry
from tests.runtime.committed_log import CommittedLog

STOPS = Stops(Application("silence", "replay.x."), TopicPartition("calls.audio", 3))
ENTRY = ChangelogEntry(version=1, position=50, max_timestamp_ms=7_000)


def log(first: int = 0, end: int = 100, oldest: tuple[int, int] | None = (49, 7_000), reached: int | None = None):
    made = CommittedLog()
    made.first, made.end, made.oldest, made.reached = first, end, oldest, reached
    return made


@pytest.mark.parametrize(
    ("held", "found"),
    [
        (log(), Restored(ENTRY, 9)),
        (log(oldest=(12, 7_000)), Restored(ENTRY, 9)),
        # nothing that was processed is left: there is nothing to compare
        (log(first=50, oldest=(50, 9_000)), Restored(ENTRY, 9)),
        (log(first=5), Restored()),
        (log(first=5, reached=5), Restored()),
        (log(first=5, reached=60), Restored(None, 9)),
    ],
)
async def test_it_goes_on_with_the_log_s_first_offset(held: CommittedLog, found: Restored) -> None:
    assert await check_place(found, held, STOPS) == held.first


@pytest.mark.parametrize(
    ("held", "found", "why"),
    [
        (log(first=51), Restored(ENTRY, 9), "deleted by retention .*1 were never read"),
        (log(end=49), Restored(ENTRY, 9), "never written"),
        (log(oldest=(0, 8_000)), Restored(ENTRY, 9), "made anew"),
        (log(oldest=(50, 7_000)), Restored(ENTRY, 9), "made anew"),
        (log(reached=60), Restored(), "the changelog was lost"),
    ],
)
async def test_it_stops_with_the_place_and_the_command(held: CommittedLog, found: Restored, why: str) -> None:
    command = "TOPIC_PREFIX=replay.x. callstream state reset silence 3 --yes"
    with pytest.raises(ConfigError, match=rf"replay.x.silence: calls.audio/3: .*{why}.*{command}"):
        await check_place(found, held, STOPS)


async def test_a_log_with_nothing_young_enough_is_another_log() -> None:
    class Old(CommittedLog):
        async def first_since(self, _tp, timestamp_ms: int) -> None:
            return None

    with pytest.raises(ConfigError, match="made anew"):
        await check_place(Restored(ENTRY, 9), Old(), STOPS)


def test_an_unreadable_state_is_named_by_place_version_and_position() -> None:
    error = STOPS.unreadable(Restored(ENTRY, 9), 4, StateCorrupted("it was cut short"))
    (text,) = error.mistakes
    assert (
        "replay.x.silence.changelog/3 offset 9 (state version 1, position 50) cannot be used: it was cut short" in text
    )
    assert "outputs from offset 4 on are written a second time" in text
