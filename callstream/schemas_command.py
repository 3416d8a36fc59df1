"""`callstream schemas`: the released schemas, their compatibility, their registration."""

import asyncio
import difflib
from collections.abc import Iterator
from importlib import resources

import typer

from runtime.config import RegistrySettings, load
from runtime.errors import ConfigError
from runtime.registry import COMPATIBILITY, Registry, subjects
from schemas.versions import fingerprint_lines, released

app = typer.Typer(help="Check, show and register the schemas.", no_args_is_help=True)


@app.command()
def fingerprints() -> None:
    """Show each released schema with its fingerprint and its id where there is no registry."""
    typer.echo(fingerprint_lines(), nl=False)


@app.command()
def check() -> None:
    """Check that no released schema was edited: the fingerprints are those recorded at release."""
    mistakes = list(differences())
    for mistake in mistakes:
        typer.echo(mistake, err=True)
    if mistakes:
        raise typer.Exit(1)
    typer.echo(f"{len(released())} released schemas are as recorded")


@app.command()
def register() -> None:
    """Register all released versions, in order, and demand full compatibility of later ones."""
    settings = load(RegistrySettings, "")
    if settings.url is None:
        message = "SCHEMA_REGISTRY_URL: is needed to register schemas"
        raise ConfigError([message])
    for line in asyncio.run(register_all(settings)):
        typer.echo(line)


async def register_all(settings: RegistrySettings) -> list[str]:
    """Register every version under its subject, and return one line for each.

    May be repeated. Raises `ConfigError` where the registry refuses one, `Unavailable` where it does not answer.
    """
    registry, lines = Registry(settings), []
    try:
        for subject, folder in subjects().items():
            # set first where the subject exists, so that a version that breaks readers is refused
            await registry.set_compatibility(subject)
            for schema in released():
                if schema.folder == folder:
                    schema_id = await registry.register(subject, schema.text)
                    lines.append(f"{subject} v{schema.version}: id {schema_id}, {COMPATIBILITY}")
    finally:
        await registry.close()
    return lines


def differences() -> Iterator[str]:
    """Return the lines by which the schemas differ from the fingerprints recorded at release."""
    recorded = resources.files("schemas").joinpath("fingerprints.txt").read_text(encoding="utf-8")
    for line in difflib.ndiff(recorded.splitlines(), fingerprint_lines().splitlines()):
        if line.startswith("- "):
            yield f"recorded, but not so any more: {line[2:]}"
        elif line.startswith("+ "):
            yield f"not recorded: {line[2:]}"
