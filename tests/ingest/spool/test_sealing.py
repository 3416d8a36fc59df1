import base64

import pytest

from ingest.spool.sealing import AesGcm, CannotOpen, parse_key, read_key

KEY = bytes(range(32))


@pytest.mark.parametrize("text", [KEY.hex(), base64.b64encode(KEY).decode() + "\n", f" {KEY.hex().upper()}\n"])
def test_a_key_is_read_as_hex_or_base64(text, tmp_path):
    path = tmp_path / "key"
    path.write_text(text)
    assert read_key(path) == KEY


@pytest.mark.parametrize("text", ["", "abc", "00" * 31, base64.b64encode(bytes(16)).decode(), "zz" * 32, "!" * 44])
def test_what_is_no_key_is_refused_and_not_quoted(text):
    with pytest.raises(ValueError, match="holds no key") as refused:
        parse_key(text)
    assert not text or text not in str(refused.value)


def test_a_key_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_key(tmp_path / "key")
    (tmp_path / "binary").write_bytes(bytes([255] * 32))
    with pytest.raises(ValueError, match="holds no key"):
        read_key(tmp_path / "binary")


def test_sealed_bytes_open_only_whole_with_their_key_and_in_their_place():
    seal = AesGcm(KEY)
    sealed = seal.close(b"audio", b"here")
    assert seal.open(sealed, b"here") == b"audio"
    assert b"audio" not in sealed
    assert seal.close(b"audio", b"here") != sealed
    for opener, data, place in (
        (seal, sealed, b"there"),
        (AesGcm(bytes(32)), sealed, b"here"),
        (seal, sealed[:-1], b"here"),
        (seal, b"", b"here"),
    ):
        with pytest.raises(CannotOpen):
            opener.open(data, place)


def test_keys_have_different_ids_that_are_no_part_of_them():
    assert AesGcm(KEY).key_id != AesGcm(bytes(32)).key_id
    assert AesGcm(KEY).key_id not in KEY
