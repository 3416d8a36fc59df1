"""The calls that are asked for, as an operator sees them."""

import json

from callstream.follow_list import LAST_US, as_json, table, when
from ingest.publishing import Standing
from schemas.records import Subscription

NOW_US = 1_700_000_000_000_000
WISH = Subscription(
    conversation_id="c-1",
    source_name="media-websocket",
    connection_id="m-1",
    requested_by="operator jo",
    requested_at_us=NOW_US - 60_000_000,
    expires_at_us=NOW_US,
    parameters={"k": "v"},
)
STANDING = [
    Standing("c-1", 2, WISH),
    Standing("c-2/appfoundry", 0, Subscription(conversation_id="c-2", source_name="appfoundry")),
    Standing("\udcff\x1b", 1, "the value is nonsense"),
]


def test_the_table_names_each_call_who_asked_and_what_is_wrong():
    lines = list(table(STANDING, NOW_US))
    assert lines[0].split("  ")[0] == "CONVERSATION"
    for words in ("c-1", "media-websocket", "m-1", "operator jo", "2023-11-14T22:12:20Z", "expired"):
        assert words in lines[1]
    assert lines[2].split() == ["c-2", "appfoundry"]
    assert "cannot be read: the value is nonsense" in lines[3]
    assert all(line.isprintable() for line in lines)


def test_json_has_every_field_and_says_what_cannot_be_read():
    first, second, third = json.loads(as_json(STANDING, NOW_US))
    assert (first["key"], first["partition"], first["parameters"], first["expired"]) == ("c-1", 2, {"k": "v"}, True)
    assert (first["requested_at"], first["expires_at"]) == ("2023-11-14T22:12:20Z", "2023-11-14T22:13:20Z")
    assert (second["key"], second["expires_at"], second["expired"]) == ("c-2/appfoundry", None, False)
    assert (third["error"], third["partition"]) == ("the value is nonsense", 1)


def test_no_time_is_an_empty_text():
    assert when(-1) == ""


def test_a_time_beyond_all_calendars_is_listed_and_hides_no_other_call():
    far = Subscription(conversation_id="far", source_name="appfoundry", requested_at_us=2**62, expires_at_us=2**62)
    lines = list(table([Standing("far", 0, far), *STANDING], NOW_US))
    assert lines[1].split() == ["far", "appfoundry", "beyond", "9999", "beyond", "9999"]
    assert json.loads(as_json([Standing("far", 0, far)], NOW_US))[0]["expires_at_us"] == 2**62
    assert when(LAST_US) == "9999-12-31T23:59:59Z"
