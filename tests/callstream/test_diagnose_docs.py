"""docs/genesys-cloud.md says what the code does."""

import re
from pathlib import Path

from callstream.diagnose_causes import CODES, STEPS
from ingest.regions import DOMAINS
from ingest.sources.audiohook.auth import Refusal
from schemas.symbols import Direction

PAGE = (Path(__file__).parents[2] / "docs" / "genesys-cloud.md").read_text(encoding="utf-8")
SERVER = (Path(__file__).parents[2] / "ingest" / "server.py").read_text(encoding="utf-8")


def test_every_event_stands_there_with_its_meaning_or_as_unknown():
    rows = dict(re.findall(r"^\| (AUDIOHOOK-\d+)(?: \(\*not confirmed\*\))? \| (.+?) \|", PAGE, re.MULTILINE))
    assert rows == {name: code.meaning for name, code in CODES.items() if code.known != "unknown"}
    assert all(name in PAGE for name in CODES)
    assert all(step in PAGE for step in STEPS)


def test_every_reason_of_a_refusal_is_explained():
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.+?`) \| \d", PAGE, re.MULTILINE))))
    counted = set(re.findall(r'_complain\("(\w+)"', SERVER)) | {"stopping", "full", "organisation_full"}
    assert named == {reason.value for reason in Refusal} | counted | {"header_size", "no_request"}


def test_every_region_stands_there_with_its_domain():
    cells = re.findall(r"\| ([a-z]+-[a-z-]+-\d) \| (\S+) ", PAGE)
    rest = re.findall(r" \| ([a-z]+-[a-z-]+-\d) \| (\S+) \|$", PAGE, re.MULTILINE)
    assert dict(cells) | dict(rest) == dict(DOMAINS)


def test_the_directions_are_those_of_the_schema():
    assert {"INBOUND", "OUTBOUND"} <= set(Direction.__members__)
