"""Compares what an application has committed with the undisturbed run."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.config import KafkaSettings
from schemas.topics import changelog, dead_letters
from tests.faults.call_log import InputLog
from tests.faults.processors_under_test import OUTPUTS
from tests.reading import read_committed


@dataclass(frozen=True)
class Verdict:
    """Records missing and too many, over all output topics; partitions in another order or with another state."""

    lost: int
    repeated: int
    disordered: int
    wrong_states: int

    @property
    def exact(self) -> bool:
        return not (self.lost or self.repeated or self.disordered or self.wrong_states)


Rows = list[list[tuple[Any, ...]]]
"""By partition: key, timestamp, value, headers."""


def judge(expected: Mapping[str, Rows], found: Mapping[str, Rows], wrong_states: int = 0) -> Verdict:
    """Compare the records of each topic, partition by partition. A topic nothing was expected on counts too."""
    lost = repeated = disordered = 0
    for topic, rows in found.items():
        for wanted, got in zip(expected.get(topic, [[] for _ in rows]), rows, strict=True):
            missing, surplus = Counter(wanted) - Counter(got), Counter(got) - Counter(wanted)
            lost += missing.total()
            repeated += surplus.total()
            disordered += got != wanted and not missing and not surplus
    return Verdict(lost, repeated, disordered, wrong_states)


def surplus(
    expected: Mapping[str, Rows], found: Mapping[str, Rows], offsets: Mapping[str, list[list[int]]]
) -> list[str]:
    """Where on the output topics the records stand that are there too often: each with all its offsets."""
    lines = []
    for topic, rows in found.items():
        for partition, got in enumerate(rows):
            wanted = expected[topic][partition] if topic in expected else []
            at: dict[Any, list[int]] = {}
            for row, offset in zip(got, offsets[topic][partition], strict=True):
                at.setdefault(row, []).append(offset)
            lines += [
                f"{topic}/{partition} {at[row]} {row[1]} {row[2]!r:.120}" for row in Counter(got) - Counter(wanted)
            ]
    return lines


async def compare(kafka: KafkaSettings, log: InputLog, *, states: bool = True, notes: Path | None = None) -> Verdict:
    """Read all committed outputs and the newest state of each partition; write what is too much to `notes`."""
    partitions = len(log.ends)
    topics = (*OUTPUTS[log.kind], dead_letters("silence").name)
    read = {topic: await read_committed(kafka, kafka.topic_prefix + topic, partitions) for topic in topics}
    found = {
        topic: [
            [(record.key, record.timestamp, record.value, tuple(record.headers)) for record in records]
            for records in by_partition
        ]
        for topic, by_partition in read.items()
    }
    offsets = {
        topic: [[record.offset for record in records] for records in by_partition]
        for topic, by_partition in read.items()
    }
    if notes is not None and (lines := surplus(log.expected, found, offsets)):
        with notes.open("a") as file:
            file.writelines(f"{line}\n" for line in ["read:", *lines])
    wrong = 0
    if states:
        newest = await read_committed(kafka, kafka.topic_prefix + changelog("silence").name, partitions)
        wrong = sum(not rows or rows[-1].value != state for rows, state in zip(newest, log.states, strict=True))
    return judge(log.expected, found, wrong)
