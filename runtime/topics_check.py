"""Checks, before a worker joins its group, that its topics exist and fit together."""

from collections.abc import Iterable

from runtime.checkpoint import Application
from runtime.config import KafkaSettings
from runtime.errors import ConfigError, Unavailable
from runtime.kafka import partition_counts
from schemas.topics import changelog, dead_letters


async def check_topics(
    kafka: KafkaSettings, application: Application, input_topic: str, outputs: Iterable[str]
) -> bool:
    """Return True. Raises `Unavailable` while topics are missing, `ConfigError` when their partition counts differ."""
    state = changelog(application.group).name
    return await check_counts(kafka, application, input_topic, (state, *outputs))


async def check_counts(
    kafka: KafkaSettings, application: Application, input_topic: str, written: Iterable[str]
) -> bool:
    """Return True when the input, the dead letters and what is `written` (catalogue names) have one partition count.

    Raises `Unavailable` while topics are missing, `ConfigError` when their partition counts differ.
    """
    names = [
        input_topic,
        application.topic(dead_letters(application.group).name),
        *(application.topic(name) for name in written),
    ]
    counts = await partition_counts(kafka, names, application.application_id)
    missing = sorted(set(names) - set(counts))
    if missing:
        message = f"topics are missing: {', '.join(missing)}; `callstream topics apply` creates them"
        raise Unavailable(message)
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        message = f"topics keyed by conversation must have the same partition count, but: {listed}"
        raise ConfigError([message])
    return True
