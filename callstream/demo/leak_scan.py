"""Looks for what must be nowhere: bytes and words, in every form they could have taken on their way. Pure.

It also looks for what must be somewhere, in the same way; for a scan that cannot find what was said outside of the
pause proves nothing.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audio.g711 import decode_pcmu
from callstream.demo.checks import Check
from schemas.codec import as_datum

_ALIGNMENTS = 3
"""Base64 takes three bytes at a time, so the same bytes have as many forms as they may begin at."""


@dataclass(frozen=True, slots=True)
class Sought:
    """One thing to look for: `forms` are searched in any bytes, `word` must be the whole of a value or be quoted."""

    name: str
    forms: tuple[bytes, ...] = ()
    word: str = ""


class Scan:
    """Keeps where each thing was found. `places` counts what was looked at, by kind of place."""

    def __init__(self, sought: Sequence[Sought]) -> None:
        self.found: dict[str, list[str]] = {one.name: [] for one in sought}
        self.places: dict[str, int] = {}
        self._sought = tuple(sought)
        self.longest = max(len(form) for one in sought for form in one.forms)

    def count(self, kind: str) -> None:
        """Count a record or a file."""
        self.places[kind] = self.places.get(kind, 0) + 1

    def look(self, where: str, data: bytes, *, text: bool = False) -> None:
        """Look through bytes; where they are `text`, for quoted words too."""
        for one in self._sought:
            quoted = text and one.word and f'"{one.word}"'.encode() in data
            if quoted or any(form in data for form in one.forms):
                self._note(one, where)

    def record(self, where: str, record: object) -> None:
        """Look through the values of a record for whole words."""
        values = set(_strings(as_datum(record)))
        for one in self._sought:
            if one.word and one.word in values:
                self._note(one, where)

    def _note(self, one: Sought, where: str) -> None:
        if where not in self.found[one.name]:
            self.found[one.name].append(where)


def periodic(name: str, period: bytes) -> Sought:
    """Return how to find interleaved stereo mu-law that repeats `period`: as it is, one channel, linear, as text."""
    forms: list[bytes] = []
    for encoded in (period, period[0::2], period[1::2]):
        linear = decode_pcmu(encoded)
        for raw in (encoded, linear.astype("<i2").tobytes(), linear.astype(">i2").tobytes()):
            forms += [raw, raw.hex().encode()]
            forms += [base64.b64encode(raw[at:] + raw[:at]) for at in range(_ALIGNMENTS)]
    return Sought(name, tuple(dict.fromkeys(forms)))


def phrase(name: str, text: str) -> Sought:
    """Return how to find a text: in the usual encodings, and inside of base64."""
    forms = [text.encode(), text.encode("utf-16-le"), text.upper().encode(), text.encode().hex().encode()]
    for at in range(_ALIGNMENTS):
        whole = base64.b64encode(b" " * at + text.encode())
        forms.append(whole[4 if at else 0 : len(whole) // 4 * 4 - 4])
    return Sought(name, tuple(dict.fromkeys(forms)))


def check_hidden(
    scan: Scan,
    hidden: Sequence[str],
    controls: Mapping[str, Sequence[str]],
    name: str = "what was said in the pause reached nothing",
) -> Check:
    """Nothing hidden was found anywhere, and each control in a place that begins with each of its beginnings."""
    leaks = [f"{one} in {', '.join(scan.found[one][:3])}" for one in hidden if scan.found[one]]
    blind = [
        f"{one} not seen in {beginning}"
        for one, beginnings in controls.items()
        for beginning in beginnings
        if not any(where.startswith(beginning) for where in scan.found[one])
    ]
    looked = " and ".join(f"{count} {kind}" for kind, count in scan.places.items())
    found = "; ".join([*leaks, *blind]) or f"nothing of it in {looked}"
    return Check(name, not leaks and not blind, found)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
