"""Whether calls should come to this process: the conditions of `/readyz`, and what it shows beside them.

Kafka may be away. All ingest processes write to the same one, so a balancer that asks none of them any more has nobody
to send calls to, and their audio is lost; here it waits, in memory or on disk. So calls are wanted while there is room
for them. Only a process that has never reached Kafka wants none: a new release with a wrong address is to stop there.
Where an earlier process left something in the spool's folder, this one goes on for it, in an outage too.
"""

from collections.abc import Callable

from runtime.admin import Health

KAFKA, ROOM = "kafka", "room"


class Readiness:
    """Keeps the conditions. `has_room` tells whether audio may come now; `goes_on`: an earlier process was here."""

    def __init__(self, health: Health, has_room: Callable[[], bool]) -> None:
        self._health = health
        self._has_room = has_room
        self._reached = False
        health.ready(KAFKA, False, "Kafka was not reached yet")

    def goes_on(self) -> None:
        """Want calls though Kafka was not reached yet: the process before this one did."""
        self._reached = True
        self._health.ready(KAFKA, True)

    def report(self, flows: bool, why: str) -> None:
        """Take whether records flow, and why not."""
        self._reached = self._reached or flows
        self._health.ready(KAFKA, self._reached, why)
        self.look()

    def look(self) -> None:
        """See whether there is room."""
        self._health.ready(ROOM, self._has_room(), "audio is dropped: there is no room for it until Kafka takes more")
