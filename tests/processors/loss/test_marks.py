import pytest

from processors.loss.marks import ESTIMATED, booked_as, cause_column, stated, with_origin
from processors.loss.rows import Row
from processors.loss.session import Session
from schemas.symbols import FrameKind, Reason


def row(**fields) -> Row:
    return Row(**{**dict.fromkeys(Row._fields, 0), **fields})


@pytest.mark.parametrize(
    ("kind", "reason", "column"),
    [
        (FrameKind.RESUMED, Reason.UNKNOWN, "paused"),
        (FrameKind.DISCARDED, Reason.UNKNOWN, "discarded"),
        (FrameKind.GAP, Reason.OVERFLOW, "dropped"),
        (FrameKind.GAP, Reason.LATE, "late"),
        (FrameKind.GAP, Reason.OTHER, "lost"),
    ],
)
def test_a_mark_is_booked_under_its_cause(kind, reason, column):
    assert booked_as(row(kind=kind.code, reason=reason.code)) == column
    assert cause_column(Reason.TAKEOVER.code) == "reconnect"


def test_what_a_mark_states_is_in_the_unit_of_its_session():
    session = Session(rate_hz=8000, head=7, begin=0, window_start=0)
    assert stated(session, row(rate_hz=16_000, position=320, duration=160)) == (160, 80)
    assert stated(session, row(rate_hz=8000, position=-1, duration=-1)) == (7, -1)


@pytest.mark.parametrize(
    ("reason", "numbered", "estimated"),
    [
        (Reason.TAKEOVER, True, True),
        (Reason.RESTART, True, True),
        (Reason.RECONNECT, False, True),
        (Reason.LOST_IN_NETWORK, False, True),
        (Reason.LOST_IN_NETWORK, True, False),
        (Reason.OVERFLOW, False, False),
        (Reason.SECURE_PAUSE, False, False),
    ],
)
def test_a_gap_whose_length_comes_from_arrival_times_says_so(reason, numbered, estimated):
    assert with_origin(reason.code, numbered=numbered) == reason.code + ESTIMATED * estimated
