"""`callstream`: what an operator types. A command's module is imported only when the command is used."""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from runtime.errors import CallstreamError, ConfigError

_FAILED = 1
_BAD_CONFIGURATION = 2
_COMMANDS = {
    "demo": ("callstream.demo_command", "demo", "Place calls and watch them travel to the far end."),
    "broker": ("callstream.broker_command", "broker", "Run the real Apache Kafka on this machine."),
    "topics": ("callstream.topics_command", "app", "Create and show the topics."),
    "schemas": ("callstream.schemas_command", "app", "Check, show and register the schemas."),
    "follow": ("callstream.follow_command", "app", "Say which calls ingest connects to, and list them."),
    "import": ("callstream.import_command", "command", "Make calls of a capture (RTP in pcap, pcapng) or a WAV file."),
    "replay": ("callstream.replay_command", "command", "Run components again over what the topics hold, and compare."),
    "calibrate": ("callstream.calibrate_command", "command", "Propose the silence service's thresholds from audio."),
    "dead-letters": ("callstream.dead_letters_command", "app", "List, show, export and drop dead letters."),
    "state": ("callstream.state_command", "app", "Show and reset the state a processor restores from."),
    "audit": ("callstream.audit_command", "app", "Check the audit log."),
    "audiohook": ("callstream.audiohook_command", "app", "Make, list and drop the API keys of AudioHook."),
    "diagnose": ("callstream.diagnose_command", "app", "Try what Genesys Cloud would meet, and say what is wrong."),
    "docs": ("callstream.docs_command", "app", "Write or check the generated pages."),
}
"""Command → module, its function or Typer, one line of help."""


class _Commands(TyperGroup):
    """The commands by name, imported when asked for."""

    def list_commands(self, _: Any) -> list[str]:
        """Return the names of the commands that this installation has."""
        return [name for name, (module, _, _) in _COMMANDS.items() if find_spec(module) is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None for a name that is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        return _named(getattr(import_module(module), attribute), cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the overview without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][2]) for name in self.list_commands(ctx)])


app = typer.Typer(
    cls=_Commands,
    help="Live contact-centre call audio on a replayable Kafka log.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _callstream() -> None:
    """Live contact-centre call audio on a replayable Kafka log."""


def _named(found: typer.Typer | Callable[..., Any], name: str) -> Any:
    if isinstance(found, typer.Typer):
        command: Any = get_group(found)
    else:
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        single.command(name)(found)
        command = get_command(single)
    command.name = name
    return command


def main() -> None:
    """Run the command line; our own errors are one line each and an exit code, never a traceback."""
    try:
        app(prog_name="callstream")
    except* CallstreamError as errors:
        leaves = list(_leaves(errors))
    else:
        return
    for error in leaves:
        sys.stderr.write(f"{error}\n")
    sys.exit(_BAD_CONFIGURATION if all(isinstance(error, ConfigError) for error in leaves) else _FAILED)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


if __name__ == "__main__":
    main()
