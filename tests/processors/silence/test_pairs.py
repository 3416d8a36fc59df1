import pytest

from processors.silence.pairs import SKEW_S, Pair, lag_of, packed, shares, unpacked
from processors.silence.tracks import ALL, DOWN, UP
from processors.silence.tuning import Tuning, limits
from schemas.records import ActivityWindow, Origin, SilenceEvent
from schemas.symbols import ActivityKind, EndedBy, SilenceEventKind

RATE_HZ = 8000
LIMITS = limits(Tuning(), RATE_HZ)
LAG = lag_of(LIMITS, RATE_HZ)
COMMON = {"conversation_id": "c", "session_id": "s", "origin": Origin(topic="", partition=0, offset=0, index=0)}
BEGINS = {
    SilenceEventKind.SPEECH: SilenceEventKind.SPEECH_STARTED,
    SilenceEventKind.SILENCE: SilenceEventKind.SILENCE_STARTED,
}
SPEECH, SILENCE = BEGINS


def began(kind: SilenceEventKind, start_s: float) -> SilenceEvent:
    return SilenceEvent(kind=BEGINS[kind], start_samples=round(start_s * RATE_HZ), **COMMON)


def over(kind: SilenceEventKind, end_s: float, ended_by: EndedBy = EndedBy.SPEECH) -> SilenceEvent:
    return SilenceEvent(kind=kind, end_samples=round(end_s * RATE_HZ), ended_by=ended_by, **COMMON)


def second(end_s: float, kind: ActivityKind = ActivityKind.WINDOW, **fields) -> ActivityWindow:
    return ActivityWindow(kind=kind, end_samples=round(end_s * RATE_HZ), **COMMON, **fields)


def told(pair: Pair, *facts: tuple[int, SilenceEvent | ActivityWindow]) -> list[tuple]:
    """What facts about the sides bring, one after another, the pair packed and unpacked between any two."""
    found = []
    for side, record in facts:
        pair.take(side, record, LAG)
        found += pair.advance(LIMITS)
        pair.__init__(pair.numbers())  # type: ignore[misc]
    return [(span.kind.value, span.side, span.start / RATE_HZ, span.end / RATE_HZ) for span in found if span.end >= 0]


def test_nothing_is_said_before_both_sides_are_certain():
    pair = Pair(rate_hz=RATE_HZ)
    facts = [(0, began(SPEECH, 1)), (0, over(SPEECH, 3, EndedBy.SILENCE)), (1, began(SPEECH, 2)), (0, second(9))]
    assert told(pair, *facts) == []
    assert told(pair, (1, over(SPEECH, 4, EndedBy.SILENCE)), (1, second(4))) == [("OVERTALK", ALL, 2, 3)]


def test_who_begins_while_the_other_speaks_interrupts_and_who_begins_behind_it_answers():
    pair = Pair(rate_hz=RATE_HZ)
    told(pair, (0, began(SPEECH, 1)), (1, began(SPEECH, 2)), (0, over(SPEECH, 3)), (1, over(SPEECH, 5)))
    answer = told(pair, (0, began(SPEECH, 5.5)), (0, second(8)), (1, second(8)))
    assert ("RESPONSE", 0, 5, 5.5) in answer
    totals = [pair.total(side, second(8)) for side in (0, 1)]
    assert [(one.interruptions, one.responses, one.response_mean_ms) for one in totals] == [(0, 1, 500), (1, 0, -1)]


def test_nobody_answers_across_a_stop_of_the_audio_of_either_side():
    pair = Pair(rate_hz=RATE_HZ)
    told(pair, (0, began(SPEECH, 1)), (0, over(SPEECH, 2)))
    pair.interrupt(1, round(2.5 * RATE_HZ))
    assert told(pair, (1, began(SPEECH, 3)), (0, second(9)), (1, second(9))) == []


def test_a_side_far_behind_is_waited_for_no_longer_and_what_it_tells_late_counts_from_there():
    pair = Pair(rate_hz=RATE_HZ)
    silent = [(side, began(SILENCE, 0)) for side in (0, 1)]
    assert told(pair, *silent, (1, second(1)), (0, second(30))) == []
    ahead_s = 30 - SKEW_S - LAG / RATE_HZ
    late = [(1, over(SILENCE, 2)), (1, second(30)), (0, second(31))]
    assert told(pair, *late) == [("DEAD_AIR", ALL, 0, pytest.approx(ahead_s))]


@pytest.mark.parametrize("why", [(EndedBy.SPEECH, EndedBy.SOUND), (EndedBy.SOUND, EndedBy.SPEECH)])
def test_speech_counts_where_it_ends_dead_air_together_with_other_sound(why):
    pair = Pair(rate_hz=RATE_HZ)
    for side in (0, 1):
        for record in (began(SILENCE, 0), over(SILENCE, 5, why[side]), second(9)):
            pair.take(side, record, LAG)
    assert pair.advance(LIMITS)[-1].ended_by is EndedBy.SPEECH


def test_a_stop_told_again_and_again_is_kept_once():
    pair = Pair(rate_hz=RATE_HZ)
    told(pair, (0, began(SPEECH, 1)), (1, began(SPEECH, 2)))
    before = len(pair.numbers())
    for _ in range(9):
        pair.interrupt(0, 3 * RATE_HZ)
    assert len(pair.numbers()) == before + 4


def test_nobody_interrupts_or_answers_long_ago():
    pair = Pair(rate_hz=RATE_HZ)
    assert told(pair, (1, began(SPEECH, 0)), (0, began(SPEECH, 1)), (0, second(40))) == []
    times = [(1, over(SPEECH, 2)), (1, began(SPEECH, 3)), (1, over(SPEECH, 4)), (1, began(SPEECH, 5)), (1, second(6))]
    told(pair, *times)
    assert pair.total(1, second(6)).interruptions == 0


def test_a_side_that_has_ended_is_not_waited_for():
    pair = Pair(rate_hz=RATE_HZ)
    told(pair, (0, began(SPEECH, 1)), (1, began(SPEECH, 1)), (1, second(1)), (0, second(1)))
    assert not pair.left
    pair.take(1, over(SPEECH, 2, EndedBy.GAP), LAG)
    pair.take(1, second(2, ActivityKind.TOTAL), LAG)
    pair.leave(1)
    assert told(pair, (0, second(5))) == [("OVERTALK", ALL, 1, 2)]
    pair.leave(0)
    assert pair.left


def test_no_run_stays_undecided_for_longer_than_the_lag():
    assert LIMITS.run[UP] + LIMITS.run[DOWN] <= LAG
    assert LAG == RATE_HZ * (100 + 260 + 20) // 1000


def test_the_talk_is_shared_where_both_totals_are_known():
    both = [second(9, speech_ms=3000.0), second(9, speech_ms=1000.0)]
    assert [one.talk_share_ratio for one in shares(both)] == [0.75, 0.25]
    assert shares(both[:1]) == both[:1]
    assert [one.talk_share_ratio for one in shares([second(9, speech_ms=0.0)] * 2)] == [-1, -1]


def test_pairs_come_back_from_their_bytes_whatever_slots_they_use():
    pair, other = Pair(rate_hz=RATE_HZ), Pair(rate_hz=RATE_HZ)
    told(pair, (0, began(SPEECH, 1)), (1, began(SILENCE, 2)), (0, second(9)))
    found = unpacked(packed({7: pair, 3: other}, [5, 3, 7]), [1, 2, 4])
    assert {slot: one.numbers() for slot, one in found.items()} == {2: other.numbers(), 4: pair.numbers()}
    assert packed(found, [1, 2, 4]) == packed({7: pair, 3: other}, [5, 3, 7])
    with pytest.raises(ValueError, match="more bytes"):
        unpacked(packed({7: pair}, [7]) + b"x", [0])
