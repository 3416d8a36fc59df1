"""A small service for the tests of `runtime.service`: its work and its end are settings."""

import asyncio
import threading

from pydantic import Field

from runtime.config import Settings
from runtime.errors import ConfigError
from runtime.service import Service, main


class SampleSettings(Settings):
    ends_by: str = Field("drain", description="What happens at the end.")


async def start(service: Service[SampleSettings]) -> None:
    match service.settings.ends_by:
        case "return":
            return
        case "error":
            message = "Jane said"
            raise ValueError(message)
        case "bad":
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(refuse())
    service.health.ready("work", True)
    await service.stopping.wait()
    if service.settings.ends_by == "block":
        threading.Event().wait()
    if service.settings.ends_by == "hang":
        await asyncio.Event().wait()
    if service.settings.ends_by == "stubborn":
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue


async def refuse() -> None:
    raise ConfigError(["SAMPLE_X: is wrong", "SAMPLE_Y: is wrong"])


def check(settings: SampleSettings) -> None:
    if settings.ends_by == "never":
        raise ConfigError(["SAMPLE_ENDS_BY: never is no way to end"])


if __name__ == "__main__":
    main("sample", SampleSettings, start, check)
