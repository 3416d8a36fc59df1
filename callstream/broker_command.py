"""`callstream broker`: an embedded Kafka for as long as the command runs."""

import asyncio
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from callstream.embedded_errors import KafkaStartError
from callstream.embedded_jars import DEFAULT_CACHE_DIR
from callstream.embedded_kafka import EmbeddedKafka
from callstream.embedded_settings import KAFKA_VERSION

_LAST_PORT = 65535


def broker(
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes a free one.", min=0, max=_LAST_PORT)] = 9092,
    data_dir: Annotated[Path, typer.Option(help="Folder of the topics, kept between starts.")] = Path("data/kafka"),
    cache_dir: Annotated[
        Path, typer.Option(help="Folder of Kafka's jars, filled at the first start.", envvar="CALLSTREAM_CACHE_DIR")
    ] = DEFAULT_CACHE_DIR,
    *,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Use a folder that is removed at the end.")] = False,
) -> None:
    """Run the real Apache Kafka on this machine, with nothing to install, until Ctrl-C."""
    with ExitStack() as cleanup:
        if ephemeral:
            folder = tempfile.TemporaryDirectory(prefix="callstream-kafka-", ignore_cleanup_errors=True)
            data_dir = Path(cleanup.enter_context(folder))
        failed = False
        try:
            asyncio.run(_serve(EmbeddedKafka(data_dir, port=port, cache_dir=cache_dir)))
        except* KafkaStartError as errors:
            failed = True
            for error in errors.exceptions:
                typer.echo(error, err=True)
        if failed:
            raise typer.Exit(1)


async def _serve(kafka: EmbeddedKafka) -> None:
    """Run until a signal comes, or raise in a group what ended it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(_run(kafka))
        await stop.wait()
        serving.cancel()
    typer.echo("Kafka has stopped.")


async def _run(kafka: EmbeddedKafka) -> None:
    console = Console(stderr=True)
    with console.status("starting Kafka …") as status:
        kafka.report = status.update if console.is_terminal else _echo
        await kafka.start()
    try:
        typer.echo(
            f"Kafka {KAFKA_VERSION} is ready at {kafka.bootstrap_servers}, its data is in {kafka.data_dir}; "
            f"stop it with Ctrl-C."
        )
        code = await kafka.wait()
        message = f"ended by itself with exit code {code}"
        raise kafka.failure(message)
    finally:
        await kafka.stop()


def _echo(line: str) -> None:
    typer.echo(line, err=True)


if __name__ == "__main__":
    typer.run(broker)
