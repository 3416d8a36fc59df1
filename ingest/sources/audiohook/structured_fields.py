"""Structured fields for HTTP (RFC 8941): as much of a dictionary as the two signature headers use.

`parse_dictionary` reads members that are inner lists or items, with parameters; `serialise` writes an inner list back
in canonical form (RFC 8941 section 4.1.1.1), which is what a signature covers.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Bare = str | int | bytes | bool
"""A string, an integer, a byte sequence or a boolean. Tokens and decimals are refused: nothing here uses them."""

_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,15}(?![0-9.])", re.ASCII)
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"', re.ASCII)
_BYTES = re.compile(r":([A-Za-z0-9+/=]*):", re.ASCII)
_BOOLEAN = re.compile(r"\?([01])", re.ASCII)
_SPACES = re.compile(r" *")
_BETWEEN = re.compile(r"[ \t]*,[ \t]*")


class MalformedField(Exception):
    """A header is no structured field."""


@dataclass(frozen=True, slots=True)
class Item:
    """A bare value with its parameters, in the order written."""

    value: Bare
    parameters: Mapping[str, Bare] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InnerList:
    """A list of items with parameters of its own."""

    items: tuple[Item, ...]
    parameters: Mapping[str, Bare] = field(default_factory=dict)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return match

    def need(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = self.take(pattern)
        if match is None:
            message = f"unexpected at character {self.at}"
            raise MalformedField(message)
        return match

    def next_is(self, character: str) -> bool:
        if self.text[self.at : self.at + 1] != character:
            return False
        self.at += 1
        return True

    @property
    def ended(self) -> bool:
        return self.at >= len(self.text)


def parse_dictionary(text: str) -> dict[str, Item | InnerList]:
    """Return the members of a dictionary field; a repeated key keeps its last value. Raises `MalformedField`."""
    reader = _Reader(text.strip(" "))
    members: dict[str, Item | InnerList] = {}
    while not reader.ended:
        key = reader.need(_KEY)[0]
        members[key] = _member(reader) if reader.next_is("=") else Item(value=True, parameters=_parameters(reader))
        if not reader.ended:
            reader.need(_BETWEEN)
            if reader.ended:
                message = "a comma at the end"
                raise MalformedField(message)
    return members


def serialise(inner: InnerList) -> str:
    """Return an inner list in canonical form."""
    items = " ".join(_bare_text(item.value) + _parameters_text(item.parameters) for item in inner.items)
    return f"({items}){_parameters_text(inner.parameters)}"


def serialise_string(value: str) -> str:
    """Return a string in canonical form, quoted."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _member(reader: _Reader) -> Item | InnerList:
    if not reader.next_is("("):
        return _item(reader)
    items = []
    reader.take(_SPACES)
    while not reader.next_is(")"):
        items.append(_item(reader))
        spaces = reader.need(_SPACES)[0]
        if not spaces and reader.text[reader.at : reader.at + 1] != ")":
            message = "items are not separated"
            raise MalformedField(message)
    return InnerList(tuple(items), _parameters(reader))


def _item(reader: _Reader) -> Item:
    return Item(_bare(reader), _parameters(reader))


def _parameters(reader: _Reader) -> dict[str, Bare]:
    found: dict[str, Bare] = {}
    while reader.next_is(";"):
        reader.take(_SPACES)
        key = reader.need(_KEY)[0]
        found.pop(key, None)
        found[key] = _bare(reader) if reader.next_is("=") else True
    return found


def _bare(reader: _Reader) -> Bare:
    match = reader.take(_STRING)
    if match is not None:
        return re.sub(r"\\(.)", r"\1", match[1])
    match = reader.take(_INTEGER)
    if match is not None:
        return int(match[0])
    match = reader.take(_BOOLEAN)
    if match is not None:
        return match[1] == "1"
    try:
        return base64.b64decode(reader.need(_BYTES)[1], validate=True)
    except binascii.Error as error:
        message = "not base64"
        raise MalformedField(message) from error


def _bare_text(value: Bare) -> str:
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return f":{base64.b64encode(value).decode('ascii')}:"
    return serialise_string(value)


def _parameters_text(parameters: Mapping[str, Bare]) -> str:
    return "".join(f";{key}" if value is True else f";{key}={_bare_text(value)}" for key, value in parameters.items())
