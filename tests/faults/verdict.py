"""Compares what an application has committed with the undisturbed run."""

from collections import Counter
from dataclasses import dataclass

from runtime.config import KafkaSettings
from schemas.topics import changelog
from tests.faults.call_log import InputLog
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


async def compare(kafka: KafkaSettings, log: InputLog, *, states: bool = True) -> Verdict:
    """Read all committed outputs and the newest state of each partition."""
    lost = repeated = disordered = 0
    partitions = len(log.ends)
    for topic, expected in log.expected.items():
        found = await read_committed(kafka, kafka.topic_prefix + topic, partitions)
        for wanted, records in zip(expected, found, strict=True):
            got = [(record.key, record.timestamp, record.value, tuple(record.headers)) for record in records]
            missing, surplus = Counter(wanted) - Counter(got), Counter(got) - Counter(wanted)
            lost += missing.total()
            repeated += surplus.total()
            disordered += got != wanted and not missing and not surplus
    wrong = 0
    if states:
        newest = await read_committed(kafka, kafka.topic_prefix + changelog("silence").name, partitions)
        wrong = sum(not rows or rows[-1].value != state for rows, state in zip(newest, log.states, strict=True))
    return Verdict(lost, repeated, disordered, wrong)
