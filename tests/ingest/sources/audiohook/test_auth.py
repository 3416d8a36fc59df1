import base64
import json

import pytest

from ingest.keys import Key, decode_secret
from ingest.sources.audiohook import auth
from ingest.sources.audiohook.auth import Admitted, Authenticator, NonceCache, Refusal, Refused
from ingest.sources.audiohook.signature import base as signature_base
from ingest.sources.audiohook.signature import compute, read
from tests.ingest.sources.audiohook.words import CORRELATION, ORGANIZATION, SESSION

KEY = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh"
SECRET = "TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU="
TARGET = "/api/v1/voicebiometrics/ws"
HOST = "audiohook.example.com"
NONCE = "VGhpc0lzQVVuaXF1ZU5vbmNl"
CREATED = 1641013200
COMPONENTS = (
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
)
DERIVED = {"@request-target": TARGET, "@authority": HOST}
GOLDEN = "NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4="


def headers(**changes: str | None) -> list[tuple[str, str]]:
    found = {
        "Host": HOST,
        "Audiohook-Organization-Id": ORGANIZATION,
        "Audiohook-Session-Id": SESSION,
        "Audiohook-Correlation-Id": CORRELATION,
        "X-API-KEY": KEY,
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return [(name, value) for name, value in found.items() if value is not None]


def covered(components=COMPONENTS, **changes) -> str:
    parameters = {
        "keyid": KEY,
        "nonce": NONCE,
        "alg": "hmac-sha256",
        "created": CREATED,
        "expires": 3282026430,
        **changes,
    }
    names = " ".join(f'"{name}"' for name in components)
    texts = [f";{k}={json.dumps(v)}" for k, v in parameters.items() if v is not None]
    return f"sig1=({names}){''.join(texts)}"


def signed(components=COMPONENTS, *, secret: str = SECRET, target: str = TARGET, extra: dict | None = None, **changes):
    """The header fields of a request signed as the platform would."""
    request = headers(**(extra or {}))
    inputs = covered(components, **changes)
    fields = {**auth.combine(request), "@request-target": target}
    fields["@authority"] = fields["host"].lower()
    text = signature_base(read(inputs, f"sig1=:{GOLDEN}:"), fields)
    value = base64.b64encode(compute(decode_secret(secret), text)).decode()
    return [*request, ("signature-input", inputs), ("signature", f"sig1=:{value}:")]


def authenticator(**changes) -> Authenticator:
    return Authenticator({KEY: Key(decode_secret(SECRET)), "open": Key(b"")}, **changes)


def decide(request, *, target: str = TARGET, now_s: float = CREATED, **changes):
    return authenticator(**changes).decide(target, request, now_s)


def refusal(decision) -> Refusal:
    assert isinstance(decision, Refused)
    return decision.reason


def test_the_golden_vector_is_admitted():
    request = [*headers(), ("Signature-Input", covered()), ("Signature", f"sig1=:{GOLDEN}:")]
    assert decide(request) == Admitted(auth.Identity(ORGANIZATION, SESSION, CORRELATION))


def test_the_golden_vector_is_what_this_test_signs():
    assert dict(signed())["signature"] == f"sig1=:{GOLDEN}:"


@pytest.mark.parametrize(
    "components",
    [
        COMPONENTS[::-1],
        ("@request-target", *COMPONENTS[3:1:-1], *COMPONENTS[4:], "@authority"),
        (*COMPONENTS, "user-agent"),
    ],
)
def test_components_in_any_order_and_further_ones_are_admitted(components):
    assert isinstance(decide(signed(components, extra={"User-Agent": "x"})), Admitted)


def test_a_query_is_part_of_what_is_signed():
    assert isinstance(decide(signed(target="/a?b=c"), target="/a?b=c"), Admitted)
    assert refusal(decide(signed(target="/a?b=c"), target="/a?b=d")) is Refusal.MISMATCH


@pytest.mark.parametrize("missing", COMPONENTS)
def test_a_signature_must_cover_every_mandatory_component(missing):
    request = signed([name for name in COMPONENTS if name != missing])
    assert refusal(decide(request)) is Refusal.NOT_COVERED


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (headers(X_API_KEY=None), Refusal.NO_KEY),
        (headers(X_API_KEY="other"), Refusal.UNKNOWN_KEY),
        (signed(extra={"X_API_KEY": "other"}, keyid="other"), Refusal.UNKNOWN_KEY),
        (headers(), Refusal.UNSIGNED),
        (signed()[:-1], Refusal.HALF_SIGNED),
        ([*signed()[:-2], signed()[-1]], Refusal.HALF_SIGNED),
        (signed(secret=base64.b64encode(b"wrong").decode()), Refusal.MISMATCH),
        (signed(secret=base64.b64encode(SECRET.encode()).decode()), Refusal.MISMATCH),
        ([*signed()[:-1], ("signature", "sig1=:AAAA:")], Refusal.MISMATCH),
        ([*signed()[:-1], ("signature", "sig1=?")], Refusal.MALFORMED),
        (signed(keyid="other"), Refusal.KEYID),
        (signed(alg="hmac-sha512"), Refusal.ALGORITHM),
        (signed(nonce="short"), Refusal.NONCE),
        (signed(nonce=None), Refusal.NONCE),
        (signed(created=None), Refusal.STALE),
        (signed(created=CREATED - 16), Refusal.STALE),
        (signed(created=CREATED + 6), Refusal.FUTURE),
        (signed(expires=CREATED - 6), Refusal.EXPIRED),
        (signed(extra={"X_API_KEY": "open"}, keyid="open"), Refusal.MISMATCH),
    ],
)
def test_a_request_is_refused_with_401_and_its_reason_for_us(request_, reason):
    decision = decide(request_)
    assert refusal(decision) is reason
    assert decision.status == 401
    assert decision.correlation_id == CORRELATION


@pytest.mark.parametrize(
    "request_",
    [
        signed(alg=None),
        signed(created=CREATED - 14),
        signed(created=CREATED + 4),
        signed(expires=CREATED - 4),
        signed(expires=None),
        headers(X_API_KEY="open"),
    ],
)
def test_a_request_within_the_rules_is_admitted(request_):
    assert isinstance(decide(request_), Admitted)


@pytest.mark.parametrize("name", ["Organization", "Session", "Correlation"])
@pytest.mark.parametrize("value", [None, "", "no-uuid"])
def test_a_request_without_its_ids_is_a_bad_request(name, value):
    decision = decide(headers(**{f"Audiohook_{name}_Id": value}))
    assert refusal(decision) is Refusal.BAD_IDS
    assert decision.status == 400


@pytest.mark.parametrize("position", range(len(signed())))
def test_a_tampered_header_is_refused(position):
    request = signed()
    name, value = request[position]
    request[position] = (name, value[:-6] + ("0" if value[-6] != "0" else "1") + value[-5:])
    assert isinstance(decide(request), Refused)


def test_a_header_added_a_second_time_is_part_of_what_is_signed():
    assert isinstance(decide([*signed(), ("x-api-key", "more")]), Refused)


def test_behind_a_proxy_the_configured_authority_is_what_was_signed():
    request = [(name, "10.0.0.7" if name == "Host" else value) for name, value in signed()]
    assert refusal(decide(request)) is Refusal.MISMATCH
    assert isinstance(decide(request, authority=HOST), Admitted)


def test_the_same_nonce_is_admitted_once_unless_replays_are_allowed():
    strict, lenient = authenticator(), authenticator(refuse_replays=False)
    assert isinstance(strict.decide(TARGET, signed(), CREATED), Admitted)
    assert refusal(strict.decide(TARGET, signed(), CREATED + 1)) is Refusal.REPLAYED
    other = signed(extra={"Audiohook_Session_Id": CORRELATION})
    assert isinstance(strict.decide(TARGET, other, CREATED + 1), Admitted)
    assert all(isinstance(lenient.decide(TARGET, signed(), CREATED), Admitted) for _ in range(2))


def test_a_refused_request_does_not_use_its_nonce_up():
    checked = authenticator()
    assert refusal(checked.decide(TARGET, signed(secret="AAAA"), CREATED)) is Refusal.MISMATCH
    assert isinstance(checked.decide(TARGET, signed(), CREATED), Admitted)


def test_nonces_are_forgotten_when_they_could_not_be_accepted_again_and_their_number_is_bounded():
    cache = NonceCache(keep_s=20, limit=3)
    assert cache.remember("k", "s", "n", 0)
    assert not cache.remember("k", "s", "n", 20)
    assert cache.remember("k", "s", "n", 20.1)
    assert all(cache.remember("k", "s", str(number), 21) for number in range(10))
    assert cache.remember("k", "s", "n", 21)


def test_header_fields_are_trimmed_unfolded_and_joined():
    fields = auth.combine([("A", " 1 "), ("a", "2"), ("B", "x\r\n  y")])
    assert fields == {"a": "1, 2", "b": "x y"}


def test_a_signature_covers_the_canonical_form_of_its_parameters_not_their_padding():
    padded = covered().replace(";", "; ")
    request = [*headers(), ("Signature-Input", padded), ("Signature", f"sig1=:{GOLDEN}:")]
    assert isinstance(decide(request), Admitted)
    text = signature_base(read(padded, f"sig1=:{GOLDEN}:"), {**auth.combine(headers()), **DERIVED})
    raw = text.replace(b";", b"; ")
    assert raw != text
    value = base64.b64encode(compute(decode_secret(SECRET), raw)).decode()
    assert value.startswith("GUHjr304")
    request = [*headers(), ("Signature-Input", padded), ("Signature", f"sig1=:{value}:")]
    assert refusal(decide(request)) is Refusal.MISMATCH


def test_the_method_is_no_part_of_the_request_target():
    assert refusal(decide(signed(target=f"GET {TARGET}"))) is Refusal.MISMATCH


@pytest.mark.parametrize(
    ("sent", "signed_as"),
    [("AudioHook.Example.com", HOST), (f"{HOST}:443", HOST), (f"{HOST}:3900", f"{HOST}:3900")],
)
def test_the_authority_is_in_lower_case_without_the_default_port(sent, signed_as):
    request = [(name, sent if name == "Host" else value) for name, value in signed(extra={"Host": signed_as})]
    assert isinstance(decide(request), Admitted)


@pytest.mark.parametrize("authority", [HOST.upper(), f"{HOST}:443"])
def test_a_configured_authority_is_taken_as_it_is_signed(authority):
    request = [(name, "10.0.0.7" if name == "Host" else value) for name, value in signed()]
    assert isinstance(decide(request, authority=authority), Admitted)


def test_a_nonce_has_at_least_22_characters():
    assert isinstance(decide(signed(nonce="n" * 22)), Admitted)
    assert refusal(decide(signed(nonce="n" * 21))) is Refusal.NONCE


def test_the_window_is_the_age_and_the_skew_that_are_configured_to_the_second():
    narrow = auth.Window(max_age_s=3, skew_s=1)
    for created, wanted in ((-4, None), (-5, Refusal.STALE), (1, None), (2, Refusal.FUTURE)):
        decision = decide(signed(created=CREATED + created), window=narrow)
        assert (decision.reason if isinstance(decision, Refused) else None) is wanted
    for expires, wanted in ((-1, None), (-2, Refusal.EXPIRED)):
        decision = decide(signed(expires=CREATED + expires), window=narrow)
        assert (decision.reason if isinstance(decision, Refused) else None) is wanted


def test_of_several_labels_the_first_that_both_headers_hold_counts():
    request = dict(signed())
    request["signature-input"] = f'other=("date"), {request["signature-input"]}, third=("date")'
    assert isinstance(decide(list(request.items())), Admitted)


def test_an_unknown_key_costs_the_same_work_as_a_wrong_signature(monkeypatch):
    computed = []

    def compute_counted(key: bytes, text: bytes) -> bytes:
        computed.append(text)
        return compute(key, text)

    monkeypatch.setattr(auth.http_signature, "compute", compute_counted)
    unknown = signed(extra={"X_API_KEY": "other"}, keyid="other")
    assert refusal(decide(unknown)) is Refusal.UNKNOWN_KEY
    assert refusal(decide(signed(secret="AAAA"))) is Refusal.MISMATCH
    assert len(computed) == 2


def test_a_key_that_is_bound_to_an_organisation_admits_no_other():
    keys = {KEY: Key(decode_secret(SECRET), ORGANIZATION), "open": Key(b"", ORGANIZATION)}
    bound = Authenticator(keys)
    other = {"Audiohook_Organization_Id": CORRELATION}
    assert isinstance(bound.decide(TARGET, signed(), CREATED), Admitted)
    assert isinstance(bound.decide(TARGET, headers(X_API_KEY="open"), CREATED), Admitted)
    assert refusal(bound.decide(TARGET, signed(extra=other), CREATED)) is Refusal.ORGANISATION
    assert refusal(bound.decide(TARGET, headers(X_API_KEY="open", **other), CREATED)) is Refusal.ORGANISATION
    capitals = {"Audiohook_Organization_Id": ORGANIZATION.upper()}
    assert isinstance(bound.decide(TARGET, headers(X_API_KEY="open", **capitals), CREATED), Admitted)


def test_other_keys_count_at_once_and_no_nonce_is_forgotten():
    found = authenticator()
    assert isinstance(found.decide(TARGET, signed(), CREATED), Admitted)
    found.use({"new": Key(decode_secret(SECRET)), KEY: Key(decode_secret(SECRET))})
    assert refusal(found.decide(TARGET, signed(), CREATED)) is Refusal.REPLAYED
    assert isinstance(found.decide(TARGET, signed(extra={"X_API_KEY": "new"}, keyid="new"), CREATED), Admitted)
    found.use({"new": Key(decode_secret(SECRET))})
    assert refusal(found.decide(TARGET, signed(nonce="n" * 24), CREATED)) is Refusal.UNKNOWN_KEY
