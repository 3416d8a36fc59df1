"""The evaluation itself, and its small set: speakers and generator numbers no tuning has used."""

import numpy as np
import pytest

from benchmarks.silence import corpus, report, scenes
from benchmarks.silence.__main__ import own
from benchmarks.silence.codecs import lossy, round_trip
from benchmarks.silence.peers import document, true_rms
from benchmarks.silence.scoring import Decisions, score, total
from benchmarks.silence.service import as_told
from benchmarks.silence.split import CI_GENERATOR, GENERATOR, Part, part_of
from benchmarks.silence.talk import closed
from benchmarks.silence.wavs import scenes_in, stretches


def flags(*lengths: int) -> np.ndarray:
    """Silence, speech, silence … of these lengths."""
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def test_a_score_counts_frames_delays_and_silences():
    found = score(flags(100, 100, 100), Decisions(flags(102, 108, 90), 20))
    assert (found.hit, found.missed, found.false, found.right) == (98, 2, 10, 190)
    assert found.onsets_ms == [80]
    assert found.offsets_ms == [220]
    assert found.event_f1 == 1
    assert found.f1 == pytest.approx(2 * 98 / (2 * 98 + 12))


def test_a_silence_counts_only_when_most_of_it_was_found():
    found = score(flags(100, 50, 100, 50, 0), Decisions(flags(60, 90, 100, 50, 0)))
    assert (found.event_hit, found.event_missed, found.event_false) == (1, 1, 1)


def test_the_best_scores_are_perfect_and_nothing_at_all_scores_nothing():
    truth = flags(60, 30, 80, 200, 70)
    assert score(truth, Decisions(truth)).f1 == 1
    assert score(truth, Decisions(~truth)).f1 == 0
    assert score(truth, Decisions(np.zeros_like(truth))).miss == 1


def test_short_pauses_of_the_truth_are_speech():
    assert closed(flags(5, 10, 10, 10, 11, 10), 10).tolist() == flags(5, 30, 11, 10).tolist()


def test_a_sentence_is_on_one_side_of_the_split_in_every_language_and_some_speakers_are_never_in_training():
    names = [f"prompt-{number}" for number in range(400)]
    assert all(part_of("allison", name) is part_of("carlo", name) for name in names)
    assert {part_of("menardi", name) for name in names} == {Part.HELD_OUT}
    assert 0.2 < sum(part_of("june", name) is Part.HELD_OUT for name in names) / 400 < 0.4
    assert GENERATOR[Part.TRAINING] < GENERATOR[Part.HELD_OUT] < CI_GENERATOR


def test_codes_are_the_nearest_of_the_table():
    samples = np.array((0.0, 5.0, -7.0, 30_000.0, -40_000.0, 1000.4))
    assert round_trip(samples, "l16").tolist() == [0, 5, -7, 30_000, -32_768, 1000]
    assert np.abs(round_trip(samples, "pcmu") - samples)[:4].max() <= 512
    assert set(np.abs(round_trip(np.zeros(3), "pcma"))) == {8}


def test_lost_packets_leave_holes_of_whole_packets():
    out = lossy(np.ones(16_000), np.random.default_rng(1), 0.2, repeat=False).reshape(-1, 160)
    empty = (out == 0).all(axis=1)
    assert 0.05 < empty.mean() < 0.4
    assert ((out == 1).all(axis=1) | empty).all()


def test_the_detectors_of_the_document_differ_as_mean_and_root_mean_square_do():
    wave = np.zeros((1, 1600), np.int16)
    wave[0, ::4] = 1000
    assert not document(wave)[0].speech.any()
    assert true_rms(wave)[0].speech.all()


def test_labels_of_a_folder_become_the_truth(tmp_path):
    samples = np.rint(np.random.default_rng(1).standard_normal((8000, 2)) * 500).astype("<i2")
    header = (
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0" + (8000).to_bytes(4, "little") + (32_000).to_bytes(4, "little")
    )
    sound = samples.tobytes()
    (tmp_path / "a.wav").write_bytes(header + b"\x04\0\x10\0data" + len(sound).to_bytes(4, "little") + sound)
    (tmp_path / "a.txt").write_text("# start end channel\n0.2, 0.5, 1\n")
    left, right = scenes_in(tmp_path)
    assert (left.samples == samples[:, 0]).all()
    assert not left.speech.any()
    assert np.flatnonzero(right.speech).tolist() == list(range(10, 25))
    with pytest.raises(ValueError, match="line 1"):
        stretches("0.2, 0.5, 2", 2, "a.txt")


@pytest.mark.timeout(300)
def test_the_small_set_is_told_apart_as_well_as_promised():
    try:
        clips, music = corpus.prompts(Part.HELD_OUT, ("ivrvoice", "menardi")), corpus.music(Part.HELD_OUT)
    except corpus.Unreachable as error:
        pytest.skip(str(error))
    made = list(scenes.evaluation(scenes.Studio(clips, music, 20), CI_GENERATOR, gsm=False, every=12))
    samples = np.stack([scene.samples for scene in made])
    found = own(samples)
    scores = [score(scene.speech, one) for scene, one in zip(made, found, strict=True)]
    talk = total(one for scene, one in zip(made, scores, strict=True) if report.has_speech(scene))
    said = {scene.about["noise"]: one.speech.mean() for scene, one in zip(made, found, strict=True)}
    assert talk.f1 > 0.93
    assert talk.miss < 0.08
    assert talk.false_alarm < 0.08
    assert talk.event_f1 > 0.9
    assert talk.onset_ms(50) <= 40
    for kind in ("ringback", "busy", "dtmf", "clicks", "line", "silence"):
        assert said[f"no speech: {kind}"] <= 0.1
    told = [score(scene.speech, one) for scene, one in zip(made, as_told(samples), strict=True)]
    spans = total(one for scene, one in zip(made, told, strict=True) if report.has_speech(scene))
    assert spans.f1 > 0.93
    assert spans.event_f1 > 0.9
