import base64
import json

import pytest

from ingest.keys import parse_keys
from tests.ingest.sources.audiohook.test_auth import KEY, SECRET


def test_a_key_file_holds_secrets_as_base64():
    assert parse_keys(json.dumps({KEY: SECRET, "open": ""})) == {KEY: base64.b64decode(SECRET), "open": b""}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"a": 1}', '{"a b": ""}', '{"a": "*"}', '{"a===": ""}'])
def test_a_key_file_that_cannot_be_meant_is_refused_without_quoting_it(text):
    with pytest.raises(ValueError, match=r"^(holds a secret|holds no key|is no JSON)"):
        parse_keys(text)
