"""HTTP message signatures as AudioHook uses them (draft-ietf-httpbis-message-signatures-11): what is signed, and how.

`read` takes the two headers apart, `base` builds the text the signature covers, `compute` signs it. Whether a signature
is acceptable now is the question of `auth`.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from ingest.sources.audiohook.structured_fields import (
    InnerList,
    Item,
    MalformedField,
    parse_dictionary,
    serialise,
    serialise_string,
)

REQUIRED = frozenset(
    {
        "@request-target",
        "@authority",
        "audiohook-organization-id",
        "audiohook-session-id",
        "audiohook-correlation-id",
        "x-api-key",
    }
)
"""Components every signature must cover."""

PARAMETERS = frozenset({"keyid", "nonce", "alg", "created", "expires"})
"""Signature parameters there are; any other makes the signature invalid."""

SIGNATURE_BYTES = 32


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as the headers state it: the components it covers, in order, its parameters, its bytes."""

    covered: InnerList
    value: bytes
    keyid: str | None
    nonce: str | None
    algorithm: str | None
    created_s: int | None
    expires_s: int | None

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the covered components, in the order signed."""
        return tuple(str(item.value) for item in self.covered.items)


def read(signature_input: str, signature: str) -> Signature:
    """Return the first signature both headers hold. Raises `MalformedField`."""
    inputs, values = parse_dictionary(signature_input), parse_dictionary(signature)
    label = next((label for label in inputs if label in values), None)
    if label is None:
        message = "no label is in both headers"
        raise MalformedField(message)
    covered, value = inputs[label], values[label]
    if not isinstance(covered, InnerList) or not isinstance(value, Item) or not isinstance(value.value, bytes):
        message = "not a signature"
        raise MalformedField(message)
    _check_components(covered)
    parameters = covered.parameters
    if not set(parameters) <= PARAMETERS:
        message = "an unknown parameter"
        raise MalformedField(message)
    return Signature(
        covered=covered,
        value=value.value,
        keyid=_string(parameters, "keyid"),
        nonce=_string(parameters, "nonce"),
        algorithm=_string(parameters, "alg"),
        created_s=_integer(parameters, "created"),
        expires_s=_integer(parameters, "expires"),
    )


def base(signature: Signature, values: Mapping[str, str]) -> bytes:
    """Return the text the signature covers. `values` are the components of the request; a missing one raises."""
    lines = []
    for name in signature.components:
        if name not in values:
            message = "a covered component is not in the request"
            raise MalformedField(message)
        lines.append(f"{serialise_string(name)}: {values[name]}")
    lines.append(f'"@signature-params": {serialise(signature.covered)}')
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def compute(key: bytes, text: bytes) -> bytes:
    """Return the HMAC-SHA256 of a signature base."""
    return hmac.new(key, text, hashlib.sha256).digest()


def _check_components(covered: InnerList) -> None:
    names = [item.value for item in covered.items]
    plain = all(isinstance(name, str) and name == name.lower() for name in names)
    if not plain or any(item.parameters for item in covered.items):
        message = "a component is not a plain name"
        raise MalformedField(message)
    if len(set(names)) != len(names) or "@signature-params" in names:
        message = "a component is listed twice, or may not be listed"
        raise MalformedField(message)


def _string(parameters: Mapping[str, object], name: str) -> str | None:
    value = parameters.get(name)
    if value is None or isinstance(value, str):
        return value
    message = f"{name} is not a string"
    raise MalformedField(message)


def _integer(parameters: Mapping[str, object], name: str) -> int | None:
    value = parameters.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    message = f"{name} is not an integer"
    raise MalformedField(message)
