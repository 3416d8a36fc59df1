from schemas.symbols import SilenceEventKind
from tests.processors.silence.calls import LOUD, QUIET, Call, run


def test_a_window_comes_with_the_block_behind_it_and_names_its_records():
    found = run(Call().open().say(LOUD[:40_000]).close())
    rows = [row for row, record in found.found if record in found.windows]
    assert rows == [51, 101, 126]
    assert [(w.start_samples, w.end_samples, w.audio_ms) for w in found.windows] == [
        (0, 8000, 1000),
        (8000, 16_000, 1000),
        (16_000, 24_000, 500),
    ]
    assert [(w.first_sequence, w.last_sequence, w.frames, w.bytes) for w in found.windows] == [
        (1, 50, 50, 16_000),
        (51, 100, 50, 16_000),
        (101, 125, 25, 8000),
    ]
    assert [w.frames_with_signal for w in found.windows] == [50, 50, 25]


def test_blocks_of_a_rate_that_50_does_not_divide_are_whole_every_second():
    call = Call(sample_rate_hz=11_025).say(QUIET[: 2 * 22_050], 442)
    found = run(call.close())
    assert found.spans(SilenceEventKind.SILENCE) == [("SILENCE", "EXTERNAL", 0, 22_050, "CLOSED")]
    announced = next(row for row, r in found.found if r.kind is SilenceEventKind.SILENCE_STARTED)
    assert announced == 13
    assert [window.silence_ms for window in found.windows] == [1000, 1000]


def test_samples_behind_the_head_are_counted_and_not_analysed_again():
    call = Call().say(QUIET)
    call.position -= 8000
    found = run(call.say(LOUD[:16_000]).say(QUIET).close())
    assert found.totals[0].audio_ms == 10_000
    assert found.totals[0].speech_ms == 0
    assert found.totals[0].frames == 250 + 50 + 250
