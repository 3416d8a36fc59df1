"""`callstream demo`: calls travel from a stand-in of Genesys Cloud to the far end, on real Kafka, and are checked."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from callstream.demo.checks import Check
from callstream.demo.evidence import Evidence
from callstream.demo.findings import findings, recording_paths
from callstream.demo.play import Play, perform
from callstream.demo.source import LIVE, DemoSource
from callstream.demo.stage import DemoOptions, Stage, stage
from callstream.demo.stand_ins import stand_ins
from callstream.demo.summary import check_table, figures
from runtime.clock import SystemClock
from runtime.config import Settings, is_given, load

_FAILED = 1
_INTERRUPTED = 130
_LINE_EVERY_S = 5.0
_MOST_PATHS = 10
_PLAIN_WIDTH = 120


def demo(
    calls: Annotated[int, typer.Option(min=1, max=500, help="Conversations to place at once.")] = 2,
    speed: Annotated[float, typer.Option(min=0.1, max=20, help="Media seconds per second.")] = 1.0,
    data_dir: Annotated[Path, typer.Option(help="Where the demo's files go; emptied by the next demo.")] = Path(
        "data/demo"
    ),
    *,
    source: Annotated[DemoSource, typer.Option(help="How the calls reach ingest.")] = DemoSource.AUDIOHOOK,
    stay: Annotated[bool, typer.Option("--stay", help="Keep everything running afterwards, until Ctrl-C.")] = False,
) -> None:
    """Place calls and watch them travel to the far end; ends with 0 when every check holds.

    KAFKA_BOOTSTRAP_SERVERS names a Kafka to use in place of the embedded one.
    """
    if source in LIVE and speed != 1:
        message = f"calls from {source} have no numbers: they are placed by their arrival, so only speed 1 tells"
        raise typer.BadParameter(message, param_hint="--speed")
    settings = load(Settings, "DEMO_")
    embedded = not is_given("KAFKA_BOOTSTRAP_SERVERS")
    options = DemoOptions(source, calls, speed, data_dir.absolute(), settings.kafka, embedded=embedded)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH)
    raise typer.Exit(asyncio.run(_Demo(options, console, stay=stay).run()))


class _Demo:
    """One run of the demo, from the first line to the summary."""

    def __init__(self, options: DemoOptions, console: Console, *, stay: bool) -> None:
        self._options = options
        self._console = console
        self._stay = stay
        self._staying = False
        self._clock = SystemClock()
        self._began_s = self._clock.monotonic_s()
        self._said_s = self._began_s

    async def run(self) -> int:
        """Run until done or told to stop; return the exit code."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        async with asyncio.TaskGroup() as group:
            playing = group.create_task(self._play(stopping))
            waiting = group.create_task(stopping.wait())
            await asyncio.wait({playing, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if not playing.done() and not self._staying:
                self._say("stopping; calls end, services drain")
                playing.cancel()
        if playing.cancelled():
            self._say("stopped before the end; nothing was checked")
            return _INTERRUPTED
        return playing.result()

    async def _play(self, stopping: asyncio.Event) -> int:
        play = Play.of(self._options)
        async with stand_ins(play.placed) as others, stage(self._options, self._say, others) as running:
            self._say(f"{play.what} {running.way} at speed {self._options.speed:g}")
            evidence = await self._perform(running, play)
            checks = findings(running, play, evidence)
            if self._stay:
                self._summary(running, play, evidence, checks)
                self._endpoints(running)
                self._staying = True
                await stopping.wait()
            self._say("stopping the services")
            ended = await running.stop_services()
            ended.append(await running.audit_check())
            ended.append(await running.secret_check(next(iter(play.board.rows))))
            if play.placed.texts:
                ended.append(await running.pause_check())
        checks += [("all", check) for check in ended]
        self._summary(running, play, evidence, checks)
        return 0 if all(check.ok for _, check in checks) else _FAILED

    async def _perform(self, running: Stage, play: Play) -> Evidence:
        if not self._console.is_terminal:
            return await perform(running, play, lambda: self._line(running, play))
        with Live(console=self._console, refresh_per_second=4, transient=False) as live:
            return await perform(running, play, lambda: live.update(play.board.table(self._console.width)))

    def _say(self, text: str) -> None:
        self._console.print(
            f"[dim]{self._clock.monotonic_s() - self._began_s:5.1f} s[/dim]  {text}", highlight=False, soft_wrap=True
        )

    def _line(self, running: Stage, play: Play) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._said_s >= _LINE_EVERY_S:
            self._said_s = now_s
            self._say(f"{play.frames_sent(running.others)} frames sent; {play.board.line()}")

    def _summary(self, running: Stage, play: Play, evidence: Evidence, checks: list[tuple[str, Check]]) -> None:
        self._console.print()
        self._console.print(check_table(checks))
        for line in figures(play.frames_sent(running.others), evidence):
            self._console.print(line, highlight=False)
        paths = recording_paths(running, evidence, list(play.board.rows))
        self._console.print(f"Recordings: {len(paths)}, each with a description (.json) beside it:", highlight=False)
        for path in paths[:_MOST_PATHS]:
            self._console.print(f"  {_short(path)}", highlight=False, soft_wrap=True)
        if len(paths) > _MOST_PATHS:
            self._console.print(f"  … and {len(paths) - _MOST_PATHS} more", highlight=False)
        self._console.print(f"Logs of the services: {_short(self._options.folder / 'logs')}", highlight=False)
        failed = sum(not check.ok for _, check in checks)
        verdict = f"[red]{failed} checks failed[/red]" if failed else "[green]All checks hold[/green]"
        self._console.print(f"{verdict} ({len(checks)} in all).", highlight=False)

    def _endpoints(self, running: Stage) -> None:
        folder = self._options.folder
        self._console.print("\nEverything goes on running until Ctrl-C:", highlight=False)
        places = {
            "Kafka": str(running.kafka.bootstrap_servers),
            "AudioHook": running.audiohook_url,
            "its keys": _short(folder / "audiohook-keys.json"),
            "the bot's inputs": f"{running.others.bot.url}/inputs",
            **{one.name: f"http://127.0.0.1:{one.admin_port}/metrics" for one in running.services},
        }
        for name, place in places.items():
            self._console.print(f"  {name:<17} {place}", highlight=False, soft_wrap=True)


def _short(path: Path) -> str:
    """Return a path as seen from the working directory, where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
