"""What `callstream state` says of a changelog; resets run on a real broker, in ring 5."""

import pytest

from callstream.state_command import begun_anew, described, shown
from runtime.checkpoint import Restored
from runtime.config import KafkaSettings, RegistrySettings
from runtime.errors import ConfigError
from schemas.records import ChangelogEntry


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (Restored(), "silence/3: no state"),
        (Restored(None, 7), "silence/3: no state, reset at offset 7"),
        ("offset 7 is no entry", "silence/3: offset 7 is no entry"),
        (
            Restored(ChangelogEntry(version=2, position=50, settings_hash="ab", state=b"personal"), 9),
            "silence/3: state version 2, 8 bytes, position 50, settings ab, at offset 9 of the changelog",
        ),
    ],
)
def test_a_state_is_described_without_its_content(found: Restored | str, line: str) -> None:
    assert described("silence", 3, found) == line


async def test_a_group_without_a_changelog_is_refused_before_any_connection() -> None:
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(ConfigError, match="there are loss, silence"):
        await shown(kafka, RegistrySettings(), "cognigy", 0)
    with pytest.raises(ConfigError, match="there are loss, silence"):
        await begun_anew(kafka, RegistrySettings(), "ingest", 0)
