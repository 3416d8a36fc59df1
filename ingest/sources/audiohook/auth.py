"""Who may open a session: the upgrade request's headers and the time → admitted, or refused with a reason for us only.

The peer never learns the reason, and a refusal costs the same work whatever it was for: an unknown key is verified
against a random one. Nothing here waits; the floor under the time of a refusal is the server's.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ingest.keys import Key
from ingest.sources.audiohook import signature as http_signature
from ingest.sources.audiohook.messages import is_uuid
from ingest.sources.audiohook.structured_fields import MalformedField

MIN_NONCE_CHARACTERS = 22
ALGORITHM = "hmac-sha256"


class Refusal(StrEnum):
    """Why a request was refused; for the log and the metric, never for the peer."""

    BAD_IDS = "bad_ids"
    NO_KEY = "no_key"
    UNKNOWN_KEY = "unknown_key"
    ORGANISATION = "organisation"
    UNSIGNED = "unsigned"
    HALF_SIGNED = "half_signed"
    MALFORMED = "malformed"
    NOT_COVERED = "not_covered"
    ALGORITHM = "algorithm"
    KEYID = "keyid"
    NONCE = "nonce"
    STALE = "stale"
    FUTURE = "future"
    EXPIRED = "expired"
    MISMATCH = "mismatch"
    REPLAYED = "replayed"


@dataclass(frozen=True, slots=True)
class Identity:
    """The ids of a request's headers, as sent."""

    organization_id: str
    session_id: str
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request may become a session of this identity."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Refused:
    """The request is refused: 400 where its ids are unusable, else 401."""

    reason: Refusal
    correlation_id: str | None

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return 400 if self.reason is Refusal.BAD_IDS else 401


@dataclass(frozen=True, slots=True)
class Window:
    """How old a signature may be, and how far the clocks may differ."""

    max_age_s: float = 10.0
    skew_s: float = 5.0


class NonceCache:
    """Remembers the nonces of accepted signatures for as long as they could be accepted again. Bounded."""

    def __init__(self, keep_s: float, limit: int = 100_000) -> None:
        self._keep_s = keep_s
        self._limit = limit
        self._seen: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def remember(self, api_key: str, session_id: str, nonce: str, now_s: float) -> bool:
        """Take a nonce down; False when it was already there."""
        while self._seen and (next(iter(self._seen.values())) < now_s - self._keep_s or len(self._seen) >= self._limit):
            self._seen.popitem(last=False)
        entry = (api_key, session_id, nonce)
        if entry in self._seen:
            return False
        self._seen[entry] = now_s
        return True


class Authenticator:
    """Decides over upgrade requests with the keys it was given; `use` gives it others, and forgets no nonce.

    `authority` stands for the host a request names, where a proxy in front of us puts in another.
    """

    def __init__(
        self,
        keys: Mapping[str, Key],
        *,
        window: Window | None = None,
        authority: str | None = None,
        refuse_replays: bool = True,
    ) -> None:
        self._keys: list[tuple[bytes, Key]] = []
        self._window = window or Window()
        self._authority = None if authority is None else _plain_authority(authority)
        self._nonces = NonceCache(self._window.max_age_s + 2 * self._window.skew_s) if refuse_replays else None
        self._dummy = Key(secrets.token_bytes(http_signature.SIGNATURE_BYTES))
        self.use(keys)

    def use(self, keys: Mapping[str, Key]) -> None:
        """Decide with these keys from now on."""
        self._keys = [(_digest(api_key), key) for api_key, key in keys.items()]

    def decide(self, target: str, headers: Iterable[tuple[str, str]], now_s: float) -> Admitted | Refused:
        """Return whether a request for `target` (path and query as on the request line) may become a session.

        `headers` are the request's fields in order, repeated ones included; `now_s` is time since the epoch.
        """
        fields = combine(headers)
        ids = [fields.get(f"audiohook-{name}-id", "") for name in ("organization", "session", "correlation")]
        correlation_id = ids[2] if is_uuid(ids[2]) else None
        if not all(map(is_uuid, ids)):
            return Refused(Refusal.BAD_IDS, correlation_id)
        identity = Identity(organization_id=ids[0], session_id=ids[1], correlation_id=ids[2])
        refusal = self._check(target, fields, identity, now_s)
        return Admitted(identity) if refusal is None else Refused(refusal, correlation_id)

    def _check(  # noqa: PLR0911 - one refusal per line
        self, target: str, fields: Mapping[str, str], identity: Identity, now_s: float
    ) -> Refusal | None:
        api_key = fields.get("x-api-key", "")
        if not api_key:
            return Refusal.NO_KEY
        key = self._find(api_key)
        signed = ("signature" in fields, "signature-input" in fields)
        if not any(signed):
            if key is None:
                return Refusal.UNKNOWN_KEY
            return Refusal.UNSIGNED if key.secret else _check_organisation(key, identity)
        if not all(signed):
            return Refusal.HALF_SIGNED
        try:
            signature = http_signature.read(fields["signature-input"], fields["signature"])
            text = http_signature.base(signature, self._components(target, fields))
        except MalformedField:
            return Refusal.MALFORMED
        matches = hmac.compare_digest(http_signature.compute((key or self._dummy).secret, text), signature.value)
        if key is None:
            return Refusal.UNKNOWN_KEY
        if not matches:
            return Refusal.MISMATCH
        return _check_organisation(key, identity) or self._check_terms(signature, api_key, identity, now_s)

    def _find(self, api_key: str) -> Key | None:
        """Return what belongs to a key, compared with every known one in the same time; None when there is none."""
        wanted = _digest(api_key)
        found = None
        for digest, key in self._keys:
            if hmac.compare_digest(digest, wanted):
                found = key
        return found

    def _components(self, target: str, fields: Mapping[str, str]) -> dict[str, str]:
        authority = self._authority or _plain_authority(fields.get("host", ""))
        return {**fields, "@request-target": target, "@authority": authority}

    def _check_terms(  # noqa: PLR0911 - one refusal per line
        self, signature: http_signature.Signature, api_key: str, identity: Identity, now_s: float
    ) -> Refusal | None:
        if not http_signature.REQUIRED.issubset(signature.components):
            return Refusal.NOT_COVERED
        if signature.algorithm not in (None, ALGORITHM):
            return Refusal.ALGORITHM
        if signature.keyid != api_key:
            return Refusal.KEYID
        if signature.nonce is None or len(signature.nonce) < MIN_NONCE_CHARACTERS:
            return Refusal.NONCE
        late = self._check_time(signature, now_s)
        if late is not None:
            return late
        if self._nonces and not self._nonces.remember(api_key, identity.session_id, signature.nonce, now_s):
            return Refusal.REPLAYED
        return None

    def _check_time(self, signature: http_signature.Signature, now_s: float) -> Refusal | None:
        window = self._window
        if signature.created_s is None or signature.created_s < now_s - window.max_age_s - window.skew_s:
            return Refusal.STALE
        if signature.created_s > now_s + window.skew_s:
            return Refusal.FUTURE
        if signature.expires_s is not None and signature.expires_s + window.skew_s < now_s:
            return Refusal.EXPIRED
        return None


def _check_organisation(key: Key, identity: Identity) -> Refusal | None:
    bound = key.organisation
    return None if bound in (None, identity.organization_id.lower()) else Refusal.ORGANISATION


def _digest(api_key: str) -> bytes:
    """Return a text of fixed length that stands for a key, so that comparing does not tell how long keys are."""
    return hashlib.sha256(api_key.encode("utf-8", "surrogateescape")).digest()


def _plain_authority(host: str) -> str:
    """Return a host as it is signed: in lower case, and without the port of https."""
    return host.lower().removesuffix(":443")


def combine(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return header fields by lower-case name: values trimmed, folding collapsed, repeated ones joined by a comma."""
    fields: dict[str, str] = {}
    for name, value in headers:
        key, text = name.lower(), " ".join(part.strip() for part in value.splitlines()).strip()
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields
