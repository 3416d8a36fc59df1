import pytest

from processors.silence.breaks import EMPTY_WINDOWS
from schemas.symbols import Channel, Channels, EndedBy, FrameKind, SilenceEventKind
from tests.processors.silence.calls import FIVE_S, QUIET, Call, run


@pytest.mark.parametrize(
    ("kind", "ended_by"),
    [
        (FrameKind.GAP, EndedBy.GAP),
        (FrameKind.DISCARDED, EndedBy.DISCARD),
        (FrameKind.PAUSED, EndedBy.PAUSE),
    ],
)
def test_no_span_covers_what_did_not_arrive(kind, ended_by):
    call = Call().say(QUIET).mark(kind, 9600, moves=kind is not FrameKind.PAUSED)
    if kind is FrameKind.PAUSED:
        call.mark(FrameKind.RESUMED, 9600)
    found = run(call.say(QUIET).close())
    assert found.spans(SilenceEventKind.SILENCE) == [
        ("SILENCE", "EXTERNAL", 0, FIVE_S, ended_by.value),
        ("SILENCE", "EXTERNAL", FIVE_S + 9600, 2 * FIVE_S + 9600, "CLOSED"),
    ]
    total = found.totals[0]
    paused = kind is FrameKind.PAUSED
    assert (total.missing_ms, total.paused_ms) == ((0, 1200) if paused else (1200, 0))
    assert sum(w.missing_ms + w.paused_ms for w in found.windows) == 1200
    assert (total.audio_ms, total.silence_ms, total.longest_silence_ms) == (10_000, 10_000, 5000)


def test_a_jump_without_a_mark_is_a_gap():
    call = Call().say(QUIET)
    call.position += 1234
    found = run(call.say(QUIET).close())
    assert found.spans(SilenceEventKind.SILENCE)[0][3:] == (FIVE_S, "GAP")
    assert found.totals[0].missing_ms == pytest.approx(154.25)


def test_a_mark_about_what_was_already_skipped_ends_nothing_again():
    call = Call().say(QUIET)
    call.position += 160
    call.say(QUIET)
    call.put(FrameKind.GAP, position_samples=FIVE_S, duration_samples=160)
    found = run(call.say(QUIET).close())
    assert len(found.spans(SilenceEventKind.SILENCE)) == 2


def test_a_started_block_counts_when_half_of_it_arrived():
    enough = run(Call().say(QUIET[: 2 * 3280]).close())
    assert enough.spans(SilenceEventKind.SILENCE) == [("SILENCE", "EXTERNAL", 0, 3280, "CLOSED")]
    short = run(Call().say(QUIET[: 2 * 3279]).close())
    assert short.spans(SilenceEventKind.SILENCE) == [("SILENCE", "EXTERNAL", 0, 3200, "CLOSED")]


def test_a_long_hole_has_a_bounded_number_of_windows_that_cover_it():
    call = Call().say(QUIET)
    call.mark(FrameKind.GAP, 3600 * 8000)
    found = run(call.say(QUIET).close())
    assert len(found.windows) == 5 + 1 + EMPTY_WINDOWS + 1 + 5
    ends = [window.end_samples for window in found.windows]
    assert [window.start_samples for window in found.windows] == [0, *ends[:-1]]
    assert sum(window.missing_ms for window in found.windows) == 3_600_000


def test_other_media_in_one_session_are_summed_up_apart():
    call = Call().say(QUIET)
    call.channels = Channels.EXTERNAL_INTERNAL
    found = run(call.say(QUIET, 640).close())
    assert [(total.channel, total.audio_ms) for total in found.totals] == [
        (Channel.EXTERNAL, 5000),
        (Channel.EXTERNAL, 2500),
        (Channel.INTERNAL, 2500),
    ]


@pytest.mark.parametrize("poll", [1, 10_000])
def test_audio_ends_a_pause_even_when_nobody_says_so(poll):
    call = Call().say(QUIET).mark(FrameKind.PAUSED).say(QUIET)
    call.position += 800
    found = run(call.say(QUIET).close(), poll=poll)
    assert (found.totals[0].paused_ms, found.totals[0].missing_ms) == (0, 100)
    assert [span[4] for span in found.spans(SilenceEventKind.SILENCE)] == ["PAUSE", "GAP", "CLOSED"]
