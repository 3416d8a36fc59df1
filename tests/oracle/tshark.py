"""What tshark says of the RTP streams of a capture, and what it said of those that the tests make.

`python -m tests.oracle.tshark` asks it about every capture and writes its answers to tests/data/captures/tshark.json.
The captures themselves are made anew each time, byte for byte: their digests stand with the answers.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.captures.files import write_pcap
from tests.captures.scenarios import NAMES, Scenario, scenario

ANSWERS = Path(__file__).parents[1] / "data" / "captures" / "tshark.json"
PROGRAM = "tshark"
_PORT = 5004
_LINE = re.compile(
    r"\s(0x[0-9A-F]{8})\s+(.+?)\s+(\d+)\s+(-?\d+) \((-?[\d.]+)%\)\s+(-?[\d.]+)\s+(-?[\d.]+)\s+(-?[\d.]+)"
    r"\s+(-?[\d.]+)\s+(-?[\d.]+)\s+(-?[\d.]+)\s"
)


class Stream(NamedTuple):
    """One line of `-z rtp,streams`. Its jitter is the running one of RFC 3550, A.8: least, mean and largest, in ms.

    `lost` is RFC 3550's signed number: what the numbers span, minus what came. Jitters stay as printed. Beside it the
    digest of its extended sequence numbers (`rtp.extseq`), counted from the second packet's.
    """

    packets: int
    lost: int
    lost_percent: str
    jitter_min_ms: str
    jitter_mean_ms: str
    jitter_max_ms: str
    extended_sha256: str

    @property
    def expected(self) -> int:
        """What the numbers span."""
        return self.packets + self.lost


class Answer(NamedTuple):
    """What tshark said of a capture with this digest, by SSRC."""

    sha256: str
    streams: dict[int, Stream]


made = cache(scenario)
"""A scenario, made once."""


def capture(found: Scenario, folder: Path) -> Path:
    """Write the capture of a scenario; return its path."""
    return write_pcap(folder / f"{found.name}.pcap", found.packets)


def is_installed() -> bool:
    """Tell whether tshark can be asked."""
    return shutil.which(PROGRAM) is not None


def ask(path: Path) -> Answer:
    """Return what tshark says of a capture."""
    told = _told(path, "-q", "-z", "rtp,streams")
    extended: dict[int, list[int]] = {}
    # in one pass the first packet of a stream is a cycle ahead, in two passes it is where the first pass ended
    for line in _told(path, "-2", "-T", "fields", "-e", "rtp.ssrc", "-e", "rtp.extseq").splitlines():
        ssrc, number = line.split()
        extended.setdefault(int(ssrc, 16), []).append(int(number))
    streams = {}
    for found in _LINE.finditer(told):
        ssrc, _, packets, lost, percent, *_, least, mean, largest = found.groups()
        numbers = numbers_digest(extended[int(ssrc, 16)])
        streams[int(ssrc, 16)] = Stream(int(packets), int(lost), percent, least, mean, largest, numbers)
    assert streams, told
    return Answer(digest(path), streams)


def _told(path: Path, *options: str) -> str:
    command = [PROGRAM, "-r", str(path), "-n", "-d", f"udp.port=={_PORT},rtp", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def numbers_digest(numbers: Sequence[int]) -> str:
    """Return what tells one run of extended numbers from another, wherever it begins; the first one is left out."""
    return hashlib.sha256(",".join(str(number - numbers[1]) for number in numbers[1:]).encode()).hexdigest()


def answers() -> dict[str, Answer]:
    """Return what it said of each capture when it was asked last."""
    return {
        name: Answer(said["sha256"], {int(ssrc, 16): Stream(**numbers) for ssrc, numbers in said["streams"].items()})
        for name, said in json.loads(ANSWERS.read_text())["captures"].items()
    }


def digest(path: Path) -> str:
    """Return what tells one capture from another."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write() -> None:
    version = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
    captures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            said = ask(capture(made(name), Path(folder)))
            streams = {f"{ssrc:08x}": stream._asdict() for ssrc, stream in sorted(said.streams.items())}
            captures[name] = {"sha256": said.sha256, "streams": streams}
    ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    ANSWERS.write_text(json.dumps({"tshark": version, "captures": captures}, indent=1) + "\n")
    sys.stdout.write(f"{ANSWERS}: {len(captures)} captures, {version}\n")


if __name__ == "__main__":
    _write()
