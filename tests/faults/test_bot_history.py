"""What is told of an input that has no end: its own records in order, and its partition's course."""

import json
from dataclasses import dataclass, field

from processors.cognigy.messages import turn_id
from schemas.codec import SchemaStore
from schemas.records import Origin, TurnEntry
from schemas.symbols import TurnState
from tests.faults.bot_history import INPUT, TURNS, History
from tests.faults.bot_verdict import Wanted
from tests.processors.cognigy.turns import utterance

STORE = SchemaStore()
ONE = utterance(conversation="call-1", counter=4)
OTHER = utterance(conversation="call-2", counter=5)
TURN = turn_id(ONE.utterance_id)


@dataclass
class Read:
    """A record as a reader finds it."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    timestamp: int = 0
    key: bytes | None = None
    headers: list = field(default_factory=list)


def test_the_records_of_an_input_are_told_in_their_order_and_no_other_s() -> None:
    history = History()
    entry = TurnEntry(
        turn_id=TURN, state=TurnState.SENDING, worker="host/7", origin=Origin(topic="t", partition=0, offset=0, index=0)
    )
    history.take(Read(TURNS, 2, 0, STORE.encode(entry), 9, f"{TURN}/intent".encode()))
    history.take(Read(INPUT, 2, 3, STORE.encode(ONE), 5, b"call-1"))
    history.take(Read(INPUT, 2, 3, STORE.encode(ONE), 5, b"call-1"))
    history.take(Read(INPUT, 2, 4, STORE.encode(OTHER), 6, b"call-2"))
    told = history.of(Wanted(TURN, "call-1", 4), more=["the bot took it 0 times"]).splitlines()
    assert told[0].endswith("input 4 of call-1, partition [2]")
    assert [line.split()[1] for line in told[1:3]] == [f"{INPUT}/2@3", f"{TURNS}/2@0"]
    assert "SENDING" in told[2]
    assert "host/7" in told[2]
    assert told[3:] == ["  the bot took it 0 times"]
    assert history.written(INPUT) == 2


def test_of_the_workers_logs_only_what_concerns_it_is_told() -> None:
    history = History()
    history.take(Read(INPUT, 2, 3, STORE.encode(ONE), 5, b"call-1"))
    lines = [
        {"message": "partitions assigned", "partitions": [1, 2]},
        {"message": "partition taken over", "partition": 1},
        {"message": "a turn was not answered", "turn": "another"},
        {"message": "a turn was not answered", "turn": TURN},
        {"message": "the bot answers again"},
    ]
    text = "\n".join([*(json.dumps(line) for line in lines), "Traceback"])
    told = history.of(Wanted(TURN, "call-1", 4), [("worker-0.log", text)]).splitlines()[2:]
    kept = [line.removeprefix("  worker-0.log: ") for line in told]
    assert kept == [*(json.dumps(lines[number]) for number in (0, 3, 4)), "Traceback"]


def test_a_record_that_cannot_be_read_is_told_by_its_key() -> None:
    history = History()
    history.take(Read(TURNS, 2, 0, b"\0nothing", 9, f"{TURN}/result".encode()))
    assert f"{TURN}/result unreadable" in history.of(Wanted(TURN, "call-1", 4))
