"""The audit log as a process: one per deployment, for all topics."""

from collections.abc import Collection, Mapping

from runtime.config import KafkaSettings
from runtime.errors import ConfigError
from runtime.kafka import TopicPartition, start_consumer, stop_quietly, translated
from runtime.object_store import folder_of
from runtime.service import Service, main
from runtime.sink import Membership, SinkOptions, SourcePartition
from runtime.sink_feed import run_sink
from sinks.audit_log.config import AuditLogSettings
from sinks.audit_log.logic import SOURCES
from sinks.audit_log.redaction import Digester
from sinks.audit_log.writer import AuditLogSink, Objects, Options, Outside


def check(settings: AuditLogSettings) -> None:
    """Raise `ConfigError` for stores that cannot be."""
    mistakes: list[str] = []
    for name, url in (("STORE_URL", settings.store_url), ("HEADS_URL", settings.heads_url)):
        try:
            if folder_of(url) is None:
                Objects(url, create=False)
        except ConfigError as error:
            mistakes += [f"AUDIT_LOG_{name}: {mistake}" for mistake in error.mistakes]
    if mistakes:
        raise ConfigError(mistakes)


async def start(service: Service[AuditLogSettings]) -> None:
    """Write the log until the service stops."""
    settings = service.settings
    if settings.digest_key is None:
        service.log.warning("digests are made with a publicly known key and protect nothing")

    async def held(partitions: Collection[SourcePartition]) -> Mapping[SourcePartition, int]:
        return await first_offsets(settings.kafka, partitions)

    sink = AuditLogSink(
        Outside(Objects(settings.store_url, create=True), Objects(settings.heads_url, create=True), held),
        service.store,
        Digester(settings.digest_key_bytes),
        service.clock,
        options=Options(settings.batch_entries, settings.marks_interval_s, settings.dedup_window),
    )
    topics = tuple(topic.name for topic in SOURCES)
    await run_sink(service, sink, SinkOptions(topics, Membership.ALL, interval_s=settings.interval_s))


async def first_offsets(kafka: KafkaSettings, partitions: Collection[SourcePartition]) -> Mapping[SourcePartition, int]:
    """Return the first offset each partition still holds. Raises `Unavailable`."""
    wanted = {TopicPartition(partition.topic, partition.partition): partition for partition in partitions}
    consumer = await start_consumer(kafka, client_id=f"{AuditLogSink.group}-offsets")
    try:
        with translated():
            found = await consumer.beginning_offsets(list(wanted))
    finally:
        await stop_quietly(consumer)
    return {partition: found[target] for target, partition in wanted.items()}


if __name__ == "__main__":
    main("audit_log", AuditLogSettings, start, check)
