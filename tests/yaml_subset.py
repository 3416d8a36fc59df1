"""Reads the part of YAML that docker-compose.yml keeps to, so that tests need no YAML library.

Block mappings; block lists of scalars; one-line flow lists; plain and quoted one-line scalars; anchors on mappings,
aliases, merge keys (`<<: *name`). Anything else is a `ValueError`: what is not understood is never guessed.
"""

import re
from typing import Any

_KEY = re.compile(r"([A-Za-z0-9_.<-]+):(?: +(.*))?$")
_ITEM = r'(?:"[^"]*"|[^",\[\]]+)'
_FLOW = re.compile(rf"\[{_ITEM}(?:, *{_ITEM})*\]")
_NUMBER = re.compile(r"-?\d+")
_UNSUPPORTED = tuple("{}!|>%@`")


def read(text: str) -> dict[str, Any]:
    """The document as dictionaries, lists, strings, whole numbers, booleans and None."""
    lines = [
        (number, len(line) - len(line.lstrip(" ")), line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    reader = _Reader(lines)
    document = reader.block(0)
    if reader.at != len(lines):
        reader.fail("the indentation fits nothing above")
    return document


class _Reader:
    def __init__(self, lines: list[tuple[int, int, str]]) -> None:
        self.lines = lines
        self.at = 0
        self.anchors: dict[str, Any] = {}

    def fail(self, why: str) -> None:
        number, _, text = self.lines[min(self.at, len(self.lines) - 1)]
        message = f"line {number}: {why}: {text}"
        raise ValueError(message)

    def block(self, indent: int) -> Any:
        """Whatever stands at this indentation, until it ends."""
        if self.lines[self.at][2].startswith("- "):
            return self.items(indent)
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while self.at < len(self.lines) and self.lines[self.at][1] == indent:
            match = _KEY.fullmatch(self.lines[self.at][2])
            if match is None or match[1] in found:
                self.fail("no key, or one that was there already")
            key, rest = match[1], match[2] or ""
            value = self.value(rest, indent)
            if key == "<<":
                merged = value
            else:
                found[key] = value
        return {**merged, **found}

    def items(self, indent: int) -> list[Any]:
        found = []
        while self.at < len(self.lines) and self.lines[self.at][1] == indent:
            text = self.lines[self.at][2]
            if not text.startswith("- "):
                self.fail("no list item")
            found.append(self.scalar(text[2:]))
            self.at += 1
        return found

    def value(self, rest: str, indent: int) -> Any:
        """What stands behind a key: on its line, or below it, deeper."""
        if rest and not rest.startswith("&"):
            value = self.flow(rest) if rest.startswith("[") else self.scalar(rest)
            self.at += 1
            return value
        self.at += 1
        deeper = self.at < len(self.lines) and self.lines[self.at][1] > indent
        value = self.block(self.lines[self.at][1]) if deeper else None
        if rest:
            self.anchors[rest[1:]] = value
        return value

    def flow(self, text: str) -> list[Any]:
        if not _FLOW.fullmatch(text):
            self.fail("a flow list holds scalars and ends on its line")
        return [self.scalar(item.strip()) for item in re.findall(_ITEM, text[1:-1]) if item.strip()]

    def scalar(self, text: str) -> Any:
        if text.startswith("*"):
            if text[1:] not in self.anchors:
                self.fail("no such anchor")
            return self.anchors[text[1:]]
        if text.startswith('"'):
            if not re.fullmatch(r'"[^"\\]*"', text):
                self.fail("a quoted text ends on its line, without escapes")
            return text[1:-1]
        if text.startswith((*_UNSUPPORTED, "'", "&", "[", "- ")) or " #" in text or ": " in text:
            self.fail("not understood")
        if text in {"true", "false"}:
            return text == "true"
        return int(text) if _NUMBER.fullmatch(text) else text
