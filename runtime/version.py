"""The version of the installed product."""

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """Return the version of the installed product, or `0` where it runs without being installed."""
    try:
        return metadata.version("callstream")
    except metadata.PackageNotFoundError:
        return "0"
