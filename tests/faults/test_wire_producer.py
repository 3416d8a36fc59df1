"""A producer cut off in the middle of its work leaves nothing behind that anybody hears of later."""

import asyncio
import gc

import pytest

from runtime.config import KafkaSettings
from runtime.kafka import KafkaError, NewTopic, start_admin, start_producer, stop_quietly
from tests.faults.proxy import HOST, Act, Api, Fault, proxy_to
from tests.kafka_fixture import unique_topic

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("act", [Act.HALF_OPEN, Act.CUT_BEFORE])
async def test_a_producer_that_is_cut_off_leaves_no_errors_that_nobody_waits_for(kafka: str, act: Act) -> None:
    if not kafka.startswith(f"{HOST}:"):
        pytest.skip("the proxy stands before a broker on loopback only")
    topic, unnoticed = unique_topic(), []
    admin = await start_admin(KafkaSettings(bootstrap_servers=kafka), client_id="test")
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unnoticed.append(context))
    async with proxy_to(kafka) as proxy:
        fault = proxy.place(Fault(act, Api.PRODUCE, times=10_000))
        producer = await start_producer(KafkaSettings(bootstrap_servers=proxy.bootstrap), client_id="test")
        futures = [await producer.send_batch(_batch(producer), topic, partition=0)]
        async with asyncio.timeout(30):
            while not fault.met:
                await asyncio.sleep(0.01)
        futures.append(await producer.send_batch(_batch(producer), topic, partition=0))
        await stop_quietly(producer, 0.5)
        assert [type(future.exception()) for future in futures] == [ConnectionError, ConnectionError]
        del producer, futures
        await asyncio.sleep(0)
        gc.collect()
    assert unnoticed == []


def _batch(producer):
    batch = producer.create_batch()
    batch.append(key=None, value=b"v", timestamp=None)
    return batch


async def test_a_transaction_that_fails_unobserved_is_nobody_s_news(kafka: str) -> None:
    if not kafka.startswith(f"{HOST}:"):
        pytest.skip("the proxy stands before a broker on loopback only")
    topic, unnoticed = unique_topic(), []
    admin = await start_admin(KafkaSettings(bootstrap_servers=kafka), client_id="test")
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unnoticed.append(context))
    async with proxy_to(kafka) as proxy:
        settings = KafkaSettings(bootstrap_servers=proxy.bootstrap)
        producer = await start_producer(settings, client_id="test", transactional_id=topic, request_timeout_ms=1000)
        await producer.begin_transaction()
        proxy.place(Fault(Act.HALF_OPEN, Api.ADD_PARTITIONS_TO_TXN))
        # the client asks for its coordinator anew, and gives up for good where that answer is lost
        proxy.place(Fault(Act.CUT_BEFORE, Api.FIND_COORDINATOR, times=10_000))
        with pytest.raises(KafkaError):
            await (await producer.send_batch(_batch(producer), topic, partition=0))
        await stop_quietly(producer, 2)
        del producer
        await asyncio.sleep(0)
        gc.collect()
    assert unnoticed == []
