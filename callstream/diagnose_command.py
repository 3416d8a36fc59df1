"""`callstream diagnose`: tries what Genesys Cloud would meet, and says what an operational event of it means."""

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from callstream.audiohook_keys import credentials_of
from callstream.diagnose_audiohook import Finding, Outcome, Target, diagnose
from callstream.diagnose_causes import CODES
from runtime.errors import ConfigError
from simulators.audiohook.signature import Credentials

app = typer.Typer(help="Try what Genesys Cloud would meet, and say what is wrong.", no_args_is_help=True)


@app.callback()
def diagnose_() -> None:
    """Try what Genesys Cloud would meet, and say what is wrong."""


@app.command()
def audiohook(  # noqa: PLR0913, PLR0917 - one argument per option
    url: Annotated[str, typer.Argument(help="The connection URI: wss://host/path")],
    file: Annotated[
        Path | None, typer.Option("--file", envvar="INGEST_AUDIOHOOK_KEYS_FILE", help="ingest's file of keys.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Fingerprint of the key to use; else the first.")] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="Holds the API key, without a file of keys.")] = None,
    secret_file: Annotated[Path | None, typer.Option(help="Holds the base64 client secret.")] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="Trust this authority instead of the public ones; the platform does not.")
    ] = None,
    calls: Annotated[int, typer.Option(min=1, max=500, help="Sessions at once under load.")] = 20,
    seconds: Annotated[float, typer.Option(min=0, max=600, help="How long they last.")] = 7.0,
) -> None:
    """Connect as Genesys Cloud would: certificate, signature, probe, refusals, pongs under load.

    Nothing is stored of it. Ends with 1 where a step fails, and names the platform's events it can show as.
    """
    tls = _trust(ca_file)
    target = Target(url, _credentials(file, key, api_key_file, secret_file), tls, calls, seconds)
    failed = asyncio.run(_tell(target))
    if ca_file is not None:
        typer.echo("note  the platform trusts public authorities only; this run trusted another one")
    raise typer.Exit(1 if failed else 0)


@app.command()
def code(
    name: Annotated[str | None, typer.Argument(help="AUDIOHOOK-0001 …; without it, all.")] = None,
) -> None:
    """Say what an operational event of AudioHook means, what causes it, and which steps show whether it is ours."""
    wanted = CODES.keys() if name is None else [name.upper()]
    if not set(wanted) <= CODES.keys():
        raise ConfigError([f"{name} is no event we know; there are {', '.join(CODES)}"])
    typer.echo("\n\n".join(_described(each) for each in wanted))


async def _tell(target: Target) -> bool:
    failed = False
    async for finding in diagnose(target):
        failed = failed or finding.outcome is Outcome.FAILED
        typer.echo(_line(finding))
    return failed


def _line(finding: Finding) -> str:
    codes = f" ({', '.join(finding.codes)})" if finding.codes else ""
    return f"{finding.outcome.value:5} {finding.step}: {finding.text}{codes}"


def _described(name: str) -> str:
    known = CODES[name]
    lines: Iterable[str] = (f"  - {cause}" for cause in known.causes)
    return "\n".join([f"{name}: {known.meaning} ({known.known})", *lines, f"  steps: {', '.join(known.steps)}"])


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"--ca-file: {type(error).__name__}"]) from None


def _credentials(
    file: Path | None, key: str | None, api_key_file: Path | None, secret_file: Path | None
) -> Credentials | None:
    if api_key_file is not None:
        return Credentials(_read(api_key_file), None if secret_file is None else _read(secret_file))
    if file is None:
        return None
    found = credentials_of(file, key)
    return Credentials(found.api_key, found.secret_base64 or None)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {type(error).__name__}"]) from None
