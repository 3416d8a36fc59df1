"""Writes records through one idempotent producer for as long as it takes: a producer that fails is replaced.

A write that failed is repeated from its first record that is not known to be stored. What arrives twice carries the
same deterministic id.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.config import KafkaSettings
from runtime.errors import Fenced, Unavailable
from runtime.kafka import AIOKafkaProducer, start_producer, stop_quietly, translate, translated

ANSWER_S = 20.0
"""How long one attempt may take."""
_LARGEST_BYTES = 2 * 2**20
_LINGER_MS = 2
_FIRST_BOUND_S = 0.1
_CAP_S = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One record to write. `topic` is its full name; `timestamp_ms` None leaves the time to the broker."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Writer:
    """The producer of one worker. `on_answer` hears None after a success, and why Kafka did not answer otherwise."""

    def __init__(self, kafka: KafkaSettings, client_id: str, on_answer: Callable[[Unavailable | None], None]) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._on_answer = on_answer
        self._producer: AIOKafkaProducer | None = None
        self._one_start = asyncio.Lock()

    async def close(self, budget_s: float) -> None:
        """Stop the producer."""
        producer, self._producer = self._producer, None
        await stop_quietly(producer, budget_s)

    async def write(self, rows: Sequence[Row], check: Callable[[], None]) -> int:
        """Write rows in order and return when all are stored, with the broker's time of the last one (-1: unknown).

        `check` is called before every attempt and may raise to end the trying. Raises `InvalidRecord` for a row the
        broker refuses.
        """
        left, bound_s, stored_at_ms = list(rows), _FIRST_BOUND_S, -1
        while left:
            check()
            producer = self._producer
            try:
                producer = await self._running()
                stored, stored_at_ms, error = await _send(producer, left)
            except Unavailable as unavailable:
                stored, error = 0, unavailable
            del left[:stored]
            if isinstance(error, Unavailable):
                self._on_answer(error)
                await self._replace(producer)
                await asyncio.sleep(random.uniform(0, bound_s))  # noqa: S311 - jitter, no secret
                bound_s = min(_CAP_S, 2 * bound_s)
            elif error is not None:
                raise error
            else:
                self._on_answer(None)
        return stored_at_ms

    async def _running(self) -> AIOKafkaProducer:
        async with self._one_start:
            if self._producer is None:
                with translated():
                    async with asyncio.timeout(ANSWER_S):
                        self._producer = await start_producer(
                            self._kafka,
                            client_id=self._client_id,
                            linger_ms=_LINGER_MS,
                            max_request_size=_LARGEST_BYTES,
                        )
            return self._producer

    async def _replace(self, failed: AIOKafkaProducer | None) -> None:
        """Stop a producer that failed, once, however many writes failed with it."""
        if failed is not None and self._producer is failed:
            self._producer = None
            await stop_quietly(failed)


async def _send(producer: AIOKafkaProducer, rows: Sequence[Row]) -> tuple[int, int, Exception | None]:
    """Return how many leading rows are stored, the broker's time of the last one, and what kept the next from it."""
    sent: list[asyncio.Future[Any]] = []
    error: Exception | None = None
    try:
        async with asyncio.timeout(ANSWER_S):
            for row in rows:
                future = await producer.send(
                    row.topic,
                    value=row.value,
                    key=row.key,
                    partition=row.partition,
                    timestamp_ms=row.timestamp_ms,
                    headers=list(row.headers),
                )
                # whoever stops waiting for it need not hear how it ended
                future.add_done_callback(_heard)
                sent.append(future)
            await asyncio.wait(sent)
    except Exception as failure:  # noqa: BLE001 - told by its class below
        error = failure
    stored, at_ms = 0, -1
    for future in sent:
        if not future.done() or future.cancelled() or future.exception() is not None:
            break
        stored, at_ms = stored + 1, int(future.result().timestamp)
    if stored < len(sent) and sent[stored].done() and not sent[stored].cancelled():
        failed = sent[stored].exception()
        error = failed if isinstance(failed, Exception) else error
    return stored, at_ms, None if stored == len(rows) else _ours(error)


def _ours(error: Exception | None) -> Exception:
    """Return a producer's error as one of ours. One without transactions is never fenced: it only broke."""
    ours = Unavailable("the record was not acknowledged") if error is None else translate(error)
    return Unavailable(str(ours)) if isinstance(ours, Fenced) else ours


def _heard(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()
