"""The headers of a dead letter, named as Kafka Connect names them (KIP-298), so that every tool can show them.

Key and value travel as received, to `schemas.topics.dead_letters(group)`, on the input's partition number. The headers
say where the record came from and why it failed: no stack trace, and no content of the record.
"""

from runtime.version import version

_PREFIX = "__connect.errors."
_LONGEST_TEXT = 500


def headers(  # noqa: PLR0913, PLR0917 - one argument per header
    error: str, stage: str, topic: str, partition: int, offset: int, group: str, error_class: str
) -> list[tuple[str, bytes]]:
    """Return the headers, values as UTF-8 text.

    `error` names the defect and never quotes the content; `stage` is the step that failed; `topic` (catalogue name),
    `partition` and `offset` are the record's own; `group` is the consumer group that gave up; `error_class` the name of
    the error's class. Text longer than 500 characters is cut.
    """
    return [
        (name, text[:_LONGEST_TEXT].encode())
        for name, text in (
            (f"{_PREFIX}topic", topic),
            (f"{_PREFIX}partition", str(partition)),
            (f"{_PREFIX}offset", str(offset)),
            (f"{_PREFIX}connector.name", group),
            (f"{_PREFIX}task.id", str(partition)),
            (f"{_PREFIX}stage", stage),
            (f"{_PREFIX}class.name", group),
            (f"{_PREFIX}exception.class.name", error_class),
            (f"{_PREFIX}exception.message", error),
            ("callstream.version", version()),
        )
    ]
