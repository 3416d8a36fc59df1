"""Asks a Kafka whether it is ready: metadata answers, and a topic can be created and deleted."""

import asyncio
import contextlib
import uuid

from runtime.config import KafkaSettings
from runtime.errors import Unavailable
from runtime.kafka import KafkaError, NewTopic, start_admin

_DEADLINE_S = 5.0
_CLIENT_ID = "callstream-broker"


async def is_ready(host: str, port: int) -> bool:
    """Try once, for at most a few seconds; any failure means not yet."""
    try:
        async with asyncio.timeout(_DEADLINE_S):
            # A client needs long to give up on a closed port, so it is not asked before the port is open.
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return await _probe(f"{host}:{port}")
    except (OSError, TimeoutError, KafkaError, Unavailable):
        return False


async def _probe(bootstrap_servers: str) -> bool:
    topic = f"callstream.ready.{uuid.uuid4().hex}"
    admin = await start_admin(KafkaSettings(bootstrap_servers=bootstrap_servers), client_id=_CLIENT_ID)
    try:
        created = await admin.create_topics([NewTopic(topic, 1, 1)])
        if any(code for _, code, *_ in created.topic_errors):
            return False
        await admin.delete_topics([topic])
    finally:
        await admin.close()
    return True
