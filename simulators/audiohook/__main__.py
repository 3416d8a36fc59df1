"""The command: `python -m simulators.audiohook ws://127.0.0.1:8080/audiohook/v2 --calls 3 --scenario demo`.

Exit code 0 if every call went as its scenario meant it to, 1 if not, 2 for a wrong command line.
"""

import asyncio
import gc
import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from simulators.audiohook import demo_call, media, scenario
from simulators.audiohook.call import Call, seeded
from simulators.audiohook.client import Options, run_calls
from simulators.audiohook.report import RunReport
from simulators.audiohook.scenario import Scenario
from simulators.audiohook.signature import Credentials
from simulators.conversation import mulaw

SCENARIOS: Final[Mapping[str, Callable[[int], Scenario]]] = {
    "demo": lambda _: demo_call.demo(),
    "conversation": lambda _: scenario.conversation(),
    "tone": lambda duration_ms: Scenario("tone", media.tone(duration_ms)),
    "silence": lambda duration_ms: Scenario("silence", media.silence(duration_ms)),
    "silence-7f": lambda duration_ms: Scenario("silence-7f", media.silence(duration_ms, mulaw.NEGATIVE_SILENCE)),
}
"""Named scenarios; tone and silence last as long as asked, the others as long as they are."""


def main(  # noqa: PLR0913, PLR0917 - one argument per option
    url: Annotated[str, typer.Argument(help="The server: ws://host:port/path or wss://…")],
    calls: Annotated[int, typer.Option(min=1, help="Calls at once.")] = 1,
    speed: Annotated[float, typer.Option(min=0, help="Media seconds per second; 0 = as fast as possible.")] = 1.0,
    name: Annotated[str, typer.Option("--scenario", help=f"One of {', '.join(SCENARIOS)}.")] = "conversation",
    wav: Annotated[Path | None, typer.Option(help="A mu-law WAV at 8 kHz in place of a scenario.", exists=True)] = None,
    duration_s: Annotated[float, typer.Option(min=0, help="Length of tone and silence.")] = 30.0,
    frame_ms: Annotated[int, typer.Option(min=scenario.FRAME_MIN_MS, max=scenario.FRAME_MAX_MS)] = 200,
    probe: Annotated[bool, typer.Option("--probe", help="Only the platform's connection probe.")] = False,
    stagger_ms: Annotated[float, typer.Option(min=0, help="Between the starts of two calls.")] = 20.0,
    language: Annotated[str, typer.Option(help="As `open` states it.")] = "en-US",
    custom_config: Annotated[str | None, typer.Option(help="A JSON object for `open`.")] = None,
    seed: Annotated[str | None, typer.Option(help="Draw the same identities for the same seed.")] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="Holds the API key; without it none is sent.")] = None,
    secret_file: Annotated[Path | None, typer.Option(help="Holds the base64 secret; without it, unsigned.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Authority to trust for wss.")] = None,
    report_file: Annotated[Path | None, typer.Option("--report", help="Write the report as JSON.")] = None,
    record: Annotated[Path | None, typer.Option(help="Folder for the bytes sent, one file a call.")] = None,
) -> None:
    """Call an AudioHook server as Genesys Cloud would."""
    try:
        chosen = _scenario(name, wav, int(duration_s * 1000)).at_frame_ms(frame_ms)
        config = None if custom_config is None else json.loads(custom_config)
    except ValueError as mistake:
        raise typer.BadParameter(str(mistake)) from None
    placed = [
        Call(scenario=chosen, speed=speed, probe=probe, language=language or None, custom_config=config)
        for _ in range(calls)
    ]
    if seed is not None:
        placed = [seeded(call, f"{seed}/{index}") for index, call in enumerate(placed)]
    if record is not None:
        record.mkdir(parents=True, exist_ok=True)
    options = Options(
        credentials=_credentials(api_key_file, secret_file),
        tls=None if ca_file is None else ssl.create_default_context(cafile=str(ca_file)),
        record_folder=record,
    )
    chosen.steps()
    gc.freeze()  # the frames are shared and stay; the collector need not look at them again
    run = asyncio.run(run_calls(url, placed, options, stagger_s=stagger_ms / 1000))
    _publish(run, report_file)
    raise typer.Exit(0 if run.ok else 1)


def _scenario(name: str, wav: Path | None, duration_ms: int) -> Scenario:
    if wav is not None:
        return Scenario(wav.stem, media.wav(wav))
    if name not in SCENARIOS:
        message = f"there is no scenario {name!r}; there are {', '.join(SCENARIOS)}"
        raise typer.BadParameter(message)
    return SCENARIOS[name](duration_ms)


def _credentials(api_key_file: Path | None, secret_file: Path | None) -> Credentials | None:
    if api_key_file is None:
        return None
    secret = None if secret_file is None else secret_file.read_text().strip()
    return Credentials(api_key_file.read_text().strip(), secret)


def _publish(run: RunReport, report_file: Path | None) -> None:
    if report_file is not None:
        report_file.write_text(json.dumps(run.as_json(), indent=1) + "\n")
    Console().print(run.table())


if __name__ == "__main__":
    typer.run(main)
