"""A forwarding component as a process that may die: `forward_worker.py TOPIC SENT [ACT FLAG]`.

ACT is done once, and makes the file FLAG: `kill` ends the process by SIGKILL as soon as a text was sent, `stop` stops
it, as SIGSTOP does, between a turn's stored intent and the commit that follows; `stop early` before that intent.
"""

import os
import signal
import sys
from pathlib import Path

from runtime.forwarder import run_forwarder
from runtime.service import main
from runtime.tuning import ForwardingSettings
from schemas.records import Utterance
from tests.runtime.talking import Talking

TOPIC, SENT = sys.argv[1:3]
ACT, FLAG = sys.argv[3:5] if len(sys.argv) > 3 else ("", "")
del sys.argv[1:]


def act(name: str, number: signal.Signals) -> None:
    if name == ACT and not Path(FLAG).exists():
        Path(FLAG).touch()
        os.kill(os.getpid(), number)


def before_step(name: str) -> None:
    if name == "intent":
        act("stop early", signal.SIGSTOP)
    if name == "proof":
        act("stop", signal.SIGSTOP)


async def after_send(_: str) -> None:
    act("kill", signal.SIGKILL)


async def start(service) -> None:
    talking = Talking(TOPIC, Path(SENT), after_send)
    await run_forwarder(service, talking, record_type=Utterance, before_step=before_step)


if __name__ == "__main__":
    main("cognigy", ForwardingSettings, start)
