"""How a replay tells how far it is: a bar on a terminal, else a line at each tenth."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Telling(Protocol):
    """Hears what a replay does."""

    def say(self, line: str) -> None:
        """Tell one thing."""

    def begin(self, what: str, total: int) -> None:
        """Begin something that takes `total` records."""

    def advance(self, records: int) -> None:
        """So many more records are done."""


class Lines:
    """Plain lines, for logs and pipes."""

    def __init__(self) -> None:
        self._what, self._total, self._done, self._told = "", 0, 0, 0

    def say(self, line: str) -> None:
        """Write a line."""
        typer.echo(line)

    def begin(self, what: str, total: int) -> None:
        """Say what begins."""
        self._what, self._total, self._done, self._told = what, total, 0, 0
        self.say(f"{what}: {total} records")

    def advance(self, records: int) -> None:
        """Write a line whenever another tenth is done."""
        self._done += records
        tenths = 10 * self._done // self._total if self._total else 10
        if tenths > self._told:
            self._told = tenths
            self.say(f"{self._what}: {self._done} of {self._total} records, {10 * tenths} %")


class Bar:
    """A progress bar on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, visible=False)

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        self._progress.console.print(line, markup=False, highlight=False)

    def begin(self, what: str, total: int) -> None:
        """Begin the bar anew."""
        self._progress.reset(self._task, description=what, total=total, visible=True)

    def advance(self, records: int) -> None:
        """Move the bar on."""
        self._progress.advance(self._task, records)


@contextmanager
def telling(console: Console | None = None) -> Iterator[Telling]:
    """Yield a bar where the output is a terminal, else plain lines."""
    console = console or Console()
    if not console.is_terminal:
        yield Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress)
