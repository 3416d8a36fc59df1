"""What we say of a capture: the file through the import's source and sequencer, and the loss processor's driver."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import UUID

from ingest.identity import Lineage
from ingest.sequencer import Encoding, Moment, Outgoing, Sequencer
from ingest.sources.capture.findings import Findings
from ingest.sources.capture.payload_types import explained
from ingest.sources.capture.source import LONGEST_HEAD_BYTES, begin
from ingest.sources.capture.wanted import Wanted
from processors.loss.logic import LossProcessor
from runtime.testing import Driver
from schemas.codec import SchemaStore
from schemas.records import LossReport
from schemas.symbols import LossReportKind, Reason
from schemas.topics import AUDIO, LOSS

STORE = SchemaStore()
_PIECE_BYTES = 128 * 1024


def wanted(payload_types: Mapping[int, str]) -> Wanted:
    """What an operator says of a capture whose dynamic payload types are these."""
    return Wanted("call", meanings=explained([f"{number}={name}" for number, name in payload_types.items()]))


def records(path: Path, payload_types: Mapping[int, str]) -> Iterator[Outgoing]:
    """The records of calls.audio that an import of the file writes, in their order."""
    data = path.read_bytes()
    taken, at = begin(data[:LONGEST_HEAD_BYTES], wanted(payload_types), Findings())
    sequencer = Sequencer(Encoding(STORE), iter(map(_id, range(1, 100))).__next__, Lineage())
    pieces = [data[start : start + _PIECE_BYTES] for start in range(at, len(data), _PIECE_BYTES)]
    facts = [timed for piece in pieces for timed in taken.feed(piece)] + taken.end(Reason.END)
    for at_s, fact in facts:
        for record in sequencer.take(fact, Moment(at_s, at_s)):
            if record.topic == AUDIO.name:
                yield record


def reports(path: Path, payload_types: Mapping[int, str]) -> dict[int, LossReport]:
    """The final report of each stream of a capture."""
    driver = Driver(LossProcessor())
    for record in records(path, payload_types):
        driver.send_value(record.value, key=record.key, timestamp_ms=1_700_000_000_000)
    driver.run()
    assert driver.dead_letters == []
    found = [one for one in driver.records(LOSS.name) if isinstance(one, LossReport)]
    return {one.stream: one for one in found if one.kind is LossReportKind.FINAL and one.stream >= 0}


def _id(number: int) -> UUID:
    return UUID(int=number)
