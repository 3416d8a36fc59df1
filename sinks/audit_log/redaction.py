"""Record fields → what the log may keep of them. Pure.

Which fields are personal is read from the schemas' `pii`; a field without the attribute counts as personal.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sinks.audit_log.chain import canonical

LINKABLE = frozenset({"agent", "actor", "requested_by"})
"""Personal fields that identify somebody: equal values have equal digests in the whole log."""

Keep = Callable[[Any, str], Any]
"""`keep(value, place)`: `place` names the record, so that equal values elsewhere have other digests."""


@dataclass(frozen=True, slots=True)
class Digester:
    """Keyed digests under one secret."""

    key: bytes

    @property
    def key_id(self) -> str:
        """Names the key without telling it: digests under different ids cannot be compared."""
        return hmac.digest(self.key, b"key id", "sha256").hex()[:16]

    def linkable(self, purpose: str, value: Any) -> str:
        """Return a digest that is the same for the same value wherever it stands."""
        return self._digest(b"linkable", purpose, value)

    def placed(self, place: str, value: Any) -> str:
        """Return a digest that can only be compared by who holds the key and knows the record's place."""
        return self._digest(b"placed", place, value)

    def _digest(self, domain: bytes, context: str, value: Any) -> str:
        body = value if isinstance(value, bytes) else canonical({"value": plain(value)})
        parts = (domain, context.encode(errors="backslashreplace"), body)
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return "hmac-sha256:" + hmac.digest(self.key, framed, "sha256").hex()


def plain(value: Any) -> Any:
    """Return a decoded Avro value as JSON without floats; bytes as SHA-256 and length."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bytes):
        return {"sha256": hashlib.sha256(value).hexdigest(), "length_bytes": len(value)}
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def redactor(definition: Mapping[str, Any], digester: Digester) -> Keep:
    """Return what turns a decoded record of this schema into the fields the log keeps."""
    return _record(definition, "", digester, {})


def _record(definition: Mapping[str, Any], path: str, digester: Digester, named: dict[str, Any]) -> Keep:
    keepers: dict[str, Keep] = {}
    for field in definition["fields"]:
        name = field["name"]
        inner = f"{path}{name}"
        keep = _type(field["type"], inner, digester, named)
        keepers[name] = keep if field.get("pii") is False else _personal(inner, name, digester)
    return lambda datum, place: {name: keep(datum[name], place) for name, keep in keepers.items()}


def _type(schema: Any, path: str, digester: Digester, named: dict[str, Any]) -> Keep:
    if isinstance(schema, list):
        return _union(schema, path, digester, named)
    if isinstance(schema, str):
        found = named.get(schema.rpartition(".")[2])
        return _leaf if found is None else _type(found, path, digester, named)
    kind = schema["type"]
    if "name" in schema:
        named[schema["name"]] = schema
    if kind == "record":
        return _record(schema, f"{path}.", digester, named)
    if kind == "array":
        item = _type(schema["items"], f"{path}[]", digester, named)
        return lambda value, place: [item(each, place) for each in value]
    if kind == "map":
        item = _type(schema["values"], f"{path}{{}}", digester, named)
        return lambda value, place: {name: item(each, place) for name, each in value.items()}
    return _leaf


def _union(schema: list[Any], path: str, digester: Digester, named: dict[str, Any]) -> Keep:
    branches = [branch for branch in schema if branch != "null"]
    keepers = [_type(branch, path, digester, named) for branch in branches]
    if all(keep is _leaf for keep in keepers):
        return _leaf
    if len(keepers) == 1:
        return lambda value, place: None if value is None else keepers[0](value, place)
    return _personal(path, "", digester)


def _leaf(value: Any, _place: str) -> Any:
    return plain(value)


def _personal(path: str, name: str, digester: Digester) -> Keep:
    if name in LINKABLE:
        return lambda value, _place: None if value is None else digester.linkable(name, value)
    return lambda value, place: None if value is None else digester.placed(f"{place}/{path}", value)
