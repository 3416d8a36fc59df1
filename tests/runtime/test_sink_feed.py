import hashlib
import json

from runtime.sink_feed import _kept


def test_a_dead_letter_keeps_the_bytes_as_received():
    assert _kept("calls.audio", b"\x00bytes") == b"\x00bytes"
    assert _kept("calls.audio", None) is None


def test_of_an_unreadable_call_event_only_length_and_digest_are_kept():
    kept = _kept("calls.events", b"digits 4111")
    assert json.loads(kept) == {"length_bytes": 11, "sha256": hashlib.sha256(b"digits 4111").hexdigest()}
    assert b"4111" not in kept.replace(hashlib.sha256(b"digits 4111").hexdigest().encode(), b"")
