import base64

import pytest

from ingest.sources.audiohook.signature import base, compute, read
from ingest.sources.audiohook.structured_fields import MalformedField

BYTES = base64.b64encode(bytes(32)).decode()


def test_the_second_known_vector_is_computed():
    """RFC 9421 appendix B.2.5: `date`, `@authority`, `content-type` with the key `test-shared-secret`."""
    key = base64.b64decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
    covered = '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
    wanted = "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="
    values = {
        "date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "@authority": "example.com",
        "content-type": "application/json",
    }
    signature = read(f"sig-b25={covered}", f"sig-b25=:{wanted}:")
    assert base64.b64encode(compute(key, base(signature, values))).decode() == wanted


def test_the_base_has_one_line_for_each_component_and_no_line_end_behind_the_last():
    signature = read('s=("b" "a"); nonce="n"', f"s=:{BYTES}:")
    assert base(signature, {"a": "1", "b": "2"}) == b'"b": 2\n"a": 1\n"@signature-params": ("b" "a");nonce="n"'


def test_the_first_label_both_headers_hold_is_taken():
    signature = read('other=("a"), s=("b");keyid="k"', f"s=:{BYTES}:")
    assert signature.components == ("b",)


@pytest.mark.parametrize(
    ("signature_input", "signature"),
    [
        ('s=("a")', f"t=:{BYTES}:"),
        ('s="a"', f"s=:{BYTES}:"),
        ('s=("a")', 's="text"'),
        ('s=("a" "a")', f"s=:{BYTES}:"),
        ('s=("A")', f"s=:{BYTES}:"),
        ('s=("a";sf)', f"s=:{BYTES}:"),
        ('s=("@signature-params")', f"s=:{BYTES}:"),
        ("s=(7)", f"s=:{BYTES}:"),
        ('s=("a");tag="x"', f"s=:{BYTES}:"),
        ('s=("a");created="1"', f"s=:{BYTES}:"),
        ('s=("a");nonce=1', f"s=:{BYTES}:"),
    ],
)
def test_a_signature_that_cannot_be_meant_is_refused(signature_input, signature):
    with pytest.raises(MalformedField):
        read(signature_input, signature)


def test_a_component_the_request_does_not_have_cannot_be_signed():
    with pytest.raises(MalformedField):
        base(read('s=("a")', f"s=:{BYTES}:"), {})
