"""The settings of recording_sync. Environment names start with `RECORDING_SYNC_`."""

from pathlib import Path

from pydantic import Field

from runtime.config import Settings, settings_hash
from runtime.version import version
from sinks.recording_sync.logic import Rules
from sinks.recording_sync.objects import check

_SHAPING = ("stall_ms", "longest_s")


class RecordingSyncSettings(Settings):
    """Where recordings go and what counts as a stall."""

    store_url: str = Field(
        "data/recordings",
        min_length=1,
        description="Where sealed recordings go: a folder, or a file, s3, gs or az URL. A local folder is made.",
    )
    work_folder: Path = Field(
        Path("data/recording_sync"),
        description="Open recordings and marks; on a disk that survives a restart. Personal data: audio.",
    )
    write_interval_s: float = Field(
        0.5, ge=0.05, le=60, description="Least time between two writes; also how long audio waits for the disk."
    )
    waiting_bytes: int = Field(
        16 * 2**20, ge=2**20, le=2**30, description="Audio held in memory while a write is in flight."
    )
    most_open_files: int = Field(256, ge=16, le=65_536, description="Files kept open at a time.")
    stall_ms: int = Field(
        200, ge=20, le=60_000, description="Audio that arrives this much later than the least delay is a stall."
    )
    longest_s: int = Field(
        24 * 3600, ge=60, le=7 * 24 * 3600, description="Audio of one recording; what lies beyond is left out, counted."
    )


def rules(settings: RecordingSyncSettings) -> Rules:
    """Return what shapes the recordings, with its digest."""
    return Rules(
        stall_ms=settings.stall_ms,
        longest_s=settings.longest_s,
        settings_hash=settings_hash(settings, _SHAPING),
        software_version=version(),
    )


def check_settings(settings: RecordingSyncSettings) -> None:
    """Raise `ConfigError` for a store URL that names no store. Connects nowhere."""
    check(settings.store_url)
