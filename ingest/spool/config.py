"""The settings of the spool."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from ingest.spool.sealing import AesGcm, Plain, Seal, read_key
from runtime.config import Section

SEGMENT_BYTES = 16 * 2**20


class SpoolSettings(Section):
    """Where records wait on disk while Kafka takes none, and how."""

    folder: Path | None = Field(
        None,
        description="Folder of this process alone, for records that Kafka does not take; it outlives the process. "
        "Not set: they wait in memory only.",
    )
    key_file: Path | None = Field(
        None, description="File with the key that seals them (AES-256-GCM): 32 bytes as base64 or hex digits."
    )
    plaintext: bool = Field(False, description="Keep the audio of callers on disk without a key.")
    max_bytes: int = Field(
        4 * 2**30,
        ge=4 * SEGMENT_BYTES,
        le=2**44,
        description="Size of all files together; above it audio is dropped and announced as a gap.",
    )
    aside_max_bytes: int = Field(
        4 * 2**30,
        ge=0,
        le=2**44,
        description="Size of what is kept in `aside/` because it is damaged or cannot be read; beyond it the oldest is "
        "removed.",
    )
    after_s: float = Field(
        1, ge=0.1, le=60, description="A partition whose oldest unacknowledged record is so old goes to disk."
    )
    flush_interval_s: float = Field(
        0.5, ge=0.02, le=1, description="How often what waits is written and synced; a crash loses so much at most."
    )

    @property
    def seal(self) -> Seal:
        """What closes and opens the blocks. Raises `ValueError` for a key file that cannot be used."""
        return Plain() if self.key_file is None else AesGcm(read_key(self.key_file))

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return what would put audio on disk in the clear by accident, and a key that cannot be used."""
        if self.folder is not None and self.key_file is None and not self.plaintext:
            yield "key_file", "is needed beside the folder: the audio of callers is not kept in the clear by accident"
        if self.key_file is not None and self.plaintext:
            yield "plaintext", "contradicts the key file"
        if self.key_file is not None and not self.plaintext:
            try:
                read_key(self.key_file)
            except ValueError as error:
                yield "key_file", str(error)
