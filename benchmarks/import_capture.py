"""A capture's bytes → framed records of calls.audio on one core, as `callstream import` makes them; Kafka is left out.

Ten streams of 20-ms packets, in memory. Wall time of the fastest of some rounds, and CPU time, which says more on a
machine that does other things too. `./dev bench import_capture [packets per stream]`.
"""

import os
import secrets
import sys
import tempfile
from pathlib import Path

from benchmarks.rig import result
from callstream.importing import PIECE_BYTES
from ingest.identity import Lineage, uuid7
from ingest.sequencer import Encoding, Moment, Sequencer
from ingest.sources.capture.findings import Findings
from ingest.sources.capture.source import begin
from ingest.sources.capture.wanted import Wanted
from runtime.clock import SystemClock
from schemas.codec import SchemaStore
from schemas.symbols import Reason
from tests.captures.files import write_pcap
from tests.captures.sending import Sender, deliver

_STREAMS = 10
_ROUNDS = 3
_clock = SystemClock()


def capture(packets: int) -> bytes:
    """Return a pcap file of so many packets of each stream."""
    sent = []
    for number in range(_STREAMS):
        sender = Sender(1000 + number, source=("192.0.2.1", 5004 + 2 * number))
        sender.now_us += 1700 * number
        sender.audio(packets)
        sent += sender.sent
    sent.sort(key=lambda one: one.sent_us)
    with tempfile.TemporaryDirectory() as folder:
        return write_pcap(Path(folder) / "capture", [one.packet for one in deliver(sent)]).read_bytes()


def imported(data: bytes) -> tuple[int, int]:
    """Return how many packets and records a file makes."""
    findings = Findings()
    source, start = begin(data, Wanted("bench"), findings)
    sequencer = Sequencer(Encoding(SchemaStore()), lambda: uuid7(0, secrets.token_bytes(10)), Lineage())
    records = 0
    for at in range(start, len(data), PIECE_BYTES):
        for at_s, fact in source.feed(data[at : at + PIECE_BYTES]):
            records += len(sequencer.take(fact, Moment(at_s, at_s)))
    for at_s, fact in source.end(Reason.END):
        records += len(sequencer.take(fact, Moment(at_s, at_s)))
    return findings.packets, records


def main() -> None:
    """Measure."""
    data = capture(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
    walls, cpus, packets = [], [], 0
    for _ in range(_ROUNDS):
        began_s, began = _clock.monotonic_s(), os.times()
        packets, _ = imported(data)
        walls.append(_clock.monotonic_s() - began_s)
        ended = os.times()
        cpus.append(ended.user + ended.system - began.user - began.system)
    result("import_capture", packets_per_s=round(packets / min(walls)), packets_per_cpu_s=round(packets / min(cpus)))


if __name__ == "__main__":
    main()
