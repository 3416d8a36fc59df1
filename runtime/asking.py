"""Asks the schema registry for ids a poll has shown, for as long as the registry does not answer."""

from typing import Any

from runtime.errors import Unavailable
from runtime.kafka import connect_with_retry
from runtime.service import Service

_CONDITION = "schema registry"
_LIMIT = 10_000


async def ask(service: Service[Any], unknown: set[int], asked: set[int]) -> None:
    """Wait until the registry has said what `unknown` means, then note the ids in `asked`.

    What is unknown even then stays unknown: its records are dead letters. Not ready meanwhile; ends at once when the
    service stops. Raises `ConfigError` or `PeerError` for an answer that makes no sense.
    """

    async def resolve() -> bool:
        await service.registry.resolve(unknown, service.store)
        return True

    def waiting(error: Unavailable) -> None:
        service.health.ready(_CONDITION, ok=False, why=str(error))

    try:
        if await connect_with_retry(resolve, stopping=service.stopping, on_wait=waiting):
            if len(asked) > _LIMIT:
                asked.clear()
            asked |= unknown
    finally:
        service.health.ready(_CONDITION, ok=True)
