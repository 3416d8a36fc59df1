"""One Java process that never outlives the process that started it.

Java runs in a session of its own, so a Ctrl-C in the terminal reaches only us and we decide when Kafka goes. Beside it
waits a small shell that reads from a pipe only we hold: when we die, however that happens, the pipe closes, and the
shell ends Java, first kindly. This works the same on Linux and macOS, and from any thread.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

_POLL_S = 0.05
_TAIL_BYTES = 65_536

_WATCHDOG = """
read -r _
kill -TERM "$1" 2>/dev/null || exit 0
for _ in 1 2 3 4 5 6 7 8 9 10; do
    sleep 1
    kill -0 "$1" 2>/dev/null || exit 0
done
kill -KILL "$1"
"""


class GuardedProcess:
    """A child in its own session, its output in a file, guarded by a watchdog; raises OSError when it cannot run.

    What it writes is for its own user only.
    """

    def __init__(
        self,
        command: list[str],
        work_dir: Path,
        output: Path,
        inherited: tuple[int, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        with output.open("ab") as sink:
            self._child = subprocess.Popen(
                command,
                cwd=work_dir,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                pass_fds=inherited,
                start_new_session=True,
                env=environment,
                umask=0o077,
            )
        try:
            self._watchdog = subprocess.Popen(
                ["/bin/sh", "-c", _WATCHDOG, "callstream-watchdog", str(self._child.pid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self._child.kill()
            self._child.wait()
            raise

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._child.pid

    def exit_code(self) -> int | None:
        """Return None while the child runs, else its exit code (negative: the signal that ended it)."""
        code = self._child.poll()
        if code is not None:
            self._dismiss_watchdog()
        return code

    async def wait(self) -> int:
        """Wait for the end of the child and return its exit code."""
        while (code := self.exit_code()) is None:  # noqa: ASYNC110  (not bound to one event loop, so it polls)
            await asyncio.sleep(_POLL_S)
        return code

    async def stop(self, budget_s: float) -> None:
        """Ask the child to end; after `budget_s`, or when cancelled, kill it."""
        try:
            if self.exit_code() is None:
                self._child.send_signal(signal.SIGTERM)
                async with asyncio.timeout(budget_s):
                    await self.wait()
        except TimeoutError:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End the child at once and wait for it; nothing happens if it is gone."""
        self._child.kill()
        self._child.wait()
        self._dismiss_watchdog()

    def _dismiss_watchdog(self) -> None:
        if self._watchdog.poll() is None:
            self._watchdog.kill()
            self._watchdog.wait()
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()


def last_lines(path: Path, count: int = 15, width: int = 300) -> str:
    """Return the end of a log file, long lines cut, as text to show an operator; empty if there is none."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - _TAIL_BYTES))
            text = log.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(line[:width] for line in text.rstrip().splitlines()[-count:])
