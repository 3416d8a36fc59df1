from processors.silence.tuning import Tuning, limits


def test_lengths_are_samples_rounded_up():
    limit = limits(Tuning(min_silence_ms=260, min_speech_ms=100, overtalk_min_ms=200), 11_025)
    assert limit.run == (0, 2867, 1103)
    assert limit.dead_air == (22_050, 88_200)
    assert limit.overtalk == 2205
