"""What is attacked runs on the loop that ingest runs on."""

from tests.ingest.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
