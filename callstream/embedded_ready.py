"""Asks a Kafka whether it is ready: metadata answers, and a topic can be created and deleted."""

import asyncio
import contextlib
import uuid

from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # noqa: TID251
from aiokafka.errors import KafkaError  # noqa: TID251

_DEADLINE_S = 5.0
_REQUEST_TIMEOUT_MS = 5000


async def is_ready(host: str, port: int) -> bool:
    """Try once, for at most a few seconds; any failure means not yet."""
    try:
        async with asyncio.timeout(_DEADLINE_S):
            # The client logs an error for each refused connection, so it is not asked before the port is open.
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return await _probe(f"{host}:{port}")
    except (OSError, TimeoutError, KafkaError):
        return False


async def _probe(bootstrap_servers: str) -> bool:
    topic = f"callstream.ready.{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        created = await admin.create_topics([NewTopic(topic, 1, 1)])
        if any(code for _, code, *_ in created.topic_errors):
            return False
        await admin.delete_topics([topic])
    finally:
        await admin.close()
    return True
