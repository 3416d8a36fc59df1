"""Which process runs which tests, where a run of tests is shared by several.

They take file by file, so that the fixtures of a module are set up once: first the files that take longest, then the
others in the order drawn. The files that measure come last: one process runs them after the others have ended.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

PROCESSES = 2
"""Of a run of everything, whatever the machine: each has a Kafka of its own, and most tests wait for something."""

ALONE = {
    "tests/fuzz/test_socket.py": "compares answer times with and without an attack",
    "tests/faults/test_back_pressure.py": "compares processor time and speed with and without a slow peer",
    "tests/e2e/test_demo_in_real_time.py": "every stall of the audio is found, those of the machine too",
    "tests/integration/test_backlog.py": "looks how far a listener is behind",
    "tests/runtime/test_websocket_blocked.py": "an answer has its time, of which our loop takes most",
}
"""Files that judge by how long something took or how much it worked, and what they look at."""

LONGEST = (
    "tests/faults/test_chaos.py",
    "tests/faults/test_bot_chaos.py",
    "tests/e2e/test_demo.py",
    "tests/integration/test_task_host_faults.py",
    "tests/integration/test_replay.py",
    "tests/faults/test_wire_task_host.py",
    "tests/faults/test_ingest_outage.py",
    "tests/integration/test_cognigy.py",
    "tests/compliance/test_components.py",
    "tests/e2e/test_silence_exactly_once.py",
    "tests/callstream/replay/test_spans.py",
    "tests/oracle/test_tshark.py",
    "tests/integration/test_restore.py",
    "tests/integration/test_spool.py",
    "tests/integration/test_embedded_kafka.py",
    "tests/faults/test_takeover.py",
    "tests/integration/test_recording_sync.py",
    "tests/faults/test_wire_forwarder.py",
    "tests/integration/test_forwarder_faults.py",
    "tests/integration/test_speech.py",
    "tests/integration/test_audit_log.py",
)
"""Files of more than half a minute, the longest first. A name too many or too few costs time and nothing else."""

_PLACES = {path: place - len(LONGEST) for place, path in enumerate(LONGEST)} | dict.fromkeys(ALONE, 1)


def processes(config: pytest.Config) -> int:
    """How many processes share a run that leaves it to us; 0 runs it in this one.

    A run of chosen tests is too short to pay for a second process and a second Kafka.
    """
    option = config.option
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    chosen = named or option.keyword or option.markexpr or getattr(option, "lf", False)
    return 0 if chosen else PROCESSES


def in_order(items: list[pytest.Item]) -> None:
    """Put the tests that take longest first and those that run alone last; the others keep their order."""
    items.sort(key=lambda item: _PLACES.get(item.nodeid.split("::", 1)[0], 0))


def scheduler(config: pytest.Config, log: Producer) -> "Sharing | None":
    """Share by the rule of this module unless the command line names another."""
    if config.option.dist != "load":
        return None
    config.option.loadscopereorder = False
    return Sharing(config, log)


class Sharing(LoadFileScheduling):
    """Hands files to processes in the order of the tests; those of ALONE to the first, once it is the only one."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if next(iter(self.workqueue)) not in ALONE or len(self.nodes) == 1:
            super()._assign_work_unit(node)
        elif node is not self.nodes[0]:
            node.shutdown()

    def remove_node(self, node: WorkerController) -> str | None:
        """Forget a process that ended; the one that is left may have been waiting for that."""
        crashed = super().remove_node(node)
        for other in self.nodes:
            self._reschedule(other)
        return crashed
