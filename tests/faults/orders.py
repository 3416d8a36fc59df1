"""How the driver tells a worker process to die or freeze at one step of a commit, or while it takes a partition over.

An order is a small file `<action> <step>`; the worker that reaches the step renames it to `.done` and obeys. The steps
are those of `Checkpoint.commit`, and `sent`: the request that ends the transaction is out, its answer is not in.
"""

import os
import signal
from pathlib import Path
from typing import Any

from aiokafka.conn import AIOKafkaConnection  # noqa: TID251 - only the client knows when a request is out
from aiokafka.protocol.transaction import EndTxnRequest  # noqa: TID251 - as above

from runtime.checkpoint import ChangelogReader, Checkpoint

OPENING = ("fence", "restore", "restored")
"""Before the former owner of a partition is fenced, before its state is read, and before work on it begins."""
STEPS = ("begin", "outputs", "state", "await", "offsets", "commit", "sent")
SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


def give(path: Path, action: str, step: str) -> None:
    """Write an order as a whole."""
    draft = path.with_suffix(".draft")
    draft.write_text(f"{action} {step}")
    draft.rename(path)


def withdraw(path: Path) -> bool:
    """Take an order back; False when it was obeyed already."""
    path.unlink(missing_ok=True)
    return not carried_out(path).exists()


def carried_out(path: Path) -> Path:
    """The file that says an order was obeyed."""
    return path.with_suffix(".done")


def obey(path: Path, step: str) -> None:
    """Carry the order out if it names this step."""
    if not path.exists():
        return
    try:
        action, wanted = path.read_text().split()
        if wanted != step:
            return
        path.rename(carried_out(path))
    except FileNotFoundError:
        return
    os.kill(os.getpid(), SIGNALS[action])


def watch_the_end_of_transactions(path: Path) -> None:
    """Make the client look for an order as soon as the end of a transaction is on its way."""
    send = AIOKafkaConnection.send

    def sent(self: Any, request: Any, expect_response: bool = True) -> Any:
        answer = send(self, request, expect_response)
        if isinstance(request, EndTxnRequest):
            obey(path, "sent")
        return answer

    AIOKafkaConnection.send = sent


def watch_the_opening(path: Path) -> None:
    """Make the host look for an order while it takes a partition over."""
    open_checkpoint, read = Checkpoint.open, ChangelogReader.read

    async def opened(*arguments: Any) -> Checkpoint:
        obey(path, "fence")
        checkpoint = await open_checkpoint(*arguments)
        obey(path, "restore")
        return checkpoint

    async def restored(self: ChangelogReader, *arguments: Any) -> Any:
        entry = await read(self, *arguments)
        obey(path, "restored")
        return entry

    Checkpoint.open = staticmethod(opened)
    ChangelogReader.read = restored
