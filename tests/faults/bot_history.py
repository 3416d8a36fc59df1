"""Everything that was written about the turns of a run, kept in order, to say of one what became of it. Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from processors.cognigy.messages import turn_id
from schemas.codec import SchemaStore
from schemas.errors import InvalidRecord
from schemas.records import BotTurn, Record, TurnEntry, Utterance
from schemas.topics import BOT, UTTERANCES, dead_letters, turns
from tests.faults.bot_verdict import Wanted

INPUT = UTTERANCES.name
TURNS = turns("cognigy").name
LETTERS = dead_letters("cognigy").name
TOPICS = (INPUT, TURNS, BOT.name, LETTERS)
_TYPES: dict[str, type[Record]] = {INPUT: Utterance, TURNS: TurnEntry, BOT.name: BotTurn, LETTERS: Utterance}
_LINES_OF_A_WORKER = 200


@dataclass(frozen=True)
class Kept:
    """A record: where it lies, when it was written, what of it tells the story, and its conversation."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    conversation: str
    about: str

    def __str__(self) -> str:
        return f"{self.timestamp_ms} {self.topic}/{self.partition}@{self.offset} {self.about}"


class History:
    """Takes records as a reader of the topics finds them; one that is read twice counts once."""

    def __init__(self) -> None:
        self._store = SchemaStore()
        self._kept: dict[tuple[str, int, int], Kept] = {}

    def take(self, record: Any) -> None:
        """Keep a record of one of `TOPICS`."""
        where = (record.topic, record.partition, record.offset)
        self._kept[where] = Kept(*where, record.timestamp, *self._read(record))

    def written(self, topic: str) -> int:
        """Return how many records of a topic were found."""
        return sum(kept.topic == topic for kept in self._kept.values())

    def of(self, one: Wanted, logs: Iterable[tuple[str, str]] = (), more: Sequence[str] = ()) -> str:
        """Tell what is known of an input: its conversation's records, its partition's course, and what workers said.

        `logs` are names and texts of workers' logs; `more` are further lines.
        """
        kept = sorted(self._kept.values(), key=lambda record: (record.timestamp_ms, record.topic, record.offset))
        mine = [record for record in kept if record.conversation == one.conversation_id or one.turn_id in record.about]
        partitions = {record.partition for record in mine if record.topic == INPUT}
        told = [f"turn {one.turn_id}: input {one.number} of {one.conversation_id}, partition {sorted(partitions)}"]
        told += [f"  {record}" for record in mine]
        for name, text in logs:
            said = [line for line in text.splitlines() if _concerns(line, one, partitions)]
            told += [f"  {name}: {line}" for line in said[-_LINES_OF_A_WORKER:]]
        return "\n".join([*told, *(f"  {line}" for line in more)])

    def _read(self, record: Any) -> tuple[str, str]:
        """Return the conversation of a record and what of it tells the story."""
        try:
            found: Any = self._store.decode(record.value, _TYPES[record.topic])
        except InvalidRecord:
            found = None
        key = (record.key or b"").decode("utf-8", "replace")
        if isinstance(found, TurnEntry):
            return "", f"{key} {found.state} attempt {found.attempt} by {found.worker}"
        if isinstance(found, BotTurn):
            shown = f"{found.turn_id} {found.kind} {found.state} index {found.index} attempts {found.attempts}"
            return found.conversation_id, shown
        if isinstance(found, Utterance):
            headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
            return found.conversation_id, f"{turn_id(found.utterance_id)} {found.kind} {headers.get('dlt.reason', '')}"
        return "", f"{key} unreadable"


def _concerns(line: str, one: Wanted, partitions: set[int]) -> bool:
    """Tell whether a line of a worker's log is about an input, its partition, or no partition at all."""
    try:
        said = json.loads(line)
    except ValueError:
        return True
    if said.get("turn", one.turn_id) != one.turn_id:
        return False
    about = said.get("partition", said.get("partitions"))
    return about is None or bool(partitions & set(about if isinstance(about, list) else [about]))
