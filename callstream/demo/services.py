"""The components as processes of their own: started, waited for, ended."""

import asyncio
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from callstream.embedded_process import GuardedProcess, last_lines
from runtime.config import child_environment
from runtime.errors import CallstreamError, Unavailable
from runtime.http import HttpClient

_POLL_S = 0.05


class DemoError(CallstreamError):
    """The demo cannot go on; the text says why and where to look."""


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class ServiceProcess:
    """One component: `python -m <module>` with its variables, its log file and its admin port."""

    module: str
    variables: Mapping[str, str]
    admin_port: int
    log: Path
    folder: Path
    process: GuardedProcess | None = None

    @property
    def name(self) -> str:
        """Name of the component."""
        return self.module.rpartition(".")[2]

    def start(self) -> None:
        """Start the process; it dies with this one."""
        prefix = self.name.upper()
        self.process = GuardedProcess(
            [sys.executable, "-m", self.module],
            self.folder,
            self.log,
            environment=child_environment({f"{prefix}_ADMIN_PORT": str(self.admin_port), **self.variables}),
        )

    async def until_ready(self, http: HttpClient, budget_s: float) -> None:
        """Wait until `/readyz` says so. Raises `DemoError` when the process ends or the budget is spent."""
        why = "no answer"
        try:
            async with asyncio.timeout(budget_s):
                while True:
                    self.check_running()
                    try:
                        answer = await http.request("GET", f"http://127.0.0.1:{self.admin_port}/readyz")
                    except Unavailable as error:
                        why = str(error)
                    else:
                        if answer.ok:
                            return
                        why = answer.body.decode(errors="replace")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            message = f"{self.name} was not ready within {budget_s:g} s: {why}; its log is {self.log}"
            raise DemoError(message) from None

    def check_running(self) -> None:
        """Raise `DemoError` with the last lines of the log when the process has ended."""
        code = None if self.process is None else self.process.exit_code()
        if code is not None:
            message = f"{self.name} ended with exit code {code}; the end of {self.log}:\n{last_lines(self.log)}"
            raise DemoError(message)

    async def stop(self, budget_s: float = 30.0) -> int | None:
        """End the process as an operator would; return its exit code, None when it never ran."""
        if self.process is None:
            return None
        await self.process.stop(budget_s)
        return self.process.exit_code()
