"""Foreign errors become ours by who must act; keys go where Java's partitioner sends them."""

import asyncio

import pytest
from aiokafka import errors  # noqa: TID251 - what is translated

from runtime.errors import ConfigError, Fenced, InvalidRecord, Unavailable
from runtime.kafka import Partitioner, translate, translated


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.ProducerFenced(), Fenced),
        (errors.CommitFailedError("rebalanced"), Fenced),
        (AssertionError("Invalid state transition FATAL_ERROR -> IN_TRANSACTION"), Fenced),
        (errors.IllegalOperation("Can't send messages while not in transaction"), Fenced),
        (errors.TopicAuthorizationFailedError(), ConfigError),
        (errors.GroupAuthorizationFailedError(), ConfigError),
        (errors.TransactionalIdAuthorizationFailed(), ConfigError),
        (errors.OffsetOutOfRangeError(), ConfigError),
        (errors.InvalidSessionTimeoutError(), ConfigError),
        (errors.UnknownError(), InvalidRecord),
        (errors.MessageSizeTooLargeError(), InvalidRecord),
        (errors.InvalidTimestampError(), InvalidRecord),
        (errors.KafkaConnectionError("no broker"), Unavailable),
        (errors.OutOfOrderSequenceNumber(), Unavailable),
        (TimeoutError(), Unavailable),
        (ConnectionResetError(), Unavailable),
    ],
)
def test_an_error_is_translated_by_who_must_act(error: Exception, kind: type[Exception]) -> None:
    assert type(translate(error)) is kind


def test_an_error_of_nobody_s_stays_what_it_is() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError


async def test_a_cancellation_is_not_translated() -> None:
    with pytest.raises(asyncio.CancelledError), translated():
        raise asyncio.CancelledError


def test_a_refused_record_is_not_quoted() -> None:
    assert "payload" not in str(translate(errors.MessageSizeTooLargeError("payload")))


@pytest.mark.parametrize(
    ("key", "hash_value"), [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)]
)
def test_keys_are_placed_as_java_places_them(key: bytes, hash_value: int) -> None:
    # the vectors of Kafka's own UtilsTest
    for partitions in (1, 4, 24):
        assert Partitioner(partitions).partition(key) == (hash_value & 0x7FFFFFFF) % partitions
