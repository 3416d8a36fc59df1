"""How long a frame is held follows from what decides spans, at the slowest place."""

from processors.silence.tuning import Override, Tuning
from processors.speech.tuning import SpeechTuning


def test_a_frame_is_held_for_the_margin_speech_a_pause_in_it_blocks_and_the_window_of_packets():
    assert SpeechTuning().hold_ms == 200 + 100 + 260 + 3 * 20 + 100


def test_the_longest_minimums_of_any_organisation_or_queue_count():
    night = Override(None, "night", Tuning(min_speech_ms=50, min_silence_ms=900))
    assert SpeechTuning(Tuning(overrides=(night,)), 0).hold_ms == 950 + 160
