"""What Genesys Cloud's operational events of AudioHook mean for our side: code → causes, and what shows which.

The platform's catalogue of operational events (topic `platform.integration.audiohook`) has the texts. `known` says how
we know what stands here: `seen` in what others published of their events, `said` by somebody without showing one, or
`unknown`: then every step of the diagnosis has to be looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class Code:
    """One operational event. `steps` are those of the diagnosis that show whether it is ours."""

    known: Literal["seen", "said", "unknown"]
    meaning: str
    causes: tuple[str, ...]
    steps: tuple[str, ...]


STEPS: Mapping[str, str] = MappingProxyType(
    {
        "address": "the URI is one the platform takes, and its host has an address",
        "certificate": "TLS, the certificate's chain, name and age",
        "probe": "the session with which the platform tries an integration, signed as it signs",
        "refusals": "unsigned, unknown, wrongly signed, old and repeated requests are refused, alike and not too soon",
        "load": "several sessions at once with audio: opened, pong and closed in time",
    }
)
"""Step of the diagnosis → what it tries, in order."""

_ALL = tuple(STEPS)
_UNKNOWN = Code("unknown", "not described in what we could read; the platform's catalogue has its text", (), _ALL)

CODES: Mapping[str, Code] = MappingProxyType(
    {
        "AUDIOHOOK-0001": Code(
            "seen",
            "The provisioned server URI is invalid.",
            (
                "the connection URI is not wss://, names an IP address, or holds a user, a fragment or a typing error",
                "the host of the URI has no address in public DNS",
            ),
            ("address",),
        ),
        "AUDIOHOOK-0002": Code(
            "said",
            "The connection could not be made in time.",
            (
                "a firewall does not let the platform's addresses in (docs/genesys-cloud.md says how to get them)",
                "the certificate is self-signed, expired, of a private authority or of another name",
                "the certificate is sent without its intermediates",
                "ingest is not running, or full (503), or a proxy before it answers in its place (502, 504)",
            ),
            ("address", "certificate", "probe"),
        ),
        "AUDIOHOOK-0003": Code(
            "said",
            "The server refused the request to connect.",
            (
                "API key or client secret in the integration are not those of ingest's key file",
                "the secret was entered as plain text: the platform takes it as base64",
                "the key is bound to another organization",
                "a proxy rewrites host or path, and INGEST_AUDIOHOOK_PUBLIC_AUTHORITY or _PUBLIC_PATH does not say so",
                "the clock of the server is wrong by more than INGEST_AUDIOHOOK_SIGNATURE_SKEW_S",
            ),
            ("probe", "refusals"),
        ),
        "AUDIOHOOK-0004": Code(
            "seen",
            "A message of the server was not valid: sequence number or field.",
            (
                "something between changes, repeats or reorders messages; ingest numbers them from 1 without a hole",
                "another server than ingest answers at this URI",
            ),
            ("probe", "load"),
        ),
        "AUDIOHOOK-0005": _UNKNOWN,
        "AUDIOHOOK-0006": Code(
            "seen",
            "The server did not answer a ping in time (5 s).",
            (
                "ingest's event loop stands still: too little CPU; see callstream_service_loop_stall_seconds",
                "a proxy buffers or limits what the server sends",
                "the network between is slow or loses packets",
            ),
            ("load",),
        ),
        "AUDIOHOOK-0007": _UNKNOWN,
        "AUDIOHOOK-0008": _UNKNOWN,
        "AUDIOHOOK-0009": Code(
            "seen",
            "The session was ended over a message of the server that the platform's validator refused.",
            (
                "as AUDIOHOOK-0004; an unknown field or a wrong first sequence number is reported under either",
                "a binary message was sent to a session that takes none",
            ),
            ("probe", "load"),
        ),
    }
)
"""Code → what we know of it."""


_BY_CAUSE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "unavailable": ("AUDIOHOOK-0002",),
        "refused": ("AUDIOHOOK-0003",),
        "invalid": ("AUDIOHOOK-0004", "AUDIOHOOK-0009"),
        "late": ("AUDIOHOOK-0006",),
    }
)


def of_cause(cause: Literal["unavailable", "refused", "invalid", "late"]) -> tuple[str, ...]:
    """Return the codes of a session that went wrong by what was wrong."""
    return _BY_CAUSE[cause]


def of_step(step: str) -> tuple[str, ...]:
    """Return the codes that a failure of a step can show as; those nobody knows are left out."""
    return tuple(name for name, code in CODES.items() if step in code.steps and code.known != "unknown")
