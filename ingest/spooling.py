"""The spool of this process: its folder opened, the outlet led over it, the journal kept, what was left recovered."""

import asyncio

from ingest.config import IngestSettings
from ingest.session import Surroundings
from ingest.spool.bridge import Bridge, Pace
from ingest.spool.config import SEGMENT_BYTES
from ingest.spool.folder import Folder, FolderTaken
from ingest.spool.keeper import Keeper
from ingest.spool.recovery import Recovery
from ingest.spool.spool import Spool, State, show
from runtime.errors import ConfigError
from runtime.service import Service
from schemas import topics

_TOPICS = (topics.AUDIO.name, topics.EVENTS.name)


class Spooling:
    """Runs beside the outlet, from before its start until after its end."""

    def __init__(self, service: Service[IngestSettings], spool: Spool, surroundings: Surroundings) -> None:
        outlet = surroundings.outlet
        own = service.settings.spool
        pace = Pace(own.after_s, own.flush_interval_s, service.settings.max_batch_bytes)
        self.spool = spool
        spool.nearly_full.append(surroundings.pressure.tell)
        outlet.use(Bridge(spool, service.clock, pace, _TOPICS))
        self._keeper = Keeper(spool, surroundings.roll, outlet, service.clock, service.log)
        self._recovery = Recovery(service, spool, outlet, surroundings.encoding)
        self._stopped = asyncio.Event()
        service.health.tell(spooled_records=lambda: spool.records, recovering=lambda: self._recovery.under_way)

    @property
    def goes_on(self) -> bool:
        """Whether an earlier process left something that is not stored yet."""
        return bool(self._recovery.under_way)

    async def run(self) -> None:
        """Keep the journal and recover what was left, until stopped; then give the folder free."""
        try:
            async with asyncio.TaskGroup() as tasks:
                recovering = tasks.create_task(self._recovery.run())
                tasks.create_task(self._keeper.run())
                await self._stopped.wait()
                recovering.cancel()
                self._keeper.stop()
            await self._keeper.end()
        finally:
            await self.spool.close()

    def stop(self) -> None:
        """Let `run` return. Once the outlet has ended."""
        self._stopped.set()


def open_spool(service: Service[IngestSettings]) -> Spool | None:
    """Return the spool the settings want, or None. Raises `ConfigError` for a folder that cannot be used."""
    own = service.settings.spool
    if own.folder is None:
        show(State.OFF)
        service.log.warning("there is no spool: what Kafka does not take waits in memory and is lost in a crash")
        return None
    try:
        folder = Folder(
            own.folder,
            own.seal,
            max_bytes=own.max_bytes,
            segment_bytes=SEGMENT_BYTES,
            aside_max_bytes=own.aside_max_bytes,
        )
    except (FolderTaken, OSError) as error:
        why = error if isinstance(error, FolderTaken) else f"cannot be used: {error.strerror}"
        message = f"INGEST_SPOOL_FOLDER: {why}"
        raise ConfigError([message]) from None
    for name in folder.strangers:
        service.log.warning("the spool's folder holds something that is not ours, left as it is", location=name)
    if own.key_file is None:
        service.log.warning("the audio of callers is kept on disk in the clear")
    return Spool(folder, own.max_bytes, service.log)
