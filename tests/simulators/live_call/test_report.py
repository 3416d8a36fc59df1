import hashlib
import json

from simulators.live_call.report import LiveReport
from simulators.live_call.script import Script


def test_a_report_accounts_for_what_was_sent_and_in_which_order():
    plan = Script(audio=bytes(range(160)) * 5).plan()
    report = LiveReport(plan)
    report.sent += [plan.chunks[0], plan.chunks[3], plan.chunks[2]]
    report.said.append("{")
    assert report.sha256 == hashlib.sha256(b"".join(chunk.payload for chunk in report.sent)).hexdigest()
    assert report.missing == ((160, 320),)
    assert json.loads(json.dumps(report.as_json())) == {
        "chunks": 3,
        "sha256": report.sha256,
        "missing": [[160, 320]],
        "said": 1,
        "listeners": 0,
        "cuts": 0,
        "closes": 0,
        "ended": False,
    }


def test_a_report_of_nothing_is_empty():
    report = LiveReport(Script(audio=bytes(320)).plan())
    assert report.missing == ()
    assert report.as_json()["chunks"] == 0
