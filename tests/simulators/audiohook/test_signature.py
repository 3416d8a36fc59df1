import pytest

from simulators.audiohook.signature import Credentials, Freshness, sign, target_and_authority

HEADERS = {
    "Audiohook-Organization-Id": "d7934305-0972-4844-938e-9060eef73d05",
    "Audiohook-Session-Id": "30b0e395-84d3-4570-ac13-9a62d8f514c0",
    "Audiohook-Correlation-Id": "e160e428-53e2-487c-977d-96989bf5c99d",
    "X-API-KEY": "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh",
}
URL = "wss://audiohook.example.com/api/v1/voicebiometrics/ws"
CREDENTIALS = Credentials(HEADERS["X-API-KEY"], "TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU=")
FRESH = Freshness("VGhpc0lzQVVuaXF1ZU5vbmNl", 1641013200, 3282026430)


def test_the_documented_example_gives_the_documented_signature():
    signed = sign(HEADERS, URL, CREDENTIALS, FRESH)
    assert signed["Signature"] == "sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:"
    assert signed["Signature-Input"] == (
        'sig1=("@request-target" "@authority" "audiohook-organization-id" "audiohook-session-id"'
        ' "audiohook-correlation-id" "x-api-key");keyid="SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh"'
        ';nonce="VGhpc0lzQVVuaXF1ZU5vbmNl";alg="hmac-sha256";created=1641013200;expires=3282026430'
    )


@pytest.mark.parametrize("name", HEADERS)
def test_every_covered_header_changes_the_signature(name):
    changed = HEADERS | {name: HEADERS[name] + "0"}
    assert sign(changed, URL, CREDENTIALS, FRESH)["Signature"] != sign(HEADERS, URL, CREDENTIALS, FRESH)["Signature"]


def test_header_names_count_in_any_case():
    lower = {name.lower(): value for name, value in HEADERS.items()}
    assert sign(lower, URL, CREDENTIALS, FRESH) == sign(HEADERS, URL, CREDENTIALS, FRESH)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://127.0.0.1:3900/a/b?c=d&e", ("/a/b?c=d&e", "127.0.0.1:3900")),
        ("wss://Example.COM:443", ("/", "example.com")),
        ("ws://example.com:80/x", ("/x", "example.com")),
        ("wss://example.com:80/x", ("/x", "example.com:80")),
        ("ws://[::1]:8080/x", ("/x", "[::1]:8080")),
    ],
)
def test_target_and_authority_follow_the_url(url, expected):
    assert target_and_authority(url) == expected


def test_nothing_is_signed_without_a_secret_or_a_covered_header():
    with pytest.raises(ValueError, match="secret"):
        sign(HEADERS, URL, Credentials("key"), FRESH)
    with pytest.raises(ValueError, match="x-api-key"):
        sign({}, URL, CREDENTIALS, FRESH)
