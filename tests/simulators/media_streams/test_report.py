import hashlib
import json

from simulators.media_streams.report import InteractionReport
from simulators.media_streams.script import Script


def test_a_report_accounts_for_what_was_sent_and_in_which_order():
    plan = Script(audio=bytes(range(160)) * 5, first_sequence_number=9).plan()
    report = InteractionReport(plan)
    report.sent.extend([plan.packets[0], plan.packets[3], plan.packets[2], plan.packets[2]])
    assert report.sequence_numbers == [9, 12, 11, 11]
    assert report.sha256 == hashlib.sha256(b"".join(packet.payload for packet in report.sent)).hexdigest()
    assert (report.truth().lost, report.truth().reordered, report.truth().duplicates) == (1, 1, 1)
    assert plan.truth().lost == 0
    plain = json.loads(json.dumps(report.as_json()))
    assert plain["packets"] == 4
    assert plain["truth"]["lost_spans"] == [[160, 320]]


def test_a_report_of_nothing_is_empty():
    plain = InteractionReport(Script(audio=bytes(320)).plan()).as_json()
    assert plain["sequence_numbers"] == []
    assert plain["truth"]["expected"] == 0
    assert plain["ended"] is False
