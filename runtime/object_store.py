"""Which object store a setting names, and how often it is asked again.

A store is called in threads (decision 0006), and a thread cannot be cancelled. obstore's own retries, 10 within three
minutes, would keep a thread far beyond a service's drain; the hosts ask again anyway, with jitter and where it shows.
"""

from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.store import ObjectStore, from_url

_RETRIES = 1
_RETRY_LIMIT = timedelta(seconds=10)


def folder_of(url: str) -> Path | None:
    """Return the folder a plain path or a file URL names, None for any other URL."""
    if "://" not in url:
        return Path(url).absolute()
    parts = urlsplit(url)
    return Path(unquote(parts.path)).absolute() if parts.scheme == "file" else None


def remote_store(url: str) -> ObjectStore:
    """Return the store a URL (S3, GCS, Azure) names, with credentials and endpoint from its usual variables.

    Connects nowhere. Raises obstore's errors for a bad URL.
    """
    return from_url(url, retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_LIMIT})
