"""`callstream audiohook`: the API keys with which Genesys Cloud connects, made, listed and taken away."""

from pathlib import Path
from typing import Annotated

import typer

from callstream import audiohook_keys
from runtime.errors import ConfigError

app = typer.Typer(help="Make, list and drop the API keys of AudioHook.", no_args_is_help=True)

_File = Annotated[
    Path | None,
    typer.Option("--file", envvar="INGEST_AUDIOHOOK_KEYS_FILE", help="The file of the keys, or the folder of files."),
]


@app.callback()
def audiohook() -> None:
    """Make, list and drop the API keys of AudioHook."""


@app.command()
def new_key(
    file: _File = None,
    organization: Annotated[
        str | None, typer.Option(help="Id of the Genesys Cloud organization that alone may use the key.")
    ] = None,
) -> None:
    """Add a new API key and its client secret to the file, and show both, this once.

    The file stays private (mode 0600) and is replaced at once. A running ingest takes the key within seconds; the old
    keys go on to count until they are dropped.
    """
    key = audiohook_keys.draw()
    written = audiohook_keys.add(_named(file), key, organization)
    typer.echo(f"API key:       {key.api_key}")
    typer.echo(f"Client secret: {key.secret_base64}")
    typer.echo(
        f"Both go into the integration in Genesys Cloud, and are not shown again. "
        f"{written} has the key {audiohook_keys.fingerprint(key.api_key)}.",
        err=True,
    )


@app.command()
def list_keys(file: _File = None) -> None:
    """Show the keys of the file by their fingerprints; neither keys nor secrets are shown."""
    for key in audiohook_keys.listed(_named(file)):
        rule = "signed requests only" if key.signed else "unsigned requests, it has no secret"
        typer.echo(f"{key.fingerprint}  {key.organisation or 'any organization':36}  {rule}  {key.file}")


@app.command()
def drop_key(fingerprint: Annotated[str, typer.Argument(help="As `list-keys` shows it.")], file: _File = None) -> None:
    """Take a key out of the file. Calls that it has opened go on; nobody opens another with it."""
    typer.echo(f"{audiohook_keys.drop(_named(file), fingerprint)} no longer has the key {fingerprint}")


def _named(file: Path | None) -> Path:
    if file is None:
        raise ConfigError(["--file or INGEST_AUDIOHOOK_KEYS_FILE: which file of keys is meant?"])
    return file
