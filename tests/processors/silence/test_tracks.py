from processors.silence.state import TRACK_COLUMNS
from processors.silence.tracks import DOWN, UP, Joint, Track
from schemas.symbols import EndedBy

LIMITS = (0, 260, 100)
BLANK = (0,) * TRACK_COLUMNS


def played(*runs: tuple[int, int], settle: bool = True) -> tuple[Track, list[tuple[int, int, int]]]:
    """A track through runs of (class, blocks of 20), settled at each block; what was confirmed until then."""
    track, head, found = Track(BLANK), 0, []
    for run, blocks in runs:
        track.change(run, head, 10 * head, -head)
        for _ in range(blocks):
            head += 20
            former = track.settle(head, LIMITS) if settle else None
            if former:
                found.append((former.was, former.start, former.end))
    return track, found


def test_a_run_down_is_confirmed_after_its_minimum_and_not_before():
    assert played((DOWN, 12))[0].confirmed == 0
    assert played((DOWN, 13))[0].confirmed == DOWN


def test_up_is_confirmed_over_short_pauses_from_its_first_block_with_the_sums_there():
    track, found = played((DOWN, 20), (UP, 2), (DOWN, 12), (UP, 1))
    assert (track.confirmed, track.start, track.sum, track.odds) == (UP, 400, 4000, -400)
    assert found == [(0, 0, 0), (DOWN, 0, 400)]
    assert track.tried == 0


def test_a_pause_of_a_whole_silence_ends_the_try():
    track, _ = played((DOWN, 20), (UP, 2), (DOWN, 13), (UP, 1))
    assert track.confirmed == DOWN
    assert (track.tried, track.tried_start) == (1, 700)


def test_what_holds_for_certain_reaches_to_where_it_may_have_ended():
    assert played((UP, 10))[0].certain_end(200) == 200
    assert played((UP, 10), (DOWN, 3))[0].certain_end(260) == 200
    assert played((DOWN, 20), (UP, 1), (DOWN, 3))[0].certain_end(480) == 400
    assert played((DOWN, 20), (UP, 1), (DOWN, 13))[0].certain_end(680) == 680


def test_its_deadline_is_the_next_position_at_which_something_is_decided():
    assert played((DOWN, 1))[0].deadline(LIMITS) == 260
    assert played((DOWN, 20), (UP, 1))[0].deadline(LIMITS) == 500
    assert played((DOWN, 20), (UP, 1), (DOWN, 1))[0].deadline(LIMITS) == 420 + 260
    assert played((DOWN, 20))[0].deadline(LIMITS) > 1 << 60


def test_what_it_remembers_is_a_row_that_makes_the_same_track():
    track, _ = played((DOWN, 20), (UP, 2), (DOWN, 3))
    assert Track(track.values()).values() == track.values()
    assert track.end(1000, 5, 6).was == DOWN
    assert track.values() == BLANK


def test_a_joint_stretch_is_stated_only_when_it_was_announced():
    quiet, joint, spans = played((DOWN, 20))[0], Joint(DOWN, (300, 1000), 0, 0, 0), []
    joint.settle(0, [quiet], 280, EndedBy.SPEECH, spans)
    assert (joint.level, spans) == (1, [])
    joint.finish(0, 280, EndedBy.GAP, spans)
    assert spans == []
    joint.settle(0, [quiet], 400, EndedBy.SPEECH, spans)
    joint.finish(0, 400, EndedBy.GAP, spans)
    assert [(span.end, span.ended_by) for span in spans] == [(-1, EndedBy.ONGOING), (400, EndedBy.GAP)]
    assert joint.total == 400
