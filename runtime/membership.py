"""A consumer whose background work has died tends no membership or fetches nothing, and heals by nothing but an end.

aiokafka ends its coordination and its fetching at errors it did not expect, and says so at most once; heartbeats may go
on, so that the group gives the partitions to nobody else. An outage is not that: in one, it tries again without end.
"""

import asyncio
from typing import Any

from runtime.errors import CallstreamError, ConfigError, Unavailable
from runtime.kafka import (
    ConsumerRecord,
    KafkaError,
    NoOffsetForPartitionError,
    TopicPartition,
    membership_ended,
    translated,
)


class GroupLost(CallstreamError):
    """Our consumer is no working member of its group any more: the process drains and ends with 1."""


async def poll(consumer: Any, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[ConsumerRecord]]:
    """Return what is there, after a short wait at most. Raises `Unavailable`, `ConfigError` and `GroupLost`.

    A poll of a group that never committed returns nothing: every partition is sought before it is resumed.
    """
    _check(consumer, None)
    try:
        with translated():
            return dict(await consumer.getmany(timeout_ms=timeout_ms, max_records=max_records))
    except ConfigError as error:
        if not isinstance(error.__cause__, NoOffsetForPartitionError):
            raise
        await asyncio.sleep(timeout_ms / 1000)
        return {}
    except Unavailable as error:
        _check(consumer, error)
        if type(error.__cause__) is KafkaError:
            # the class of what its coordination did not expect; whatever time can heal has a class of its own
            message = f"the group's coordination met an error it did not expect: {error}"
            raise GroupLost(message) from error
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            # not ours: the result of a cancelled coordination
            _check(consumer, error)
        raise


def _check(consumer: Any, error: BaseException | None) -> None:
    fetching = getattr(getattr(consumer, "_fetcher", None), "_fetch_task", None)
    if membership_ended(consumer):
        message = "the consumer has stopped tending its membership of the group"
    elif fetching is not None and fetching.done():
        message = "the consumer has stopped fetching"
    else:
        return
    raise GroupLost(f"{message}: {error}" if isinstance(error, Unavailable) else message) from error
