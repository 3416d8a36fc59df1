import json

from audio.arrival import ArrivalWatch, Stall
from audio.timeline import Missing
from schemas.symbols import Reason
from sinks.recording_sync import session as module
from sinks.recording_sync.session import Session


def begun() -> Session:
    return Session(from_start=True, watch=ArrivalWatch())


def test_a_pause_is_missing_from_its_start_for_as_long_as_the_resume_says():
    found = begun()
    found.pause(100, 8000, Reason.SECURE_PAUSE)
    assert found.paused is not None
    found.resume(-1, 40, 8000, Reason.UNKNOWN)
    assert found.paused is None
    assert found.missing(8000, 0) == [Missing(100, 40, Reason.SECURE_PAUSE)]


def test_a_second_pause_within_a_pause_keeps_the_first_start():
    found = begun()
    found.pause(100, 8000, Reason.OWN_PAUSE)
    found.pause(150, 8000, Reason.SECURE_PAUSE)
    found.resume(-1, 80, 8000, Reason.UNKNOWN)
    assert found.missing(8000, 0) == [Missing(100, 80, Reason.SECURE_PAUSE)]


def test_marks_are_told_in_the_rate_of_the_file_they_concern():
    found = begun()
    found.mark(8000, 800, 8000, Reason.OVERFLOW)
    found.mark(100, -1, 8000, Reason.RECONNECT)
    assert found.missing(16000, 0) == [Missing(16000, 1600, Reason.OVERFLOW), Missing(200, -1, Reason.RECONNECT)]
    assert found.missing(16000, 201) == [Missing(16000, 1600, Reason.OVERFLOW)]


def test_marks_are_bounded_and_those_left_out_counted(monkeypatch):
    monkeypatch.setattr(module, "MOST_MARKS", 2)
    found = begun()
    for start in range(5):
        found.mark(start, 1, 8000, Reason.OVERFLOW)
    assert len(found.marks) == 2
    assert found.left_out["marks"] == 3


def test_the_state_survives_as_json():
    found = begun()
    found.mark(1, 2, 8000, Reason.OVERFLOW)
    found.pause(5, 8000, Reason.SECURE_PAUSE)
    found.noted(Stall(3, 900))
    found.left_out["empty"] += 1
    assert Session.from_json(json.loads(json.dumps(found.to_json()))) == found
