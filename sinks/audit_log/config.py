"""Settings of the audit log."""

from collections.abc import Iterator

from pydantic import Field, SecretStr

from runtime.config import Settings

DEVELOPMENT_KEY = "callstream development key: known to all, for trials only"
"""What digests are keyed with where the operator allows it. Digests under it protect nothing."""

_KEY_CHARACTERS = 32


class AuditLogSettings(Settings):
    """Where the log and its head stand, and how it is written."""

    store_url: str = Field(
        "data/audit", min_length=1, description="Store of the log: a folder, or a file://, s3://, gs:// or az:// URL."
    )
    heads_url: str = Field(
        "data/audit-heads",
        min_length=1,
        description="Store of the log's head, under other credentials: what shows that an end was cut off.",
    )
    digest_key: SecretStr | None = Field(
        None, description="Secret that keys the digests of personal values, at least 32 characters; never change it."
    )
    allow_development_key: bool = Field(
        default=False, description="Use a publicly known key where none is set. For trials; it protects nothing."
    )
    interval_s: float = Field(1.0, gt=0, le=60, description="Objects are written at most this often.")
    batch_entries: int = Field(5_000, ge=1, le=50_000, description="Most entries of one object.")
    marks_interval_s: float = Field(
        600, ge=1, le=86_400, description="How often an object is written that holds nothing but marks."
    )
    dedup_window: int = Field(
        2_048, ge=0, le=1_000_000, description="Offsets of a partition among which a repeated id is recognised."
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return a missing or weak key, and a head beside its log."""
        if self.digest_key is None:
            if not self.allow_development_key:
                yield "digest_key", "is needed (or a file with it); for trials AUDIT_LOG_ALLOW_DEVELOPMENT_KEY=true"
        elif len(self.digest_key.get_secret_value()) < _KEY_CHARACTERS:
            yield "digest_key", f"needs at least {_KEY_CHARACTERS} characters"
        if self.store_url.rstrip("/") == self.heads_url.rstrip("/"):
            yield "heads_url", "must not be the store of the log"

    @property
    def digest_key_bytes(self) -> bytes:
        """The key of the digests."""
        return (self.digest_key.get_secret_value() if self.digest_key else DEVELOPMENT_KEY).encode()
