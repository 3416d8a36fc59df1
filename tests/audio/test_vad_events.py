import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from audio.vad_events import CLOSED_FRAMES, SPEECH_FRAMES, silences, smoothed, spans

flags = st.lists(st.booleans(), max_size=120).map(lambda values: np.array(values, np.bool_))


def runs(*lengths: int) -> np.ndarray:
    """Speech, pause, speech … of these lengths."""
    return np.repeat(np.arange(len(lengths)) % 2 == 0, lengths)


def test_spans_are_where_the_flags_are():
    assert spans(runs(0, 3, 2, 1, 4)).tolist() == [[3, 5], [6, 10]]
    assert spans(np.zeros(4, np.bool_)).tolist() == []
    assert spans(np.zeros(0, np.bool_)).tolist() == []


def test_a_pause_of_200_ms_is_closed_and_a_longer_one_is_not():
    assert smoothed(runs(20, CLOSED_FRAMES, 20)).all()
    assert spans(smoothed(runs(20, CLOSED_FRAMES + 1, 20))).tolist() == [[0, 20], [31, 51]]


def test_a_blip_does_not_split_a_silence():
    assert silences(runs(20, 60, SPEECH_FRAMES - 1, 60, 20), 50).tolist() == [[20, 144]]
    assert silences(runs(20, 60, SPEECH_FRAMES, 60, 20), 50).tolist() == [[20, 80], [85, 145]]


def test_blips_with_short_pauses_between_them_are_a_word():
    assert spans(smoothed(runs(0, 50, 3, 4, 3, 50))).tolist() == [[50, 60]]


@given(flags)
def test_what_is_smoothed_has_no_short_runs_inside_and_is_smooth_for_good(speech):
    once = smoothed(speech)
    assert all(end - start >= SPEECH_FRAMES for start, end in spans(once).tolist())
    assert all(end - start > CLOSED_FRAMES for start, end in spans(~once).tolist() if start > 0 and end < len(once))
    assert (smoothed(once) == once).all()


@given(flags)
def test_silences_and_speech_share_the_frames_between_them(speech):
    quiet = np.zeros(len(speech), np.bool_)
    for start, end in silences(speech, 1).tolist():
        quiet[start:end] = True
    assert (quiet == ~smoothed(speech)).all()
