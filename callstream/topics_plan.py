"""What must change on a cluster so that it has the catalogue's topics.

Pure: told what is there, it says what to do. The partition count of an existing topic is never changed, for keys would
move; time retention is shortened only by force.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from runtime.errors import ConfigError
from schemas.topics import DEFAULT_PARTITIONS, Topic

RETENTION = "retention.ms"
_FOR_EVER = -1


@dataclass(frozen=True, slots=True)
class Existing:
    """A topic as it is: its partitions, its settings in force, and those of them that were set on the topic itself."""

    partitions: int
    settings: Mapping[str, str]
    own: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Create:
    """Make a missing topic."""

    name: str
    partitions: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Alter:
    """Replace a topic's own settings by `settings`, which keep everything that is none of our business."""

    name: str
    settings: Mapping[str, str]
    changed: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave a topic as it is; `remark` says what differs on purpose."""

    name: str
    remark: str = ""


Step = Create | Alter | Keep


def wanted(topics: Iterable[Topic], prefix: str) -> dict[str, Mapping[str, str]]:
    """Return name with prefix → broker settings. In a replay records are old, so time retention would delete them."""
    found: dict[str, Mapping[str, str]] = {}
    for topic in topics:
        settings = topic.broker_config()
        if prefix and RETENTION in settings:
            settings[RETENTION] = str(_FOR_EVER)
        found[prefix + topic.name] = MappingProxyType(settings)
    return found


def partition_count(existing: Mapping[str, Existing], asked: int | None) -> int:
    """Return the partition count all topics must have.

    Raises `ConfigError` naming each topic whose count differs from `asked`, or from the others where nothing was asked.
    """
    counts = sorted({topic.partitions for topic in existing.values()})
    count = asked or (counts[0] if counts else DEFAULT_PARTITIONS)
    if asked is None and len(counts) > 1:
        raise ConfigError(
            [
                f"{name}: has {topic.partitions} partitions, but all topics need the same count"
                for name, topic in existing.items()
            ]
        )
    mistakes = [
        f"{name}: has {topic.partitions} partitions, not {count}; the count of an existing topic is never changed"
        for name, topic in existing.items()
        if topic.partitions != count
    ]
    if mistakes:
        raise ConfigError(mistakes)
    return count


def plan(
    topics: Mapping[str, Mapping[str, str]], existing: Mapping[str, Existing], partitions: int, *, force: bool
) -> list[Step]:
    """Return one step per topic, in the order given; `force` allows a shorter retention."""
    steps: list[Step] = []
    for name, settings in topics.items():
        found = existing.get(name)
        steps.append(Create(name, partitions, settings) if found is None else _step(name, settings, found, force=force))
    return steps


def _step(name: str, settings: Mapping[str, str], found: Existing, *, force: bool) -> Step:
    changed = {key: value for key, value in settings.items() if found.settings.get(key) != value}
    remark = ""
    if RETENTION in changed and not force:
        now, then = found.settings.get(RETENTION, str(_FOR_EVER)), changed[RETENTION]
        if _shorter(then, now):
            del changed[RETENTION]
            remark = f"keeps {RETENTION}={now}, longer than the catalogue's {then}; --force shortens it"
    if not changed:
        return Keep(name, remark)
    return Alter(name, {**found.own, **changed}, changed)


def _shorter(then: str, now: str) -> bool:
    return int(then) != _FOR_EVER and (int(now) == _FOR_EVER or int(then) < int(now))
