"""cognigy as a process under faults, and what its log says of it."""

import json
import os
import signal
import sys
from pathlib import Path

from callstream.embedded_process import GuardedProcess
from runtime.config import KafkaSettings, child_environment
from schemas.topics import UTTERANCES
from tests.faults.bot_ends import BotEnd

ROOT = Path(__file__).parents[2]
SESSION_MS = 2_000


class Worker:
    """cognigy as a process that may be killed and frozen."""

    def __init__(self, kafka: KafkaSettings, bot: BotEnd, folder: Path, number: int, *, resend: bool) -> None:
        self.log = folder / f"worker-{number}.log"
        self.frozen = False
        variables = {
            "PYTHONPATH": os.fspath(ROOT),
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            **bot.settings(),
            "COGNIGY_ADMIN_PORT": "0",
            "COGNIGY_RATE_PER_S": "10000",
            "COGNIGY_BURST": "10000",
            # whatever is late because somebody was killed must be carried, not given up
            "COGNIGY_MAX_INPUT_AGE_S": "3600",
            "COGNIGY_READ_TIMEOUT_S": "5",
            "COGNIGY_ON_AMBIGUOUS": "resend" if resend else "skip_and_flag",
            "COGNIGY_OUTAGE_LONGEST_REST_S": "3",
            "COGNIGY_FORWARDER_SESSION_TIMEOUT_MS": str(SESSION_MS),
            "COGNIGY_FORWARDER_HEARTBEAT_INTERVAL_MS": "300",
            "COGNIGY_FORWARDER_REVOKE_GRACE_S": "1",
        }
        command = [sys.executable, str(ROOT / "tests/integration/cognigy_worker.py"), UTTERANCES.name]
        self.process = GuardedProcess(command, folder, self.log, environment=child_environment(variables))

    @property
    def up(self) -> bool:
        running = self.process.exit_code() is None and not self.frozen
        return running and "partitions assigned" in self.text

    @property
    def took(self) -> set[int]:
        """The partitions it has taken over so far; where to begin in them was stored before."""
        told = [json.loads(line) for line in self.text.splitlines() if '"partition taken over"' in line]
        return {line["partition"] for line in told}

    @property
    def text(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)
        self.frozen = False
